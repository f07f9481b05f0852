"""One layer, judged on rows that no part was fitted on: probes, a linear head, and its gap."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.hidden_states._method._inputs import fit_head_on
from isonomy.hidden_states.methods import fit_method
from isonomy.metrics import confusion_counts, wilson_interval
from isonomy.metrics._gap_statistics import cell_rates, group_pairs
from isonomy.metrics.intervals import rms_gap_interval

__all__ = ["LayerPoint", "LayerTask", "Measured", "Part", "measure_layer"]

Floats = NDArray[np.float64]
Part = Literal["validation", "test"]

CLASS_SCALE = 5.0
"""Size of the class indicators beside standardised columns: hardly held back by a ridge."""


@dataclass(frozen=True)
class Measured:
    """A number with its 95 % interval, from ``n`` rows; NaN where it is undefined."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class LayerPoint:
    """What was measured of one layer on one part of the rows.

    Attributes
    ----------
    layer : int or None
        None is the head's input.
    part : "validation" or "test"
        The rows that choose, or those that report.
    probe_accuracy : Measured
        Of a linear probe of the group.
    probe_chance : float
        Of naming the largest group every time.
    probe_within : Measured
        Of a linear probe that is told the class as well.
    probe_within_chance : float
        Of naming the largest group of the row's class.
    accuracy, macro_f1 : Measured
        Of a linear head for the label.
    gap : Measured
        Precision-weighted rms TPR gap of that head, corrected for sampling noise: a signed
        root, negative where the gap is below its noise. The interval is of the true gap.
    gap_plain : float
        The same without correction.
    converged : bool
        Whether all three fits converged within ``max_iter``.
    """

    layer: int | None
    part: Part
    probe_accuracy: Measured
    probe_chance: float
    probe_within: Measured
    probe_within_chance: float
    accuracy: Measured
    macro_f1: Measured
    gap: Measured
    gap_plain: float
    converged: bool

    @property
    def name(self) -> str:
        """The layer in words."""
        return "the input of the head" if self.layer is None else f"block {self.layer}"

    @property
    def leakage(self) -> float:
        """What the probe that is told the class knows beyond chance."""
        return self.probe_within.value - self.probe_within_chance

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerPoint:
        """Rebuild from :meth:`to_dict`; None stands for NaN."""
        read: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                read[name] = Measured(**{k: _number(v) for k, v in value.items()})
            elif name in ("probe_chance", "probe_within_chance", "gap_plain"):
                read[name] = _number(value)
            else:
                read[name] = value
        return cls(**read)


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


@dataclass(frozen=True)
class LayerTask:
    """What is the same for all layers."""

    train: NDArray[np.intp]
    parts: Mapping[Part, NDArray[np.intp]]
    method: str
    settings: Mapping[str, Any]
    C: float
    max_iter: int
    n_boot: int
    random_state: int


def measure_layer(
    layer: int | None, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], task: LayerTask
) -> tuple[LayerPoint, ...]:
    """Fit method, head and probes on the training rows; judge them on every other part."""
    train = task.train
    method = fit_method(
        task.method,
        X=X[train],
        y=y[train],
        sensitive_features=groups[train],
        random_state=task.random_state,
        **task.settings,
    )
    taught = method.training_rows(X[train], sensitive_features=groups[train])
    if method.own_head:
        head, ok_head = method.head, True
    else:
        head, ok_head = _fit(task, taught, y[train], groups[train], method.sample_weight_rule)
    # the probe looks for what is left of the group in states as the model will have them
    served = method.transform(X[train], sensitive_features=groups[train])
    probe, ok_probe = _fit(task, served, groups[train], None, "none")
    scaler = StandardScaler().fit(served)
    classes = np.unique(y[train])
    beside = _told(scaler, served, y[train], classes)
    told, ok_told = _fit(task, beside, groups[train], None, "none", scaled=True)
    largest, of_class = _constants(y[train], groups[train])
    points = []
    for part, rows in task.parts.items():
        moved = method.transform(X[rows], sensitive_features=groups[rows])
        own, labels = groups[rows], y[rows]
        with_class = _told(scaler, moved, labels, classes)
        constant = np.array([of_class.get(label, largest) for label in labels.tolist()])
        points.append(
            LayerPoint(
                layer=layer,
                part=part,
                probe_accuracy=_share(probe.predict(moved) == own),
                probe_chance=float(np.mean(own == largest)),
                probe_within=_share(told.predict(with_class) == own),
                probe_within_chance=float(np.mean(constant == own)),
                **_utility_and_gap(labels, head.predict(moved), own, task),
                converged=ok_head and ok_probe and ok_told,
            )
        )
    return tuple(points)


def _fit(
    task: LayerTask,
    X: Any,
    y: NDArray[Any],
    groups: NDArray[Any] | None,
    rule: str,
    *,
    scaled: bool = False,
) -> tuple[Pipeline, bool]:
    """Return a logistic regression and whether it converged; ``scaled`` columns stay so."""
    model = LogisticRegression(C=task.C, max_iter=task.max_iter, tol=1e-3)
    pipeline = make_pipeline("passthrough" if scaled else StandardScaler(), model)
    with warnings.catch_warnings():
        # a limited number of steps is asked for; the point says whether it was enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = fit_head_on(
            pipeline, X, y, groups=groups, weight=None, rule=rule, where="layer_curves"
        )
    return fitted, bool(np.max(fitted.steps[-1][1].n_iter_) < task.max_iter)


def _told(scaler: Any, X: Any, y: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Return standardised rows beside an indicator of their class."""
    rows = scaler.transform(X)
    return np.hstack([rows, CLASS_SCALE * (y[:, None] == classes).astype(rows.dtype)])


def _constants(y: NDArray[Any], groups: NDArray[Any]) -> tuple[Any, dict[Any, Any]]:
    """Return the largest group, and the largest one of every class."""
    names, codes = np.unique(groups, return_inverse=True)
    largest = names[np.bincount(codes).argmax()]
    of_class = {
        label: names[np.bincount(codes[y == label]).argmax()] for label in np.unique(y).tolist()
    }
    return largest, of_class


def _share(right: NDArray[np.bool_]) -> Measured:
    rate, n = float(right.mean()), len(right)
    low, high = wilson_interval(rate, n)
    return Measured(rate, float(low), float(high), n)


def _utility_and_gap(
    y: NDArray[Any], predicted: NDArray[Any], groups: NDArray[Any], task: LayerTask
) -> dict[str, Any]:
    counts = confusion_counts(y, predicted, sensitive_features=groups)
    rng = np.random.default_rng(task.random_state)
    found = rms_gap_interval(
        cell_rates(counts),
        group_pairs(len(counts.groups), None),
        weighting="precision",
        n_boot=task.n_boot,
        rng=rng,
    )
    return {
        "accuracy": _share(y == predicted),
        "macro_f1": _macro_f1(counts.rows.sum(axis=2), task.n_boot, rng),
        "gap": Measured(found.corrected, found.low, found.high, len(y)),
        "gap_plain": found.value,
    }


def _macro_f1(confusion: NDArray[Any], n_boot: int, rng: np.random.Generator) -> Measured:
    """Return macro-F1 over the classes with true rows; (true, predicted) pairs are resampled.

    The interval is that of the replicates, moved to where the value is: resampled rare
    classes lose rows for good, which pulls every replicate down.
    """
    n = int(confusion.sum())
    present = confusion.sum(axis=1) > 0
    value = float(_f1(confusion[None], present)[0])
    shares = (confusion / n).ravel()
    drawn = np.concatenate(
        [
            _f1(rng.multinomial(n, shares, size=size).reshape(-1, *confusion.shape), present)
            for size in _pieces(n_boot, confusion.size)
        ]
    )
    low, high = np.quantile(drawn, [0.025, 0.975]) - drawn.mean()
    return Measured(value, max(0.0, value + float(low)), min(1.0, value + float(high)), n)


def _pieces(total: int, size: int) -> list[int]:
    step = max(1, 1_000_000 // size)
    return [min(step, total - start) for start in range(0, total, step)]


def _f1(confusion: NDArray[Any], present: NDArray[np.bool_]) -> Floats:
    right = np.diagonal(confusion, axis1=1, axis2=2)[:, present]
    both = (confusion.sum(axis=1) + confusion.sum(axis=2))[:, present]
    scores = np.divide(2.0 * right, both, out=np.zeros(right.shape), where=both > 0)
    mean: Floats = scores.mean(axis=1)
    return mean
