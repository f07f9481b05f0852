"""The metrics of an evaluation: of all rows, of each class group, of each demographic group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from isonomy.adapters._train._labels import IGNORED
from isonomy.errors import UndefinedRateWarning
from isonomy.metrics import class_group_accuracy

if TYPE_CHECKING:
    from isonomy.adapters._train._task import Task

__all__ = ["CLASS_GROUPS", "WORST_CLASS_GROUP", "GroupMetrics", "class_thirds"]

CLASS_GROUPS = ("head", "medium", "tail")
WORST_CLASS_GROUP = "worst_class_group_accuracy"
Floats = NDArray[np.float64]


def class_thirds(class_counts: Floats) -> dict[str, NDArray[np.intp]]:
    """Return the codes of head, medium and tail classes; {} where all counts are equal."""
    if len(class_counts) < 2 or class_counts.min() == class_counts.max():
        return {}
    codes = np.arange(len(class_counts))
    # asked of the metric itself, so that both always mean the same classes
    thirds = class_group_accuracy(codes, codes, class_counts=class_counts.tolist())
    parts = (thirds.head_classes, thirds.medium_classes, thirds.tail_classes)
    return {
        name: np.array(part, dtype=np.intp)
        for name, part in zip(CLASS_GROUPS, parts, strict=True)
        if part  # two classes have no middle
    }


class GroupMetrics:
    """A ``compute_metrics`` for the Trainer that adds class groups to the user's own.

    Label ids are labels, or (labels, group codes). Predictions are logits (n, K) or codes
    (n,) that the user's ``preprocess_logits_for_metrics`` has made of them.
    """

    def __init__(self, task: Task, *, own: Callable[..., Mapping[str, Any]] | None = None) -> None:
        self.thirds = {} if task.class_counts is None else class_thirds(task.class_counts)
        self.n_classes = len(task.classes)
        self.groups = task.groups
        self.multi_label = task.multi_label
        self.own = own
        self._warned = False
        self._kept: list[tuple[NDArray[Any], ...]] = []

    def __call__(
        self, prediction: EvalPrediction, compute_result: bool | None = None
    ) -> dict[str, Any]:
        """Return all metrics; with ``batch_eval_metrics`` one batch at a time, then all."""
        labels, groups = _parted(prediction.label_ids)
        batch: tuple[NDArray[Any], ...] = (
            _array(labels),
            self._predicted(prediction.predictions),
            _array(groups),
        )
        found: dict[str, Any] = {}
        if compute_result is not None:
            self._kept.append(batch)
            if compute_result:
                batch = tuple(np.concatenate(parts) for parts in zip(*self._kept, strict=True))
                self._kept = []
        if compute_result is not False:
            found = self.metrics(*batch)
        if self.own is not None:
            seen = EvalPrediction(
                predictions=prediction.predictions,
                label_ids=labels,
                losses=prediction.losses,
                inputs=prediction.inputs,
            )
            asked = {} if compute_result is None else {"compute_result": compute_result}
            found.update(self.own(seen, **asked) or {})
        return found

    def _predicted(self, predictions: Any) -> NDArray[Any]:
        scores = _array(predictions[0] if isinstance(predictions, tuple) else predictions)
        if self.multi_label:
            return scores > 0 if scores.dtype.kind == "f" else scores.astype(bool)
        return scores.argmax(axis=1) if scores.ndim == 2 else scores

    def metrics(
        self, labels: NDArray[Any], predicted: NDArray[Any], groups: NDArray[Any]
    ) -> dict[str, float]:
        """Return accuracy, macro-F1, accuracy by class group and by demographic group.

        Notes
        -----
        With TP_k, n_k. and n_.k the right predictions, the rows and the predictions of class
        k::

            recall_k = TP_k / n_k.,   F1_k = 2 TP_k / (n_k. + n_.k)

        The accuracy of a class group is the mean recall of its classes that have rows; of
        several labels a row, the accuracy is the share of rows with all labels right.
        """
        known = (labels != IGNORED).all(axis=1) if self.multi_label else labels != IGNORED
        labels, predicted = labels[known], predicted[known]
        groups = groups[known] if len(groups) == len(known) else np.empty(0)
        hits, rows, calls = self._counts(labels, predicted)
        right = labels == predicted
        right = right.all(axis=1) if self.multi_label else right
        recall = np.divide(hits, rows, out=np.full(len(rows), np.nan), where=rows > 0)
        f1 = 2 * hits[rows + calls > 0] / (rows + calls)[rows + calls > 0]
        found = {"accuracy": _mean(right.astype(float)), "macro_f1": _mean(f1)}
        found.update(self._by_class_group(recall))
        found.update(self._by_group(right, groups))
        return found

    def _counts(self, labels: NDArray[Any], predicted: NDArray[Any]) -> list[NDArray[Any]]:
        """Return, for each class, right predictions, rows and predictions."""
        if self.multi_label:
            true = labels.astype(bool)
            return [x.sum(axis=0) for x in (true & predicted, true, predicted)]
        parts = (labels[labels == predicted], labels, predicted)
        return [np.bincount(x, minlength=self.n_classes) for x in parts]

    def _by_class_group(self, recall: Floats) -> dict[str, float]:
        found = {f"{name}_accuracy": _mean(recall[part]) for name, part in self.thirds.items()}
        empty = [name for name, value in found.items() if np.isnan(value)]
        if empty and not self._warned:
            self._warned = True  # once: an evaluation runs many times
            warnings.warn(
                f"{' and '.join(empty)} in `BiasAwareTrainer.evaluate` is NaN: no row of the "
                "evaluation data has one of its classes.",
                UndefinedRateWarning,
                stacklevel=2,
            )
        if found:
            found["head_tail_gap"] = found["head_accuracy"] - found["tail_accuracy"]
        known = [found[f"{name}_accuracy"] for name in self.thirds]
        known = [value for value in known if not np.isnan(value)]
        # classes of one count are one group
        return {**found, WORST_CLASS_GROUP: min(known) if known else _mean(recall)}

    def _by_group(self, right: NDArray[np.bool_], groups: NDArray[Any]) -> dict[str, float]:
        if self.groups is None or not len(groups):
            return {}
        each = {
            name: float(right[groups == code].mean())
            for code, name in enumerate(self.groups)
            if (groups == code).any()
        }
        found = {f"accuracy_group_{name}": value for name, value in each.items()}
        return {**found, "worst_group_accuracy": min(each.values(), default=float("nan"))}


def _parted(label_ids: Any) -> tuple[Any, Any]:
    if isinstance(label_ids, tuple):
        return label_ids[0], label_ids[1]
    return label_ids, None


def _array(values: Any) -> NDArray[Any]:
    if values is None:
        return np.empty(0)
    if hasattr(values, "detach"):
        values = values.detach().float() if values.is_floating_point() else values.detach()
        return np.asarray(values.cpu().numpy())
    return np.asarray(values)


def _mean(values: Floats) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")
