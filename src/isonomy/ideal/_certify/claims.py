"""Which claim a certificate makes: of the fitted law, or of rows, with what n rows can show."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from isonomy._frames import read_table
from isonomy._validation import check_count, check_real
from isonomy.distributions import GoodnessOfFit, goodness_of_fit
from isonomy.distributions._joint_checks import row_cells
from isonomy.distributions._shape import Freedom
from isonomy.errors import InvalidInputError
from isonomy.ideal._cells import Array
from isonomy.ideal._certify.drift import Drift
from isonomy.ideal._certify.targets import Target
from isonomy.ideal._certify.words import law_name
from isonomy.ideal._decisions import decide
from isonomy.ideal._student.transfer import student_laws
from isonomy.ideal.nearest import IdealSolution

__all__ = [
    "RowClaim",
    "claim_of_rows",
    "drift_record",
    "fit_of_rows",
    "fit_sentence",
    "plain",
    "population_sentence",
]

_WHERE = "certify"
_LEVEL = 0.05
_REPLICATES = 199


@dataclass(frozen=True, eq=False)
class RowClaim:
    """True-positive rates of the canonical Bayes rule on steered rows, with bounds at once.

    ``right`` and ``n`` are (K, G); ``gap``, ``lower`` and ``upper`` (K,) are the largest
    difference between two groups as seen, and bounds of it, NaN where no two groups have
    rows of the label. ``n_rates`` is how many rates the union bound was taken over.
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    right: NDArray[np.intp]
    n: NDArray[np.intp]
    gap: Array
    lower: Array
    upper: Array
    confidence: float
    n_rates: int

    @property
    def largest(self) -> float:
        """Largest upper bound; NaN if no label can be judged."""
        return float("nan") if np.isnan(self.upper).all() else float(np.nanmax(self.upper))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; NaN becomes None."""
        return {
            "n_rows": int(self.n.sum()),
            "confidence": self.confidence,
            "n_rates": self.n_rates,
            "upper": plain(float(self.largest)),
            "by_class": [
                {
                    "class": plain(label),
                    "n": self.n[y].tolist(),
                    "right": self.right[y].tolist(),
                    "gap": plain(float(self.gap[y])),
                    "lower": plain(float(self.lower[y])),
                    "upper": plain(float(self.upper[y])),
                }
                for y, label in enumerate(self.classes)
            ],
        }

    def sentences(self) -> tuple[str, ...]:
        """Return the claim in words."""
        start = f"Which claim: one about rows, from the {int(self.n.sum())} given."
        if np.isnan(self.upper).all():
            return (f"{start} No label has rows in two groups, so they show nothing of a gap.",)
        worst = int(np.nanargmax(self.upper))
        shown = (
            f"{start} Of the one classifier that is best for the common cells they show, with "
            f"{100 * self.confidence:.12g}% confidence for all labels at once, that no two groups "
            f"differ in its true-positive rate by more than {self.upper[worst]:.3g} (label "
            f"{self.classes[worst]!s}, seen at {self.gap[worst]:.3g} with as few as "
            f"{_fewest(self.n[worst])} rows in a group). It holds whatever the rows' law, if they "
            "were not used in the fit and are drawn like the rows to come; it does not speak of "
            "other classifiers."
        )
        found = [shown]
        apart = np.flatnonzero(self.lower > 0)
        if len(apart):
            far = int(np.nanargmax(self.lower))
            found.append(
                f"For {len(apart)} label(s) these rows do show a gap, most of all for label "
                f"{self.classes[far]!s}: at least {self.lower[far]:.3g}."
            )
        missing = int(np.isnan(self.upper).sum())
        if missing:
            found.append(f"{missing} label(s) lack rows in two groups and are not bounded.")
        return tuple(found)


def claim_of_rows(target: Target, y: Any, sensitive_features: Any, confidence: float) -> RowClaim:
    """Steer the rows, predict them by the canonical Bayes rule and bound its gaps."""
    confidence = check_real("confidence", confidence, where=_WHERE, low=0.0, high=1.0)
    if confidence in (0.0, 1.0):
        raise InvalidInputError(
            f"`confidence` of `{_WHERE}` must lie strictly between 0 and 1, got {confidence!r}."
        )
    solution = target.solution
    source = solution.source
    rows = np.asarray(read_table(target.rows, where=_WHERE).values, dtype=np.float64)
    labels, groups = row_cells(
        y, sensitive_features, source.classes, source.groups, len(rows), where=_WHERE
    )
    names = np.empty(len(source.groups), dtype=object)
    names[:] = source.groups
    predicted = _predict(solution, source.latent(rows, names[groups]), groups)
    n = np.zeros(source.prior.shape, dtype=np.intp)
    right = np.zeros_like(n)
    np.add.at(n, (labels, groups), 1)
    np.add.at(right, (labels, groups), predicted == labels)
    return _bounded(source.classes, source.groups, right, n, confidence)


def _bounded(
    classes: tuple[Hashable, ...],
    groups: tuple[Hashable, ...],
    right: NDArray[np.intp],
    n: NDArray[np.intp],
    confidence: float,
) -> RowClaim:
    """Bound every rate by Clopper and Pearson, all at once, and every label's largest gap.

    The judge in ``isonomy.metrics`` computes the same by itself: the two share no code, so
    that neither can vouch for the other's mistakes.
    """
    used = (n > 0) & ((n > 0).sum(axis=1) > 1)[:, None]
    n_rates = max(int(used.sum()), 1)
    tail = (1.0 - confidence) / (2 * n_rates)
    low = np.where(right > 0, betaincinv(np.maximum(right, 1), n - right + 1, tail), 0.0)
    high = np.where(right < n, betaincinv(right + 1, np.maximum(n - right, 1), 1.0 - tail), 1.0)
    gap, lower, upper = (np.full(len(n), np.nan) for _ in range(3))
    for y in range(len(n)):
        pairs = list(combinations(np.flatnonzero(used[y]), 2))
        if not pairs:
            continue
        rates = right[y] / np.maximum(n[y], 1)
        gap[y] = max(abs(rates[a] - rates[b]) for a, b in pairs)
        upper[y] = max(max(high[y, a] - low[y, b], high[y, b] - low[y, a]) for a, b in pairs)
        lower[y] = max(max(low[y, a] - high[y, b], low[y, b] - high[y, a], 0.0) for a, b in pairs)
    return RowClaim(classes, groups, right, n, gap, lower, upper, confidence, n_rates)


def _predict(solution: IdealSolution, latent: Array, groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the decision of the canonical Bayes rule on steered latent rows, groups unseen."""
    moved = np.empty_like(latent)
    for a, group in enumerate(solution.source.groups):
        chosen = np.flatnonzero(groups == a)
        moved[chosen] = solution.maps[group].apply(latent[chosen])
    classes, shape = solution.source.classes, solution.source.shape
    laws: list[Any] = [solution.canonical[label] for label in classes]
    if isinstance(shape, Freedom):  # its location and scale matrix are stored as a normal's
        cells = np.stack([w.mean for w in laws]), np.stack([w.covariance for w in laws])
        laws = list(student_laws(*cells, shape.df))
    densities = [law.log_density(moved) for law in laws]
    prior = np.log(np.asarray(solution.distribution.class_prior))
    cost = 1.0 - np.eye(len(classes))
    return decide(np.stack(densities, axis=1) + prior, cost)


def fit_of_rows(
    target: Target, y: Any, sensitive_features: Any, asked: bool | int
) -> GoodnessOfFit | None:
    """Test whether the rows look like cells of the fitted family, if that was asked for."""
    if asked is False:
        return None
    if asked is not True:
        asked = check_count("goodness_of_fit", asked, where=_WHERE, low=19)
    return goodness_of_fit(
        target.solution.source,
        target.rows,
        y,
        sensitive_features=sensitive_features,
        n_bootstrap=_REPLICATES if asked is True else asked,
    )


def fit_sentence(fit: GoodnessOfFit | None) -> tuple[str, ...]:
    """Return in words whether the law that the certificate speaks of describes the rows."""
    if fit is None:
        return ()
    law = law_name(fit.family)
    if np.isnan(fit.p_value):
        return (f"Whether the rows look like {law} cells could not be tested: too few rows.",)
    judged = int((~np.isnan(fit.p_values)).sum())
    if fit.p_value > _LEVEL:
        return (
            f"No departure of the rows from {law} cells was detected in {judged} of "
            f"{fit.p_values.size} cells (p = {fit.p_value:.3g}); that does not show that there "
            "is none.",
        )
    far = fit.rejected(_LEVEL)
    where = ", most of all " + ", ".join(f"(label {y!s}, group {a!s})" for y, a in far[:3])
    return (
        f"The law that this certificate speaks of does NOT describe these rows: they do not look "
        f"like {law} cells (p = {fit.p_value:.3g}{where if far else ''}). What is said of the "
        "fitted law does not carry over to them; trust what was measured on rows, or fit another "
        "family.",
    )


def _fewest(n: NDArray[np.intp]) -> int:
    return int(n[n > 0].min())


def population_sentence(*, exact: bool) -> str:
    """Return the claim about the fitted law in words."""
    how = "exact but for rounding" if exact else "but NOT exact: see the criterion below"
    return (
        f"Which claim: one about the fitted law, {how}. Rows drawn from it, or from anything "
        "else, differ from it by chance and by more."
    )


def drift_record(drift: Drift, source: Any) -> dict[str, Any]:
    """Return plain values of how new rows compare with the fit."""
    return {
        "n_rows": int(drift.n_rows.sum()),
        "moved": bool(np.nansum(drift.moved) > 0),
        "cells": [
            {
                "class": plain(label),
                "group": plain(group),
                "n": int(drift.n_rows[y, a]),
                "kl_from_fit": plain(float(drift.kl[y, a])),
                "explained_by_sampling": plain(float(drift.explained[y, a])),
                "moved": None if np.isnan(drift.moved[y, a]) else bool(drift.moved[y, a]),
            }
            for y, label in enumerate(source.classes)
            for a, group in enumerate(source.groups)
        ],
    }


def plain(value: Any) -> Any:
    """Return a value that JSON holds: NaN and infinity become None, other things their name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
