"""Whether rows look as the fitted cells say: the energy distance, judged by a bootstrap."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._frames import read_table
from isonomy._validation import check_count, check_random_state
from isonomy.distributions._goodness_null import Unit, find_units, null_statistics
from isonomy.distributions._joint_checks import row_cells
from isonomy.distributions.joint import JointDistribution
from isonomy.errors import InvalidInputError

__all__ = ["GoodnessOfFit", "goodness_of_fit"]

Cell = tuple[Hashable, Hashable]

_WHERE = "goodness_of_fit"
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class GoodnessOfFit:
    """How far the rows of every cell lie from its fitted law, and how often chance does that.

    Attributes
    ----------
    classes, groups : tuple
        K labels and G groups.
    family : str
        Of the cells.
    distance : (K, G) array
        Squared energy distance between standardised rows and their law; NaN where a cell
        has too few rows to be judged.
    p_values : (K, G) array
        Share of replicates from the fitted law that lie as far; NaN where not judged.
    p_adjusted : (K, G) array
        The same after Holm's adjustment for the number of cells.
    p_value : float
        Of all cells together: how often the most deviant cell of a replicate deviates as
        much. NaN if no cell was judged.
    n_rows, n_used : (K, G) arrays
        Rows given, and rows looked at.
    n_bootstrap : int
        Replicates; no p is below 1 / (n_bootstrap + 1).
    refit : bool
        Whether location and scatter were estimated on these rows.
    reasons : dict
        {(label, group): why it was not judged}.
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    family: str
    distance: NDArray[np.float64]
    p_values: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]
    p_value: float
    n_rows: NDArray[np.intp]
    n_used: NDArray[np.intp]
    n_bootstrap: int
    refit: bool
    reasons: dict[Cell, str] = field(default_factory=dict)

    def rejected(self, level: float = _LEVEL) -> tuple[Cell, ...]:
        """Return the cells whose adjusted p is at most ``level``, the farthest first.

        Parameters
        ----------
        level : float
            In (0, 1).
        """
        low = np.where(np.isnan(self.p_adjusted), 2.0, self.p_adjusted)
        found = [cell for cell in np.ndindex(low.shape) if low[cell] <= level]
        found.sort(key=lambda c: (low[c], -self.distance[c]))
        return tuple((self.classes[y], self.groups[a]) for y, a in found)

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a cell as a pandas or polars frame."""
        records = self._records()
        columns = {name: [r[name] for r in records] for name in records[0]}
        return nw.to_native(nw.from_dict(columns, backend=backend))

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values for JSON; NaN becomes None."""
        return {
            "schema": 1,
            "kind": "goodness-of-fit",
            "family": self.family,
            "p_value": _plain(self.p_value),
            "n_bootstrap": self.n_bootstrap,
            "refit": self.refit,
            "cells": [{k: _plain(v) for k, v in r.items()} for r in self._records()],
        }

    def __str__(self) -> str:
        judged = int((~np.isnan(self.p_values)).sum())
        if judged == 0:
            return f"No cell has rows enough to be judged: {next(iter(self.reasons.values()))}."
        law = self.family.replace("_", "-")
        verdict = (
            f"The rows do not look as if drawn from {law} cells (p = {self.p_value:.3g})"
            if self.p_value <= _LEVEL
            else f"No departure from {law} cells was detected (p = {self.p_value:.3g}), which does "
            "not show that there is none"
        )
        lines = [f"{verdict}; {judged} of {self.p_values.size} cells judged."]
        far = self.rejected()
        if far:
            shown = ", ".join(f"(label {y!s}, group {a!s})" for y, a in far[:3])
            more = f" and {len(far) - 3} more" if len(far) > 3 else ""
            lines.append(f"Cells that depart, adjusted for their number: {shown}{more}.")
        elif judged / (self.n_bootstrap + 1) > _LEVEL:
            lines.append(
                f"{self.n_bootstrap} replicates are too few to single out one of {judged} cells."
            )
        if (self.n_used < self.n_rows).any():
            lines.append(
                f"Of the largest cells {int(self.n_used.max())} rows drawn at random were used."
            )
        return "\n".join(lines)

    def _records(self) -> list[dict[str, Any]]:
        return [
            {
                "class": label,
                "group": group,
                "n": int(self.n_rows[y, a]),
                "n_used": int(self.n_used[y, a]),
                "distance": float(self.distance[y, a]),
                "p_value": float(self.p_values[y, a]),
                "p_adjusted": float(self.p_adjusted[y, a]),
                "reason": self.reasons.get((label, group), ""),
            }
            for y, label in enumerate(self.classes)
            for a, group in enumerate(self.groups)
        ]


def goodness_of_fit(
    joint: JointDistribution,
    X: Any,
    y: Any,
    *,
    sensitive_features: Any,
    n_bootstrap: int = 199,
    max_rows: int = 500,
    refit: bool = True,
    random_state: Any = 0,
    n_jobs: int | None = None,
) -> GoodnessOfFit:
    """Test whether rows look as if drawn from the cells of a fitted joint law.

    Parameters
    ----------
    joint : JointDistribution
        Of any family.
    X : (n_samples, n_features)
        Rows in their own units.
    y, sensitive_features : (n_samples,)
        Labels and groups that the law knows.
    n_bootstrap : int
        Replicates, at least 19.
    max_rows : int
        Rows looked at in a cell, at least 10; of larger cells so many are drawn. Time grows
        with its square: about 0.4 seconds a cell for 500 rows of 10 columns.
    refit : bool
        True: the law was fitted to these rows, so that location and scatter are estimated
        on them and anew on every replicate. False: the law was fixed before, nothing is
        estimated, and rows that moved are called a departure too.
    random_state : int, RandomState or None
        The same number gives the same rows and replicates, whatever ``n_jobs``.
    n_jobs : int, optional
        Processes for the replicates; default one.

    Returns
    -------
    GoodnessOfFit

    Raises
    ------
    InvalidInputError
        If shapes disagree or a label or group is unknown, or a number is out of range.
    FamilyError
        If a value lies outside the support of the family.

    Notes
    -----
    Rows are taken to latent coordinates (logarithms, transforms) and standardised to y_i by
    location and scatter: of the cell, or of the group where ``joint`` is tied, or the
    variances alone where it is diagonal. The statistic of a cell is n times the squared
    energy distance to the standard law Z, whose mean distances are known, so that no second
    sample is needed::

        n [ 2/n sum_i E|y_i - Z| - E|Z - Z'| - 1/n^2 sum_ij |y_i - y_j| ]

    (Szekely and Rizzo, A new test for multivariate normality, 2005). Estimates fit their own
    rows better than the truth does; so each replicate is drawn from the fitted law, is
    standardised by its own estimates, and p = (1 + replicates as far) / (1 + n_bootstrap).
    For normal and log-normal cells the law of the statistic does not depend on the
    parameters, and the size of a single p is exact; shrinkage of ``joint`` plays no part.
    Transforms of a nonparanormal law and the degrees of freedom of a Student-t law are kept
    in replicates, which makes the test a little cautious. Weighted rows are not treated.
    It does not promise to see every departure,
    least of all in many dimensions or few rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, a = np.arange(200) % 2, np.arange(200) // 100
    >>> X = rng.normal(size=(200, 2))
    >>> joint = JointDistribution.fit(X, y, sensitive_features=a)
    >>> goodness_of_fit(joint, X, y, sensitive_features=a).p_value > 0.05
    True
    >>> rows = np.exp(X)
    >>> joint = JointDistribution.fit(rows, y, sensitive_features=a, check="ignore")
    >>> goodness_of_fit(joint, rows, y, sensitive_features=a).p_value
    0.005
    """
    if not isinstance(joint, JointDistribution):
        raise InvalidInputError(
            f"`joint` passed to `{_WHERE}` must be a JointDistribution, got {type(joint).__name__}."
        )
    n_bootstrap = check_count("n_bootstrap", n_bootstrap, where=_WHERE, low=19)
    max_rows = check_count("max_rows", max_rows, where=_WHERE, low=10)
    values = np.asarray(read_table(X, where=_WHERE).values, dtype=np.float64)
    if values.shape[1] != joint.n_features:
        raise InvalidInputError(
            f"`X` passed to `{_WHERE}` must have the {joint.n_features} features of `joint`, got "
            f"{values.shape[1]}."
        )
    codes = row_cells(y, sensitive_features, joint.classes, joint.groups, len(values), where=_WHERE)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    n_rows = np.zeros(joint.prior.shape, dtype=np.intp)
    np.add.at(n_rows, codes, 1)
    kept = _some_rows(codes, n_rows, max_rows, np.random.default_rng(seed))
    latent = joint.latent(values[kept], _labels(joint.groups, codes[1][kept]))
    units, reasons = find_units(joint, latent, (codes[0][kept], codes[1][kept]), refit)
    drawn = null_statistics(units, joint.n_features, n_bootstrap, seed, n_jobs)
    named = {(joint.classes[c[0]], joint.groups[c[1]]): why for c, why in reasons.items()}
    used = np.minimum(n_rows, max_rows)
    found = _compare(units, drawn, n_rows.shape, n_bootstrap)
    return GoodnessOfFit(
        joint.classes, joint.groups, joint.family, *found, n_rows, used, n_bootstrap, refit, named
    )


def _compare(
    units: list[Unit],
    drawn: list[NDArray[np.float64]],
    shape: tuple[int, ...],
    n_bootstrap: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Return squared distances, p and adjusted p (K, G) from statistics and replicates."""
    distance, p = np.full(shape, np.nan), np.full(shape, np.nan)
    observed_top, drawn_top = -np.inf, np.full(n_bootstrap, -np.inf)
    for unit, null in zip(units, drawn, strict=True):
        for j, cell in enumerate(unit.cells):
            both = np.append(null[:, j], unit.statistics[j])
            distance[cell] = max(unit.statistics[j], 0.0) / unit.sizes[j]
            p[cell] = float((both >= unit.statistics[j] - 1e-9 * abs(unit.statistics[j])).mean())
            # rows and replicates are exchangeable: both take part in the scale
            scaled = (both - both.mean()) / max(float(both.std()), np.finfo(np.float64).tiny)
            observed_top = max(observed_top, scaled[-1])
            drawn_top = np.maximum(drawn_top, scaled[:-1])
    if not units:
        return distance, p, p.copy(), float("nan")
    overall = float((1 + np.count_nonzero(drawn_top >= observed_top - 1e-9)) / (1 + n_bootstrap))
    return distance, p, _holm(p), overall


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Holm's step-down adjustment of the p-values that are not NaN."""
    out = p.copy()
    judged = np.argwhere(~np.isnan(p))
    order = judged[np.argsort(p[tuple(judged.T)], kind="stable")]
    highest = 0.0
    for rank, cell in enumerate(map(tuple, order)):
        highest = max(highest, min(1.0, (len(order) - rank) * float(p[cell])))
        out[cell] = highest
    return out


def _some_rows(
    codes: tuple[NDArray[np.intp], NDArray[np.intp]],
    n_rows: NDArray[np.intp],
    max_rows: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Return the rows to look at, at most ``max_rows`` of every cell."""
    flat = codes[0] * n_rows.shape[1] + codes[1]
    chosen = []
    for cell, n in enumerate(n_rows.ravel()):
        rows = np.flatnonzero(flat == cell)
        chosen.append(rows if n <= max_rows else rng.choice(rows, max_rows, replace=False))
    return np.sort(np.concatenate(chosen))


def _labels(labels: tuple[Hashable, ...], codes: NDArray[np.intp]) -> NDArray[Any]:
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array[codes]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
