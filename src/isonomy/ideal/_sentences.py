"""Certificates in words that need no statistics; they promise no more than was shown."""

from __future__ import annotations

import numpy as np

from isonomy.ideal._cells import Array
from isonomy.ideal._drift import Drift
from isonomy.ideal._transfer import Transfer
from isonomy.ideal.nearest import IdealSolution

__all__ = ["drift_sentences", "fit_sentences"]

_LITTLE = 0.2
"""A bound above this promises little: gaps that matter in practice lie below it."""


def fit_sentences(
    solution: IdealSolution,
    left: Transfer,
    violations: tuple[float, float],
    tolerance: float,
    gaps: tuple[float, float, float],
) -> tuple[str, ...]:
    """Return the certificate of the fitted distribution, one sentence each."""
    before, after, error = gaps
    names = ", ".join(map(str, solution.source.groups))
    ideal = violations[1] <= tolerance
    return (
        f"Of what: {_family(solution)} fitted to the training rows, groups {names}. "
        "The numbers speak of these fitted cells, not of every data set.",
        f"Before, the best classifier that knows the group treats some pair of groups differently "
        f"by up to {before:.3g} in a rate; on the ideal distribution by {_tiny(after, error)} "
        "(ordinary errors and five random ways to price them; rates are shares from 0 to 1).",
        f"The ideal distribution meets the exact criterion within {violations[1]:.1e} "
        f"(rounding allows {tolerance:.1e}; the fitted distribution missed it by "
        f"{violations[0]:.3g})"
        + ("." if ideal else ": MORE than rounding explains; do not rely on it."),
        f"Price: a divergence of {solution.kl:.3g} nats in total ({_optimum(solution)}); "
        f"{_dearest(solution)}.",
        _weights(solution),
        *_bound_sentences(solution, left),
    )


def drift_sentences(solution: IdealSolution, drift: Drift) -> tuple[str, ...]:
    """Return the certificate on new rows, one sentence each."""
    source = solution.source
    total = int(drift.n_rows.sum())
    judged = ~np.isnan(drift.moved)
    moved = np.argwhere(drift.moved == 1.0)
    cells = f"{int(judged.sum())} of {drift.n_rows.size} (label, group) cells"
    smallest = int(drift.n_rows.min())
    opening = (
        f"Re-certified on {total} new rows: {cells} had enough rows to judge "
        f"(the smallest cell has {smallest})."
    )
    if not judged.any():
        verdict = "There are too few rows to say whether the cells have moved since the fit."
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
    return (opening, verdict, *bounds)


def _bound_sentences(
    solution: IdealSolution, left: Transfer, rows: str = "the fitted cells"
) -> tuple[str, ...]:
    bound, head = left.class_bound, left.head_gap
    if np.isnan(bound).all():
        return ("No class has two groups with enough rows, so there is no bound.",)
    worst = int(np.nanargmax(bound))
    name = solution.source.classes[worst]
    found = [
        f"Rows are steered without their labels, by one map a group; on {rows}, if they are "
        f"normal, no classifier of steered rows can differ between two groups in its "
        f"true-positive rate by more than {min(bound[worst], 1.0):.3g} "
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
    kind = "log-normal" if solution.source.family == "lognormal" else "normal"
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
        return "proved to be the least within its family of maps"
    return "the least that was found; a nearer one is not ruled out"


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
        "rows with unequal base rates no useful classifier has equal selection rates and equal "
        "true-positive rates at once."
    )
