"""Certificates in words that need no statistics; they promise no more than was shown."""

from __future__ import annotations

import numpy as np

from isonomy.ideal._cells import Array
from isonomy.ideal._certify.drift import Drift
from isonomy.ideal._certify.targets import Target
from isonomy.ideal._certify.transfer import Transfer
from isonomy.ideal._certify.words import law_name
from isonomy.ideal.nearest import IdealSolution

__all__ = ["drift_sentences", "fit_sentences", "undrifted_sentences"]

_NOTHING = 2e-12
"""Nats, of every cell: no event in it changes its probability by more than 1e-6 (Pinsker)."""

_LITTLE = 0.2
"""A bound above this promises little: gaps that matter in practice lie below it."""


def fit_sentences(
    target: Target,
    left: Transfer,
    violations: tuple[float, float],
    tolerance: float,
    gaps: tuple[float, float, float],
) -> tuple[str, ...]:
    """Return the certificate of the fitted distribution, one sentence each."""
    before, after, error = gaps
    solution = target.solution
    names = ", ".join(map(str, solution.source.groups))
    ideal = violations[1] <= tolerance
    return (
        f"Of what: {_family(solution)} fitted to the training rows, groups {names}. "
        "The numbers speak of these fitted cells, not of every data set.",
        f"Before, the best classifier that knows the group treats some pair of groups differently "
        f"by {_up_to(before)} in a rate; on the ideal distribution by {_tiny(after, error)} "
        "(ordinary errors and five random ways to price them; rates are shares from 0 to 1).",
        f"The ideal distribution meets the exact criterion within {violations[1]:.1e} "
        f"(rounding allows {tolerance:.1e}; the fitted distribution missed it by "
        f"{_number(violations[0])})"
        + ("." if ideal else ": MORE than rounding explains; do not rely on it."),
        _price(solution),
        _weights(solution),
        *_withheld(target),
        *_bound_sentences(solution, left),
    )


def undrifted_sentences(target: Target, left: Transfer) -> tuple[str, ...]:
    """Return the certificate on new rows of a family whose new cells are not fitted here."""
    law = law_name(target.solution.source.family)
    return (
        f"Whether the {law} cells have moved since the fit is not judged: fit the new rows anew "
        "and compare the two laws.",
        *_bound_sentences(target.solution, left),
    )


def drift_sentences(target: Target, drift: Drift) -> tuple[str, ...]:
    """Return the certificate on new rows, one sentence each."""
    solution = target.solution
    source = solution.source
    total = int(drift.n_rows.sum())
    judged = ~np.isnan(drift.moved)
    moved = np.argwhere(drift.moved == 1.0)
    cells = f"{int(judged.sum())} of {drift.n_rows.size} (label, group) cells"
    smallest = int(drift.n_rows.min())
    opening = (
        f"Re-certified on {total} new rows: {cells} could be judged "
        f"(the smallest cell has {smallest})."
    )
    if target.n_fitted is None:
        opening += " How many rows were fitted is not known: taken to be as many as these."
    if not judged.any():
        verdict = "Too little is known to say whether the cells have moved since the fit."
    elif len(moved) == 0:
        verdict = (
            "No judged cell has moved since the fit by more than sampling explains; a small shift "
            "may still be there."
        )
    else:
        order = sorted(moved.tolist(), key=lambda c: -drift.kl[c[0], c[1]])
        shown = ", ".join(
            f"(label {source.classes[y]!s}, group {source.groups[a]!s})" for y, a in order[:3]
        )
        verdict = (
            f"{len(moved)} cell(s) have moved since the fit by more than sampling explains, most "
            f"of all {shown}: fit again on recent rows."
        )
    bounds = _bound_sentences(solution, drift.transfer, rows="the new rows' cells")
    return (opening, verdict, *_withheld(target), *bounds)


def _bound_sentences(
    solution: IdealSolution, left: Transfer, rows: str = "the fitted cells"
) -> tuple[str, ...]:
    bound, head = left.class_bound, left.head_gap
    if np.isnan(bound).all():
        return ("No label has two groups that could be judged, so there is no bound.",)
    worst = int(np.nanargmax(bound))
    name = solution.source.classes[worst]
    found = [
        f"Rows are steered without their labels, by one map a group; on {rows}, if they are "
        f"{law_name(solution.source.family)}, no classifier that sees steered rows alone (not the "
        "group) can differ between two groups that were judged in its true-positive rate by more "
        "than "
        f"{min(bound[worst], 1.0):.3g} "
        f"(label {name!s}, the worst; median over labels {min(np.nanmedian(bound), 1.0):.3g})."
    ]
    if bound[worst] >= 1.0:
        n = int((bound >= 1.0).sum())
        found.append(
            f"For {n} of {len(bound)} label(s) this bound is 1 or more and says nothing: measure "
            "the gap on held-out rows."
        )
    elif bound[worst] > _LITTLE:
        found.append(
            "A bound this large promises little by itself: measure the gap on held-out rows."
        )
    found.append(
        f"The one classifier that is best for the common cells has gaps of at most "
        f"{np.nanmax(head):.3g} there (integrated numerically, to about 0.01)."
    )
    return tuple(found)


def _family(solution: IdealSolution) -> str:
    kind = law_name(solution.source.family)
    tied = ", one covariance a group," if solution.source.is_tied else ""
    return f"a {kind} law for every (label, group) cell{tied}"


def _tiny(value: float, error: float) -> str:
    if value <= max(error, 1e-9):
        return f"less than {max(error, 1e-9):.1e}, the accuracy of the calculation"
    return f"{value:.3g}"


def _optimum(solution: IdealSolution) -> str:
    if not solution.converged:
        return "the search did NOT settle: a nearer one may exist"
    if solution.global_optimum:
        return "proved to be the least within its family of maps" + _within_tied(solution)
    return "the least that was found; a nearer one is not ruled out"


def _within_tied(solution: IdealSolution) -> str:
    all_move = len(solution.moves) == len(solution.source.groups)
    if solution.direction == "moment" and all_move:
        # labels with covariances of their own could lie nearer still
        return " among laws with one covariance a group"
    return ""


def _up_to(value: float) -> str:
    return "an amount that is not known here" if np.isnan(value) else f"up to {value:.3g}"


def _number(value: float) -> str:
    return "an amount that is not known here" if np.isnan(value) else f"{value:.3g}"


def _withheld(target: Target) -> tuple[str, ...]:
    cells = np.argwhere(target.withheld).tolist()
    if not cells:
        return ()
    joint = target.solution.source
    shown = ", ".join(f"(label {joint.classes[y]!s}, group {joint.groups[a]!s})" for y, a in cells)
    return (
        f"Not judged: {len(cells)} (label, group) cell(s) with so few training rows that the file "
        f"withholds their means, to protect the people in them: {shown}.",
    )


def _price(solution: IdealSolution) -> str:
    if max(solution.kl, *solution.kl_by_cell.values()) <= _NOTHING:
        # a divergence is at least 0: nothing nearer is left to prove or to find
        return "Price: none. The fitted distribution is ideal already, and no group moves."
    return (
        f"Price: a divergence of {solution.kl:.3g} nats in total ({_optimum(solution)}); "
        f"{_dearest(solution)}."
    )


def _dearest(solution: IdealSolution) -> str:
    (label, group), most = max(solution.kl_by_cell.items(), key=lambda item: item[1])
    return f"the cell that moved most is label {label!s}, group {group!s}, at {most:.3g}"


def _weights(solution: IdealSolution) -> str:
    if solution.priors == "keep":
        return "Label and group are independent in the fitted law, so no reweighing is needed."
    ratio: Array = np.asarray(solution.distribution.prior) / np.asarray(solution.source.prior)
    return (
        "All of this holds under the reweighed law, in which label and group are independent: "
        f"cells weigh {ratio.min():.3g} to {ratio.max():.3g} times their share of the rows. On "
        "rows whose base rates differ, equal selection rates and equal rates of every (true, "
        "predicted) pair hold together only for predictions that do not tell the labels commoner "
        "in one group from those commoner in another."
    )
