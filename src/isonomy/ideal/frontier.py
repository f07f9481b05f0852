"""The budget form: the lowest violation that a divergence of so many nats can buy."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike

from isonomy import plugins
from isonomy._atomic import atomic_path, write_text_atomic
from isonomy._validation import check_count, check_real
from isonomy.distributions import JointDistribution
from isonomy.errors import InvalidInputError, UnsupportedProgrammeError
from isonomy.ideal._budget import Reached, descend
from isonomy.ideal._cells import Array
from isonomy.ideal._priors import Priors
from isonomy.ideal._request import MapFamily
from isonomy.ideal.bayes import rates_for_costs
from isonomy.ideal.criteria import ideal_violation
from isonomy.ideal.nearest import nearest_ideal

__all__ = ["Frontier", "FrontierPoint", "least_violation", "violation_frontier"]

_FIGURES = (".png", ".svg", ".pdf")

_N_COSTS = 5
_LOG2_POINTS = 7

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class FrontierPoint:
    """The law of least violation found within a budget.

    Attributes
    ----------
    budget : float
        Nats that the law might cost.
    kl : float
        Nats that it costs: KL(D' || D), priors included.
    violation : float
        KL(D' || ideal), nats: its divergence to the ideal law nearest to it that was found.
    criterion : float
        `ideal_violation` of the law: another measure, which was not minimised.
    bayes_gap : float
        Largest difference between groups of any rate of the Bayes classifiers for 0-1 cost
        and five random costs.
    risk : float
        Their share of errors under the law, for 0-1 cost.
    strength : float
        s in [0, 1]: how far the law lies on the way from D to ``ideal``.
    distribution, ideal : JointDistribution
        D', and the ideal law that it leads to.
    n_rounds : int
    converged : bool
        Whether the violation had stopped falling.
    """

    budget: float
    kl: float
    violation: float
    criterion: float
    bayes_gap: float
    risk: float
    strength: float
    distribution: JointDistribution
    ideal: JointDistribution
    n_rounds: int
    converged: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values; the laws are left out."""
        names = ("budget", "kl", "violation", "criterion", "bayes_gap", "risk", "strength")
        plain: dict[str, Any] = {name: float(getattr(self, name)) for name in names}
        return plain | {"n_rounds": self.n_rounds, "converged": self.converged}


@dataclass(frozen=True, eq=False)
class Frontier:
    """What each budget buys: points of rising budget and falling violation.

    Attributes
    ----------
    points : tuple of FrontierPoint
    whole : float
        Nats of the nearest ideal law that was found: from here on nothing is left.
    """

    points: tuple[FrontierPoint, ...]
    whole: float

    @property
    def budget(self) -> Array:
        """Nats that each law might cost, (n,)."""
        return np.array([point.budget for point in self.points])

    @property
    def kl(self) -> Array:
        """Nats that each law costs, KL(D' || D), (n,)."""
        return np.array([point.kl for point in self.points])

    @property
    def violation(self) -> Array:
        """Divergence of each law to an ideal one, nats, (n,)."""
        return np.array([point.violation for point in self.points])

    @property
    def criterion(self) -> Array:
        """`ideal_violation` of each law, (n,)."""
        return np.array([point.criterion for point in self.points])

    @property
    def bayes_gap(self) -> Array:
        """Largest gap of a Bayes classifier under each law, (n,)."""
        return np.array([point.bayes_gap for point in self.points])

    @property
    def risk(self) -> Array:
        """Errors of the best classifier under each law, (n,)."""
        return np.array([point.risk for point in self.points])

    @property
    def distributions(self) -> tuple[JointDistribution, ...]:
        """The laws, one a budget."""
        return tuple(point.distribution for point in self.points)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and for the figure."""
        points = [point.to_dict() for point in self.points]
        return {"schema": 1, "kind": "frontier", "whole": self.whole, "points": points}

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a budget as a pandas or polars frame.

        Parameters
        ----------
        backend : "pandas" or "polars"
        """
        rows = [point.to_dict() for point in self.points]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return nw.to_native(nw.from_dict(columns, backend=backend))

    def save(self, path: str | Path) -> Path:
        """Write the numbers as JSON, or draw them, by the ending; wholly or not at all.

        Parameters
        ----------
        path : str or Path
            Ends in ".json", or in ".png", ".svg" or ".pdf".

        Raises
        ------
        InvalidInputError
            If the ending is another one.
        MissingExtraError
            If a figure is asked for without the extra ``report``.
        OutputError
            If the file cannot be written.
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending == ".json":
            text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
            return write_text_atomic(target, text + "\n")
        if ending not in _FIGURES:
            raise InvalidInputError(
                f"`path` passed to `Frontier.save` must end in .json or, for a figure, in "
                f"{', '.join(_FIGURES)}, got {str(path)!r}."
            )
        figure = plugins.get("report_formats", "figure")(self.to_dict(), "frontier")
        with atomic_path(target) as temporary:
            figure.savefig(temporary, format=ending[1:], dpi=144, facecolor="white")
        return target


def least_violation(
    joint: JointDistribution,
    budget: float,
    *,
    moves: Literal["all"] | Hashable | Sequence[Hashable] = "all",
    reference: Hashable | None = None,
    priors: Priors = "reweigh",
    map_family: MapFamily = "affine",
) -> FrontierPoint:
    """Return the law of least violation within ``budget`` nats of ``joint``.

    Parameters
    ----------
    joint : JointDistribution
        Of normal cells, perhaps behind a bijection (log-normal, nonparanormal).
    budget : float
        b, nats, at least 0.
    moves, reference, priors, map_family
        As in `nearest_ideal`.

    Returns
    -------
    FrontierPoint

    Raises
    ------
    InvalidInputError
        If ``budget`` is negative, or as `nearest_ideal` does.
    UnsupportedProgrammeError
        For Student-t cells.

    Notes
    -----
    See `violation_frontier`.

    Examples
    --------
    >>> from isonomy.distributions import Normal
    >>> cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
    ...          (0, "b"): Normal(0.0, 1.0), (1, "b"): Normal(1.0, 1.0)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> point = least_violation(joint, 0.01, moves=["b"])
    >>> round(point.kl, 6), point.violation < least_violation(joint, 0.0).violation
    (0.01, True)
    """
    how = {"moves": moves, "reference": reference, "priors": priors, "map_family": map_family}
    return violation_frontier(joint, [budget], **how).points[0]  # type: ignore[arg-type]


def violation_frontier(
    joint: JointDistribution,
    budgets: ArrayLike | None = None,
    *,
    n_points: int = 11,
    moves: Literal["all"] | Hashable | Sequence[Hashable] = "all",
    reference: Hashable | None = None,
    priors: Priors = "reweigh",
    map_family: MapFamily = "affine",
    progress: Progress | None = None,
) -> Frontier:
    """Return what each budget of divergence buys: the frontier from D to an ideal law.

    Parameters
    ----------
    joint : JointDistribution
        D, of normal cells, perhaps behind a bijection (log-normal, nonparanormal).
    budgets : (n,), optional
        Nats, at least 0. Default: ``n_points`` even steps from 0 to the divergence of the
        nearest ideal law.
    n_points : int
        At least 2.
    moves, reference, priors, map_family
        As in `nearest_ideal`, for the ideal laws that are led to.
    progress : callable, optional
        ``progress(text, done, total)``.

    Returns
    -------
    Frontier

    Raises
    ------
    InvalidInputError
        If a budget is negative or not finite, or as `nearest_ideal` does.
    UnsupportedProgrammeError
        For Student-t cells, whose mean laws are not Student-t, and for other kinds of law.

    Notes
    -----
    The programme::

        minimise over D' and ideal laws I  KL(D' || I)  subject to  KL(D' || D) <= b,  P(A) kept

    For a given I the optimum is the law on the way from D to I, proportional to
    ``p^(1-s) p~^s``, with s as large as the budget allows; for a given D' it is the nearest
    ideal law in the moment direction. The two are done in turn, with leaps where they creep
    (SQUAREM), from the nearest ideal law to D and from the last budget's. Neither a round nor
    a larger budget ever has a larger violation. Nothing proves that the global least was found.
    Source: docs/theory.md 16.

    Examples
    --------
    >>> from isonomy.distributions import Normal
    >>> cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
    ...          (0, "b"): Normal(0.0, 1.0), (1, "b"): Normal(1.0, 1.0)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> frontier = violation_frontier(joint, n_points=3)
    >>> bool((np.diff(frontier.violation) < 0.0).all())
    True
    """
    where = "violation_frontier"
    if not isinstance(joint, JointDistribution):
        raise UnsupportedProgrammeError(
            f"`joint` passed to `{where}` must be a JointDistribution, got {type(joint).__name__}. "
            "Use nearest_ideal, which knows the other laws too."
        )
    if joint.family == "student_t":
        raise UnsupportedProgrammeError(
            f"`joint` passed to `{where}` may not have Student-t cells: laws between two of them "
            "are not Student-t. Use nearest_ideal, or fit another family."
        )
    how: dict[str, Any] = {"moves": moves, "reference": reference, "map_family": map_family}
    # the nearest of all ideal laws has the best labels too
    first = nearest_ideal(joint, priors="keep" if priors == "keep" else "joint", **how)
    if budgets is None:
        check_count("n_points", n_points, where=where, low=2)
        asked = np.linspace(0.0, first.kl, n_points)
    else:
        asked = _check_budgets(budgets, where=where)
    order = np.argsort(asked, kind="stable")
    found: dict[int, FrontierPoint] = {}
    starts = [first.distribution]
    for done, i in enumerate(order.tolist()):
        if progress is not None:
            progress(f"budget {asked[i]:.3g}", done, len(asked))
        best = _best(joint, starts, float(asked[i]), how | {"priors": priors})
        found[i] = _judged(joint, best, float(asked[i]))
        starts = [first.distribution, best.goal]
    return Frontier(tuple(found[i] for i in range(len(asked))), first.kl)


def _check_budgets(budgets: ArrayLike, *, where: str) -> Array:
    asked = np.atleast_1d(np.asarray(budgets, dtype=np.float64))
    if asked.ndim != 1 or len(asked) == 0 or not np.isfinite(asked).all():
        raise InvalidInputError(
            f"`budgets` of `{where}` must be finite numbers of nats, at least one, got "
            f"shape {asked.shape}."
        )
    check_real("budgets", float(asked.min()), where=where, low=0.0)
    return asked


def _best(
    joint: JointDistribution, goals: list[JointDistribution], budget: float, how: dict[str, Any]
) -> Reached:
    """Return the least violation reached from ``goals``; an ideal law ends the search."""
    runs: list[Reached] = []
    for goal in goals:
        runs.append(descend(joint, goal, budget, how))
        if runs[-1].strength >= 1.0:
            break
    return min(runs, key=lambda run: run.violation)


def _judged(joint: JointDistribution, reached: Reached, budget: float) -> FrontierPoint:
    law, n_classes = reached.law, len(joint.classes)
    rng = np.random.default_rng(0)
    costs = [1.0 - np.eye(n_classes)]
    costs += [c * costs[0] for c in rng.uniform(0.1, 1.0, (_N_COSTS, n_classes, n_classes))]
    rates = rates_for_costs(law, costs, log2_points=_LOG2_POINTS)
    return FrontierPoint(
        budget=budget,
        kl=law.kl_divergence(joint),
        violation=reached.violation,
        criterion=ideal_violation(law),
        bayes_gap=max(r.largest_gap for r in rates),
        risk=rates[0].risk,
        strength=reached.strength,
        distribution=law,
        ideal=reached.goal,
        n_rounds=reached.n_rounds,
        converged=reached.converged,
    )
