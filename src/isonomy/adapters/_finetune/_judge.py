"""Judge decisions class by class: recalls, common against rare, and the audit of groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._finetune._class_table import third_of_classes
from isonomy.auditing import audit
from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics.intervals import wilson_interval
from isonomy.metrics.label_bias import bias_score, cobias, macro_f1, recall_rsd

__all__ = ["THIRDS", "Judged", "judge"]

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

THIRDS = ("head", "medium", "tail")
_CHUNK = 200
_CONFIDENCE = 0.95
_SHOWN_CONFUSIONS = 10


@dataclass(frozen=True)
class Judged:
    """The rows that decisions are judged on.

    ``labels`` are codes into ``classes``, ``counts`` the training rows of each class.
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    groups: NDArray[np.str_] | None
    min_cell: int
    n_boot: int
    random_state: int


def judge(
    scores: Floats,
    rows: Judged,
    *,
    name: str,
    label: str,
    what: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return everything that is said about one classifier, ready for JSON.

    Parameters
    ----------
    scores : (n, n_classes)
        Probabilities of the classes.
    rows : Judged
        The n rows judged.
    name, label, what : str
        Key, short name and one sentence on what decided.
    progress : callable, optional
        Called as ``progress(text, done, total)`` by the audit.

    Notes
    -----
    Intervals of accuracy and of recalls are Wilson's. Those of means over classes, and of
    their differences, are percentiles of ``n_boot`` draws in which the rows of each class are
    resampled, so the number of test rows of a class stays what it is.
    """
    predicted = np.argmax(scores, axis=1)
    table = _confusion(rows.labels, predicted, len(rows.classes))
    drawn = _Draws(table, rows.n_boot, rows.random_state)
    third = np.array(third_of_classes(rows.counts))
    found, why = _audit(predicted, rows, progress)
    return {
        "name": name,
        "label": label,
        "what": what,
        "n": len(rows.labels),
        "accuracy": _accuracy(table),
        "balanced_accuracy": _entry(drawn.mean_recall(np.ones(len(table), dtype=bool))),
        "macro_f1": _entry((macro_f1(rows.labels, predicted), drawn.macro_f1())),
        "class_groups": [_class_group(t, third, drawn, rows, table) for t in THIRDS],
        "measures": _measures(scores, predicted, rows, third, drawn),
        "by_class": _by_class(table, rows, third),
        "confusions": _confusions(table, rows.classes),
        "audit": found,
        "audit_reason": why,
    }


def _confusion(true: NDArray[Any], predicted: NDArray[Any], k: int) -> NDArray[np.int64]:
    table = np.zeros((k, k), dtype=np.int64)
    np.add.at(table, (true, predicted), 1)
    return table


class _Draws:
    """Resampled recalls and F1: the rows of each true class are drawn anew."""

    def __init__(self, table: NDArray[np.int64], n_boot: int, seed: int) -> None:
        n = table.sum(axis=1)
        self.present = n > 0
        self.recall = np.full(len(table), np.nan)
        self.recall[self.present] = np.diagonal(table)[self.present] / n[self.present]
        self._table, self._n = table, n
        recalls, f1 = [], []
        rng = np.random.default_rng(seed)
        for start in range(0, n_boot, _CHUNK):
            drawn = self._tables(rng, min(_CHUNK, n_boot - start))
            right = np.diagonal(drawn, axis1=1, axis2=2)
            with np.errstate(invalid="ignore"):
                recalls.append(right / n)
            f1.append(_f1(drawn, right))
        self.recalls: Floats = np.concatenate(recalls)
        self._f1: Floats = np.concatenate(f1)

    def _tables(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        drawn = np.zeros((size, *self._table.shape), dtype=np.int64)
        for k in np.flatnonzero(self.present):
            drawn[:, k] = rng.multinomial(self._n[k], self._table[k] / self._n[k], size=size)
        return drawn

    def mean_recall(self, of: NDArray[np.bool_]) -> tuple[float, Floats]:
        """Return the mean recall of the classes of a mask, and its draws."""
        kept = of & self.present
        if not kept.any():
            return float("nan"), np.array([np.nan])
        return float(self.recall[kept].mean()), self.recalls[:, kept].mean(axis=1)

    def macro_f1(self) -> Floats:
        """Return the draws of macro F1."""
        return self._f1


def _f1(tables: NDArray[np.int64], right: NDArray[np.int64]) -> Floats:
    both = tables.sum(axis=1) + tables.sum(axis=2)
    seen = both > 0
    each = np.where(seen, 2 * right / np.maximum(both, 1), 0.0)
    return np.asarray(each.sum(axis=1) / seen.sum(axis=1), dtype=np.float64)


def _entry(found: tuple[float, Floats], **more: Any) -> dict[str, Any]:
    value, draws = found
    if value != value or not np.isfinite(draws).any():
        return {"value": _number(value), "low": None, "high": None, **more}
    edges = (0.5 - _CONFIDENCE / 2, 0.5 + _CONFIDENCE / 2)
    low, high = np.nanquantile(draws, edges)
    return {"value": float(value), "low": float(low), "high": float(high), **more}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _accuracy(table: NDArray[np.int64]) -> dict[str, Any]:
    n = int(table.sum())
    rate = float(np.trace(table) / n)
    low, high = wilson_interval(rate, n, _CONFIDENCE)
    return {"value": rate, "low": float(low), "high": float(high), "n": n}


def _class_group(
    third: str, of: NDArray[Any], drawn: _Draws, rows: Judged, table: NDArray[np.int64]
) -> dict[str, Any]:
    mask = of == third
    names = [rows.classes[k] for k in np.argsort(-rows.counts, kind="stable") if mask[k]]
    more = {"group": third, "classes": names, "n": int(table[mask].sum())}
    return _entry(drawn.mean_recall(mask), **more)


def _measures(
    scores: Floats, predicted: NDArray[Any], rows: Judged, third: NDArray[Any], drawn: _Draws
) -> list[dict[str, Any]]:
    head, tail = (drawn.mean_recall(third == name) for name in ("head", "tail"))
    gap = head[0] - tail[0], head[1] - tail[1]
    no_thirds = None if gap[0] == gap[0] else "no class is rarer than another, or none is judged"
    worst = float(np.nanmin(drawn.recall))
    found = [
        _measure("head_tail_gap", _entry(gap), no_thirds),
        # no interval: the least of many resampled recalls lies below the least of the true ones
        _measure("worst_class_recall", {"value": worst, "low": None, "high": None}),
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndefinedRateWarning)
        for name, value in (
            ("cobias", cobias(rows.labels, predicted)),
            ("recall_rsd", recall_rsd(rows.labels, predicted)),
            ("bias_score", bias_score(rows.labels, scores)),
        ):
            why = None if value == value else str(caught[-1].message)
            found.append(_measure(name, {"value": _number(value), "low": None, "high": None}, why))
    return found


def _measure(name: str, entry: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"metric": name, **entry, "reason": reason}


def _by_class(table: NDArray[np.int64], rows: Judged, third: NDArray[Any]) -> list[dict[str, Any]]:
    n, chosen, right = table.sum(axis=1), table.sum(axis=0), np.diagonal(table)
    found = []
    for k in np.argsort(-rows.counts, kind="stable"):
        entry: dict[str, Any] = {
            "class": rows.classes[k],
            "third": str(third[k]),
            "n_train": int(rows.counts[k]),
            "n": int(n[k]),
            "value": None,
            "low": None,
            "high": None,
            "n_predicted": int(chosen[k]),
            "precision": float(right[k] / chosen[k]) if chosen[k] else None,
        }
        if n[k]:
            rate = float(right[k] / n[k])
            low, high = wilson_interval(rate, n[k], _CONFIDENCE)
            entry |= {"value": rate, "low": float(low), "high": float(high)}
        found.append(entry)
    return found


def _confusions(table: NDArray[np.int64], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the most frequent mistakes."""
    wrong = table.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN_CONFUSIONS]
    pairs = [np.unravel_index(i, wrong.shape) for i in order]
    return [
        {
            "class": classes[y],
            "predicted": classes[p],
            "n": int(wrong[y, p]),
            "share": float(wrong[y, p] / table[y].sum()),
        }
        for y, p in pairs
        if wrong[y, p] > 0
    ]


def _audit(
    predicted: NDArray[Any], rows: Judged, progress: Progress | None
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the audit of the groups; None and the reason where there cannot be one."""
    if rows.groups is None:
        return None, "no group column was named"
    names = np.array(rows.classes)
    with warnings.catch_warnings():  # what is undefined is listed in the audit, with its reason
        warnings.simplefilter("ignore", UndefinedRateWarning)
        try:
            found = audit(
                names[rows.labels],
                names[predicted],
                sensitive_features=rows.groups,
                n_boot=rows.n_boot,
                min_cell=rows.min_cell,
                random_state=rows.random_state,
                progress=progress,
            )
        except InvalidInputError as error:  # too few rows of a group among those judged
            return None, str(error)
    return found.to_dict(), None
