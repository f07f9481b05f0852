"""Calibrated offsets of class scores as movements of the state that the head reads.

With the group given an offset is one translation a group. With the group guessed from the
row, the row's translation is a mean of them, weighted by P(group | row, class).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import clone

from isonomy._cross_fit import Split, cell_splits, cross_fitted
from isonomy._weighted_fit import fit_weighted
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, encode_groups
from isonomy.hidden_states._method._head_shift import (
    LinearHead,
    is_fitted,
    read_linear_head,
    shift_of_scores,
)
from isonomy.hidden_states._method._inputs import WHERE, MethodInputs, default_head
from isonomy.steering import GapCalibrator
from isonomy.steering._group_model import CLASS_SCALE, fit_group_model
from isonomy.steering._probe_quality import ProbeQuality, measure_probe

if TYPE_CHECKING:
    import torch

    from isonomy.hidden_states._attach._steering_maps import SteeringMaps

__all__ = ["OWN_SETTINGS", "FittedOffsets", "GuessedShift", "fit_offsets", "translation"]

Floats = NDArray[np.float64]

CHUNK = 2**22
"""Posteriors held at once: 32 MiB."""


@dataclass(frozen=True)
class FittedOffsets:
    """What ``fit_offsets`` found."""

    steerer: Any
    head: Any
    calibrator: GapCalibrator
    groups: tuple[Hashable, ...]
    probe_quality: ProbeQuality | None


@dataclass(frozen=True)
class GuessedShift:
    """``x -> x + sum_k lift_k(x) step[k]``: a shift by what is guessed of the group.

    The lift of the score of class k is ``sum_a P(a | x, k) offsets[a, k]``, and with
    ``factors`` also ``ln sum_a P(a | x) factors[a, k]``: a function of the row alone, and
    no affine one. It can be attached to a model, and not be folded into its weights.

    Attributes
    ----------
    slope : (n_groups, d)
        Log-odds of the groups are ``slope x + level[k]``, were the row's class k.
    level : (n_classes, n_groups)
    offsets : (n_groups, n_classes)
        Of the class scores.
    factors : (n_groups, n_classes) or None
        By which base rates are taken out of the scores (``base_rate_shift``).
    head : LinearHead
        Whose probabilities weigh the classes in P(a | x).
    step : (n_classes, d)
        The translation that lifts the score of class k by 1 (up to a number common to all).
    groups : tuple
    """

    slope: Floats
    level: Floats
    offsets: Floats
    factors: Floats | None
    head: LinearHead
    step: Floats
    groups: tuple[Hashable, ...]

    def posterior(self, X: NDArray[Any]) -> Floats:
        """Return P(group | row, class), ``(n_samples, n_classes, n_groups)``."""
        odds = np.asarray(X, dtype=np.float64) @ self.slope.T
        found: Floats = softmax(odds[:, None, :] + self.level, axis=2)
        return found

    def lift(self, X: NDArray[Any]) -> Floats:
        """Return what is added to the class scores, ``(n_samples, n_classes)``."""
        posterior = self.posterior(X)
        found: Floats = np.einsum("nka,ak->nk", posterior, self.offsets)
        if self.factors is not None:
            of_row = np.einsum("nk,nka->na", self.head.predict_proba(X), posterior)
            found += np.log(of_row @ self.factors)
        return found

    def apply(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the moved rows, in their own dtype."""
        rows = np.array(X)
        size = max(1, CHUNK // self.level.size)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            part += (self.lift(part) @ self.step).astype(rows.dtype, copy=False)
        return rows

    @property
    def bound(self) -> float:
        """No lift is larger: of means and logarithms of means, the largest part."""
        most = float(np.abs(self.offsets).max())
        if self.factors is not None:
            most += float(np.abs(np.log(self.factors)).max())
        return most or 1.0

    def steering_maps(self) -> SteeringMaps:
        """Return this shift as a mean of translations, for ``attached``.

        With B the ``bound``, the weights ``(1 + lift_k / B) / 2K`` and ``(1 - lift_k / B) / 2K``
        are at least 0 and sum to 1; the mean of the translations by ``K B step[k]`` and
        ``-K B step[k]`` under them is the shift itself.
        """
        from isonomy.hidden_states._attach._steering_maps import SteeringMaps

        reach = len(self.step) * self.bound * self.step
        names = [f"{sign}{label}" for sign in "+-" for label in self.head.classes.tolist()]
        return SteeringMaps(
            groups=tuple(names),
            maps=tuple(translation(shift) for shift in (*reach, *-reach)),
            posterior=_TorchLift(self),
        )


class _TorchLift:
    """The weights of ``GuessedShift.steering_maps``; tensors are made once a device."""

    def __init__(self, shift: GuessedShift) -> None:
        self._bound = shift.bound
        self._arrays = {
            "slope": shift.slope.T,
            "level": shift.level.T,
            "offsets": shift.offsets,
            "weight": shift.head.weight.T,
            "bias": shift.head.bias,
        }
        if shift.factors is not None:
            self._arrays["factors"] = shift.factors
        self._tensors: dict[Any, dict[str, torch.Tensor]] = {}

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        import torch

        at = self._on(states)
        odds = (states @ at["slope"])[:, :, None] + at["level"]  # (n, n_groups, n_classes)
        posterior = torch.softmax(odds, dim=1)
        lift = (posterior * at["offsets"]).sum(dim=1)
        if "factors" in at:
            proba = torch.softmax(states @ at["weight"] + at["bias"], dim=1)
            of_row = (posterior * proba[:, None, :]).sum(dim=2)
            lift = lift + torch.log(of_row @ at["factors"])
        share = (lift / self._bound).clamp(-1.0, 1.0)  # rounding alone is beyond
        return torch.cat([1.0 + share, 1.0 - share], dim=1) / (2 * share.shape[1])

    def _on(self, states: torch.Tensor) -> dict[str, torch.Tensor]:
        import torch

        key = states.device, states.dtype
        if key not in self._tensors:
            self._tensors[key] = {
                name: torch.as_tensor(array.copy(), dtype=states.dtype, device=states.device)
                for name, array in self._arrays.items()
            }
        return self._tensors[key]


def translation(shift: Floats) -> AffineMap:
    """Return x -> x + shift, without a matrix."""
    nothing = np.zeros((len(shift), 0))
    return AffineMap.low_rank(nothing, nothing, shift)


@dataclass(frozen=True)
class _Task:
    """Rows that count, their labels as positions among the head's classes, and the folds."""

    X: NDArray[Any]
    y: NDArray[Any]
    codes: NDArray[np.intp]
    groups: GroupCodes
    weight: Floats | None
    head: Any
    linear: LinearHead
    splits: list[Split]
    group_model: Any

    @property
    def judged(self) -> NDArray[np.intp]:
        """Rows that some fold holds out; a splitter may leave rows out."""
        return np.sort(np.concatenate([test for _, test in self.splits]))

    def weight_of(self, rows: NDArray[np.intp]) -> Floats | None:
        return None if self.weight is None else self.weight[rows]


def fit_offsets(inputs: MethodInputs, *, infer: bool) -> FittedOffsets:
    """Calibrate offsets on scores of rows the head had not seen; carry them to the state.

    Raises
    ------
    InvalidInputError
        If there are no rows, or the head cannot tell its classes apart by translations.
    """
    inputs.rows("offsets are calibrated on the class scores of held-out rows")
    settings = dict(inputs.settings)
    own = {name: settings.pop(name, default) for name, default in OWN_SETTINGS.items()}
    task = _task(inputs, own["cv"], own["group_model"])
    settings.setdefault("accuracy_tolerance", 0.005 if infer else None)
    calibrator = GapCalibrator(
        groups="infer" if infer else "given",
        classes=task.linear.classes.tolist(),
        score_kind="probability",
        **settings,
    )
    rows, scores = task.judged, _held_out_scores(task)
    guesses = _held_out_guesses(task) if infer else None
    calibrator.fit(
        scores[rows],
        task.y[rows],
        sensitive_features=task.groups.values[rows],
        group_proba=None if guesses is None else guesses[rows],
        sample_weight=task.weight_of(rows),
    )
    labels = tuple(calibrator.groups_)
    head = task.head if hasattr(task.head, "fit") else task.linear
    if guesses is None:
        shifts = shift_of_scores(task.linear.weight, calibrator.offsets_, where=WHERE)
        maps = {g: translation(s) for g, s in zip(labels, shifts, strict=True)}
        return FittedOffsets(maps, head, calibrator, labels, None)
    quality = _quality(scores[rows], guesses[rows], task, rows)
    return FittedOffsets(_guessed_shift(task, calibrator), head, calibrator, labels, quality)


OWN_SETTINGS: dict[str, Any] = {"cv": 5, "group_model": None}
"""Settings beside those of ``GapCalibrator``, as in ``SteeredClassifier``."""


def _task(inputs: MethodInputs, cv: Any, group_model: Any) -> _Task:
    y, groups, weight, X = inputs.labels(), inputs.group_codes(), inputs.weight, inputs.X
    assert X is not None  # `fit_offsets` has asked
    if weight is not None and not weight.all():
        kept = weight > 0
        X, y, weight = X[kept], y[kept], weight[kept]
        groups = encode_groups(groups.values[kept], where=WHERE)
    if len(groups.labels) < 2:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{WHERE}` must hold at least 2 groups, got only "
            f"{groups.labels[0]!r}. With one group there is nothing to equalise."
        )
    head = default_head() if inputs.head is None else inputs.head
    if not is_fitted(head):
        head = fit_weighted(clone(head), X, y, weight, where=WHERE)
    named = None if hasattr(head, "fit") else np.unique(y)
    linear = read_linear_head(head, d=X.shape[1], classes=named, where=WHERE)
    place = {label: i for i, label in enumerate(linear.classes.tolist())}
    strangers = [c for c in np.unique(y).tolist() if c not in place]
    if strangers:
        raise InvalidInputError(
            f"`y` passed to `{WHERE}` must hold classes of the `head` only, got also "
            f"{', '.join(map(str, strangers))}."
        )
    codes = np.array([place[label] for label in y.tolist()], dtype=np.intp)
    cells = codes * len(groups.labels) + groups.codes
    splits = cell_splits(cv, cells, random_state=inputs.random_state, where=WHERE)
    return _Task(X, y, codes, groups, weight, head, linear, splits, group_model)


def _held_out_scores(task: _Task) -> Floats:
    """Return probabilities by clones of the head that had not seen the row.

    A head that is no estimator (a model's own) cannot be fitted again: its scores are taken
    as they are.
    """
    if not hasattr(task.head, "fit"):
        return task.linear.predict_proba(task.X)
    return cross_fitted(
        task.head,
        task.X,
        task.y,
        task.splits,
        classes=task.linear.classes,
        sample_weight=task.weight,
        where=WHERE,
    )


def _group_model(task: _Task, rows: NDArray[np.intp]) -> Any:
    return fit_group_model(
        task.group_model,
        None,
        task.X[rows],
        task.codes[rows],
        task.groups.codes[rows],
        task.weight_of(rows),
        n_classes=len(task.linear.classes),
        n_groups=len(task.groups.labels),
        where=WHERE,
    )


def _held_out_guesses(task: _Task) -> Floats:
    """Return P(group | row, class) by models that had not seen the row."""
    shape = len(task.y), len(task.linear.classes), len(task.groups.labels)
    found = np.full(shape, 1.0 / shape[2])
    for train, test in task.splits:
        found[test] = _group_model(task, train).posterior(task.X[test])
    return found


def _quality(scores: Floats, guesses: Floats, task: _Task, rows: NDArray[np.intp]) -> ProbeQuality:
    """Judge P(a | x) = sum_k P(k | x) P(a | x, k), both factors held out."""
    posterior = np.einsum("nk,nka->na", scores, guesses)
    posterior /= posterior.sum(axis=1, keepdims=True)
    return measure_probe(
        posterior, task.groups.codes[rows], task.groups.labels, task.weight_of(rows)
    )


def _guessed_shift(task: _Task, calibrator: GapCalibrator) -> GuessedShift:
    """Write the probe of the group as log-odds that are linear in the row."""
    model = _group_model(task, np.arange(len(task.y)))
    n_classes, d = len(task.linear.classes), task.X.shape[1]
    probe = read_linear_head(model.model, d=d + n_classes, where=WHERE)
    slope = probe.weight[:, :d] / model.scaler.scale_
    base = probe.bias - slope @ model.scaler.mean_
    level = base + CLASS_SCALE * probe.weight[:, d:].T
    step = shift_of_scores(task.linear.weight, np.eye(n_classes), where=WHERE)
    lean = calibrator.log_lift_
    factors = None if lean is None else np.exp(-calibrator.base_rate_shift_ * lean)
    labels = tuple(calibrator.groups_)
    found = GuessedShift(slope, level, calibrator.offsets_, factors, task.linear, step, labels)
    some = task.X[:50]
    if not np.allclose(model.posterior(some), found.posterior(some), atol=1e-6):
        raise InvalidInputError(
            f"`group_model` of `{WHERE}` must be a linear model whose probabilities are the "
            "softmax of its scores (logistic regression), so that the shift it gives is a known "
            "function of the state. Use `SteeredClassifier` to decide on scores by any model."
        )
    return found
