"""Bounds of every gap at once: what a finite sample shows, without any approximation.

Clopper-Pearson bounds hold for a rate whatever it is and however few its rows are. Taken for
all rates at once by the union bound, differences of them bound all gaps at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_real
from isonomy.errors import InvalidInputError
from isonomy.metrics._choices import class_rows, count_rows, reference_code
from isonomy.metrics._counts import ConfusionCounts
from isonomy.metrics._gap_statistics import group_pairs
from isonomy.metrics.intervals import clopper_pearson_interval
from isonomy.metrics.rates import warn_undefined

__all__ = ["Criterion", "GapBound", "SimultaneousGapBounds", "simultaneous_gap_bounds"]

Criterion = Literal["true_positive_rate", "selection_rate", "equalized_odds"]

_WHERE = "simultaneous_gap_bounds"
_REASONS = {
    "true_positive_rate": "no rows of class {true} in group {group}",
    "selection_rate": "no rows in group {group}",
    "equalized_odds": "no rows of class {true} in group {group}",
}


@dataclass(frozen=True)
class GapBound:
    """One gap, ``rates[0] - rates[1]`` of the two ``groups``, and its bounds.

    ``label`` is the predicted class, ``true`` the class of the rows (None for a selection
    rate); ``n`` rows, ``rates``, ``lows`` and ``highs`` belong to the two groups. Where a
    group has no such rows, its rate and the gap are NaN and ``reason`` says why.
    """

    label: Hashable
    true: Hashable | None
    groups: tuple[Hashable, Hashable]
    n: tuple[int, int]
    rates: tuple[float, float]
    lows: tuple[float, float]
    highs: tuple[float, float]
    reason: str = ""

    @property
    def gap(self) -> float:
        """The observed gap, signed."""
        return self.rates[0] - self.rates[1]

    @property
    def low(self) -> float:
        """Lower bound of the signed gap."""
        return self.lows[0] - self.highs[1]

    @property
    def high(self) -> float:
        """Upper bound of the signed gap."""
        return self.highs[0] - self.lows[1]

    @property
    def upper(self) -> float:
        """Upper bound of the gap's size."""
        return max(self.high, -self.low)

    @property
    def lower(self) -> float:
        """Lower bound of the gap's size: 0 unless the bounds exclude a gap of 0."""
        return float("nan") if np.isnan(self.gap) else max(self.low, -self.high, 0.0)


@dataclass(frozen=True, eq=False)
class SimultaneousGapBounds:
    """Bounds that hold for all gaps at once with probability at least ``confidence``.

    Attributes
    ----------
    criterion : str
        Whose rates were compared.
    confidence : float
        Least probability, over samples, that no bound of ``gaps`` is wrong.
    n_rates : int
        How many rates the union bound was taken over.
    classes, groups : tuple
        What was judged.
    gaps : tuple of GapBound
        One for every rate and pair of groups.
    """

    criterion: Criterion
    confidence: float
    n_rates: int
    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    gaps: tuple[GapBound, ...]

    @property
    def upper(self) -> float:
        """Largest upper bound of a gap's size; NaN if no gap is defined."""
        return max((g.upper for g in self._defined()), default=float("nan"))

    @property
    def lower(self) -> float:
        """Largest lower bound of a gap's size: some true gap is at least this large."""
        return max((g.lower for g in self._defined()), default=float("nan"))

    @property
    def undefined(self) -> tuple[GapBound, ...]:
        """Gaps that have no rows on one side, and so no bound."""
        return tuple(g for g in self.gaps if g.reason)

    def of_class(self, label: Hashable) -> tuple[GapBound, ...]:
        """Return the gaps of one predicted class.

        Parameters
        ----------
        label : class

        Raises
        ------
        InvalidInputError
            If it was not judged.
        """
        found = tuple(g for g in self.gaps if g.label == label)
        if not found:
            shown = ", ".join(repr(c) for c in self.classes[:20])
            raise InvalidInputError(
                "`label` passed to `SimultaneousGapBounds.of_class` must be one of the classes "
                f"that were judged ({shown}), got {label!r}."
            )
        return found

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a gap as a pandas or polars frame."""
        records = [_record(g) for g in self.gaps]
        columns = {name: [r[name] for r in records] for name in records[0]}
        return nw.to_native(nw.from_dict(columns, backend=backend))

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values for JSON; NaN becomes None."""
        return {
            "schema": 1,
            "kind": "simultaneous-gap-bounds",
            "criterion": self.criterion,
            "confidence": self.confidence,
            "n_rates": self.n_rates,
            "classes": [_plain(c) for c in self.classes],
            "groups": [_plain(g) for g in self.groups],
            "upper": _plain(self.upper),
            "lower": _plain(self.lower),
            "gaps": [{k: _plain(v) for k, v in _record(g).items()} for g in self.gaps],
        }

    def __str__(self) -> str:
        defined = self._defined()
        name = self.criterion.replace("_", " ")
        if not defined:
            return f"No gap of the {name} is defined: {self.gaps[0].reason}."
        worst = max(defined, key=lambda g: g.upper)
        lines = [
            f"With {100 * self.confidence:.12g}% confidence, all {len(defined)} gaps of the {name} "
            f"lie within {_shown(self.upper, up=True)} of 0 at once; the widest bound is that of "
            f"{_name(worst)}, seen at {worst.gap:+.3f} from {worst.n[0]} and {worst.n[1]} rows."
        ]
        apart = [g for g in defined if g.lower > 0]
        if apart:
            far = max(apart, key=lambda g: g.lower)
            lines.append(
                f"{len(apart)} of them are shown to differ from 0, most of all {_name(far)}: at "
                f"least {_shown(far.lower, up=False)}."
            )
        else:
            lines.append("None is shown to differ from 0; that does not show that any is 0.")
        if self.undefined:
            reasons = list(dict.fromkeys(g.reason for g in self.undefined))
            more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            lines.append(
                f"{len(self.undefined)} gap(s) are not bounded: {'; '.join(reasons[:3])}{more}."
            )
        return "\n".join(lines)

    def _defined(self) -> list[GapBound]:
        return [g for g in self.gaps if not g.reason]


def simultaneous_gap_bounds(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    confidence: float = 0.95,
    criterion: Criterion = "true_positive_rate",
    pos_label: Hashable | None = None,
    reference_group: Hashable | None = None,
) -> SimultaneousGapBounds:
    """Bound every gap between groups, all at once, from these rows.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind. The predictions must not have been fitted on these rows.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    confidence : float
        In (0, 1): the least probability that all bounds hold at once.
    criterion : "true_positive_rate", "selection_rate" or "equalized_odds"
        Rates P(predicted k | true k, a) of every class; P(predicted k | a); or
        P(predicted k | true j, a) of every pair (j, k).
    pos_label : label, optional
        Judge this predicted class alone. By default every class; of two classes whose
        rates add up to 1 (selection rate, equalized odds) the last stands for both.
    reference_group : label, optional
        With three or more groups, compare each with this one alone. By default every
        pair is compared; the bounds are the same.

    Returns
    -------
    SimultaneousGapBounds
        ``.upper`` is the largest upper bound of a gap's size.

    Raises
    ------
    InvalidInputError
        If lengths differ, there is one group only, or a label or group is unknown.

    Warns
    -----
    UndefinedRateWarning
        If a rate has no rows in some group; its gaps are NaN and are not bounded.

    Notes
    -----
    With m rates that take part in a gap, each has its Clopper-Pearson interval [l, u] at
    1 - (1 - confidence) / m, and the gap p_a - p_b lies in ``[l_a - u_b, u_a - l_b]``. By the
    union bound all hold at once with probability at least ``confidence``, given the rows of
    every cell and whatever the rates are (theory.md, section 5). Rows must be independent.
    Weighted rows have no exact law: ``rms_tpr_gap`` takes weights. It does not promise
    anything about a class or group without rows.

    Examples
    --------
    >>> y, groups = [0] * 100 + [1] * 100, ["a", "b"] * 100
    >>> found = simultaneous_gap_bounds(y, y, sensitive_features=groups)
    >>> found.n_rates, round(found.upper, 3)
    (4, 0.097)
    """
    _check_confidence(confidence, where=_WHERE)
    check_choice("criterion", criterion, get_args(Criterion), where=_WHERE)
    counts = count_rows(y_true, y_pred, sensitive_features, None, where=_WHERE)
    reference = None
    if reference_group is not None:
        reference = reference_code(counts, reference_group, where=_WHERE)
    chosen = _judged_classes(counts, criterion, pos_label)
    right, total, names = _cells(counts, criterion, chosen)
    pairs = group_pairs(len(counts.groups), reference)
    used = _used_rates(total > 0, pairs)
    rates = np.divide(right, total, out=np.full(right.shape, np.nan), where=total > 0)
    n_rates = max(int(used.sum()), 1)
    low, high = clopper_pearson_interval(rates, total, confidence, n_rates=n_rates)
    gaps = tuple(
        _bound(criterion, names[j], counts.groups, total[j], rates[j], low[j], high[j], pair)
        for j in range(len(names))
        for pair in pairs
    )
    lacking = [f"({g.label!s}, {' or '.join(map(str, g.groups))})" for g in gaps if g.reason]
    warn_undefined(f"a gap of {_WHERE}", lacking, "no rows on one side", stacklevel=3)
    classes = tuple(counts.classes[int(k)] for k in chosen)
    return SimultaneousGapBounds(criterion, confidence, n_rates, classes, counts.groups, gaps)


def _judged_classes(
    counts: ConfusionCounts, criterion: Criterion, pos_label: Hashable | None
) -> NDArray[np.intp]:
    if pos_label is not None or criterion != "true_positive_rate":
        chosen = class_rows(counts, pos_label, where=_WHERE)
    else:
        chosen = np.flatnonzero(counts.present())
    if criterion == "true_positive_rate" and not counts.present()[chosen].all():
        raise InvalidInputError(
            f"`pos_label` of `{_WHERE}` must be a class of `y_true` for the true positive rate, "
            f"got {pos_label!r}, which only `y_pred` holds."
        )
    return chosen


def _cells(
    counts: ConfusionCounts, criterion: Criterion, chosen: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[Hashable, Hashable | None]]]:
    """Return hits and rows (n_rates, n_groups), and (predicted, true) of every rate."""
    rows = counts.rows.astype(np.float64)
    labels: list[Any] = [counts.classes[int(k)] for k in chosen]
    if criterion == "selection_rate":
        hits = rows.sum(axis=0)[chosen]
        return hits, np.broadcast_to(rows.sum(axis=(0, 1)), hits.shape), [(k, None) for k in labels]
    true = rows.sum(axis=1)
    if criterion == "true_positive_rate":
        return rows[chosen, chosen], true[chosen], [(k, k) for k in labels]
    present = np.flatnonzero(counts.present())
    hits = rows[np.ix_(present, chosen)].reshape(-1, rows.shape[2])
    names = [(k, counts.classes[int(j)]) for j in present for k in labels]
    return hits, np.repeat(true[present], len(chosen), axis=0), names


def _used_rates(defined: NDArray[np.bool_], pairs: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which rates take part in a gap; the rows of the cells are given, not random."""
    used = np.zeros_like(defined)
    for a, b in pairs:
        both = defined[:, a] & defined[:, b]
        used[both, a] = used[both, b] = True
    return used


def _bound(
    criterion: Criterion,
    name: tuple[Hashable, Hashable | None],
    groups: tuple[Hashable, ...],
    total: NDArray[np.float64],
    rates: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    pair: tuple[int, int],
) -> GapBound:
    a, b = pair
    empty = [groups[i] for i in pair if total[i] == 0]
    return GapBound(
        label=name[0],
        true=name[1],
        groups=(groups[a], groups[b]),
        n=(int(total[a]), int(total[b])),
        rates=(float(rates[a]), float(rates[b])),
        lows=(float(low[a]), float(low[b])),
        highs=(float(high[a]), float(high[b])),
        reason=_REASONS[criterion].format(true=name[1], group=empty[0]) if empty else "",
    )


def _check_confidence(confidence: Any, *, where: str) -> None:
    check_real("confidence", confidence, where=where, low=0, high=1)
    if confidence in (0, 1):
        raise InvalidInputError(
            f"`confidence` of `{where}` must lie strictly between 0 and 1, got {confidence!r}."
        )


def _name(gap: GapBound) -> str:
    of = f"class {gap.label!s}"
    if gap.true is not None and gap.true != gap.label:
        of = f"predicting {gap.label!s} for class {gap.true!s}"
    return f"{of} between {gap.groups[0]!s} and {gap.groups[1]!s}"


def _shown(bound: float, *, up: bool) -> str:
    """Return a bound in (0, 1] rounded away from what it does not promise.

    Three decimals, or two digits where it is below 0.01.
    """
    digits = max(3, 1 - int(np.floor(np.log10(max(bound, 1e-300)))))
    # products that are whole but for rounding stay
    scaled = np.ceil(bound * 10.0**digits - 1e-9) if up else np.floor(bound * 10.0**digits + 1e-9)
    return f"{scaled / 10.0**digits:.{digits}f}"


def _record(gap: GapBound) -> dict[str, Any]:
    sides: Iterator[tuple[str, tuple[Any, Any]]] = iter(
        (
            ("group", gap.groups),
            ("n", gap.n),
            ("rate", gap.rates),
            ("rate_low", gap.lows),
            ("rate_high", gap.highs),
        )
    )
    record: dict[str, Any] = {"class": gap.label, "true": gap.true}
    for name, (first, second) in sides:
        record |= {f"{name}_1": first, f"{name}_2": second}
    return record | {"gap": gap.gap, "low": gap.low, "high": gap.high, "reason": gap.reason}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
