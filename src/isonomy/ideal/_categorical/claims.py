"""Certificates of categorical and mixed solutions: what is exact, and what flips leave."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal._categorical.nearest import CategoricalSolution
from isonomy.ideal._certify.claims import population_sentence
from isonomy.ideal._mixed.nearest import MixedSolution
from isonomy.ideal.bayes import bayes_rates
from isonomy.ideal.certificates import Certificate, certify
from isonomy.ideal.criteria import ideal_violation, is_ideal, rounding_tolerance

__all__ = ["categorical_certificate"]

_N_COSTS = 5

Cell = tuple[Hashable, Hashable]
Gaps = tuple[float, float, float]


def categorical_certificate(solution: CategoricalSolution | MixedSolution) -> Certificate:
    """Return what holds after steering categorical columns, alone or beside numbers.

    Parameters
    ----------
    solution : CategoricalSolution or MixedSolution

    Returns
    -------
    Certificate
        About the fitted law: ``transfer_by_cell`` is the total variation between flipped
        and canonical cell (plus the numeric part's bound), ``head_gap`` is empty.

    Notes
    -----
    For any classifier that sees label-free steered rows alone,
    ``|TPR_y(a) - TPR_y(a')| <= t_ya + t_ya'`` with t the total variation to the common
    cell; that of a product of independent parts is at most the sum of theirs.
    """
    source = solution.source
    exact = is_ideal(solution.distribution)
    violations = ideal_violation(source), ideal_violation(solution.distribution)
    left = _left(solution)
    bound = {label: _largest_pair(left, label, source.groups) for label in source.classes}
    gaps = _bayes_gaps(solution)
    tolerance = rounding_tolerance(solution.distribution)
    return Certificate(
        sentences=_sentences(solution, exact, violations, gaps, bound),
        law=_law(solution),
        groups=source.groups,
        classes=source.classes,
        violation_before=violations[0],
        violation_after=violations[1],
        tolerance=tolerance,
        bayes_gap_before=None if gaps is None else gaps[0],
        bayes_gap_after=None if gaps is None else gaps[1],
        bayes_gap_error=None if gaps is None else gaps[2],
        kl=solution.kl,
        kl_by_cell=dict(solution.kl_by_cell),
        transfer_by_cell=left,
        transfer_bound=bound,
        informative=all(value < 1.0 for value in bound.values()),
        global_optimum=solution.global_optimum,
        converged=solution.converged,
        claim="population",
    )


def _left(solution: CategoricalSolution | MixedSolution) -> dict[Cell, float]:
    if isinstance(solution, CategoricalSolution):
        return dict(solution.residual_by_cell)
    numbers = certify(solution.numeric).transfer_by_cell
    flips = solution.categorical.residual_by_cell
    return {pair: min(1.0, numbers[pair] + flips[pair]) for pair in flips}


def _largest_pair(left: dict[Cell, float], label: Hashable, groups: tuple[Hashable, ...]) -> float:
    cells = sorted((left[label, group] for group in groups), reverse=True)
    return float(cells[0] + cells[1])


def _bayes_gaps(solution: CategoricalSolution | MixedSolution) -> Gaps | None:
    """Return the largest gap before and after, and its error; None if they are too many.

    Over 0-1 cost and, for categories alone, five random costs.
    """
    n = len(solution.source.classes)
    rng = np.random.default_rng(0)
    costs = [1.0 - np.eye(n), *(rng.uniform(size=(n, n)) for _ in range(_N_COSTS))]
    if isinstance(solution, MixedSolution):
        costs = costs[:1]  # every combination of categories is a numeric problem of its own
    worst: list[float] = []
    error = 0.0
    for joint in (solution.source, solution.distribution):
        try:
            rates = [bayes_rates(joint, cost) for cost in costs]
        except UnsupportedProgrammeError:  # a large alphabet: nothing is claimed of the rates
            return None
        worst.append(max(r.largest_gap for r in rates))
        error = max(error, *(r.error for r in rates))
    return worst[0], worst[1], error


def _law(solution: CategoricalSolution | MixedSolution) -> str:
    weighting = "reweighed so that label and group are independent"
    if solution.priors == "keep":
        weighting = "weighted as fitted"
    mixed = isinstance(solution, MixedSolution)
    kind = "numeric and categorical" if mixed else "categorical"
    return f"the {kind} cells fitted to the training rows, {weighting} (priors={solution.priors!r})"


def _sentences(
    solution: CategoricalSolution | MixedSolution,
    exact: bool,
    violations: tuple[float, float],
    gaps: Gaps | None,
    bound: dict[Hashable, float],
) -> tuple[str, ...]:
    ideal = "is ideal" if exact else "is NOT ideal"
    worst = max(bound, key=lambda label: bound[label])
    sentences = [
        f"Law: {_law(solution)}.",
        population_sentence(exact=exact),
        f"The distribution {ideal}: violation {violations[0]:.3g} before, {violations[1]:.3g} "
        f"after, for a divergence of {solution.kl:.4g} nats.",
        "Rates of Bayes classifiers that know the group were not computed: the categories have "
        "too many combinations."
        if gaps is None
        else "Bayes classifiers that know the group: largest difference between groups of a rate "
        f"{gaps[0]:.3g} before, {gaps[1]:.3g} after (numerical error {gaps[2]:.1g}).",
        "Training rows flipped with their labels, and weighted by the ratio of the priors, have "
        "exactly the ideal law of the categories; rows to be predicted have no label.",
        "Without labels, one random map a group: for any classifier that sees steered rows alone "
        f"the true-positive rate of label {worst!s} differs between groups by at most "
        f"{bound[worst]:.3g} on the fitted law, and that of the other labels by no more.",
    ]
    test = getattr(solution.source, "independence", None)
    if test is not None:
        sentences.append(f"{test!s} The certificate speaks of the law that assumes it.")
    return tuple(sentences)
