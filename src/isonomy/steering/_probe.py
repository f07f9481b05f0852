"""Groups inferred at deployment: a probe's posterior weights the groups' maps."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from isonomy._weighted_fit import accepts_sample_weight, fit_weighted
from isonomy.errors import InvalidInputError
from isonomy.steering._counted import CountedRows
from isonomy.steering._probe_calibration import ProbeCalibration, fit_calibration
from isonomy.steering._probe_folds import N_FOLDS, probe_folds
from isonomy.steering._probe_quality import ProbeQuality, measure_probe
from isonomy.steering._probe_scores import check_probe, probabilities, raw_scores

__all__ = [
    "FittedProbe",
    "GroupProbe",
    "check_posterior",
    "default_probe",
    "fit_probe",
    "group_weights",
    "mixed_rows",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GroupProbe:
    """A fitted probe and its calibration: rows in, P(group | row) out."""

    model: Any
    labels: tuple[Hashable, ...]
    calibration: ProbeCalibration | None

    def posterior(self, values: NDArray[Any], *, where: str) -> Floats:
        """Return P(group | row), ``(n_samples, n_groups)``."""
        if self.calibration is None:
            return probabilities(self.model, values, self.labels, where=where)
        method = self.calibration.method
        scores = raw_scores(self.model, values, self.labels, method=method, where=where)
        return self.calibration.posterior(scores)


@dataclass(frozen=True)
class FittedProbe:
    """A probe fitted on all rows, and what probes that had not seen a row said of it."""

    probe: GroupProbe
    held_out: Floats
    quality: ProbeQuality


def default_probe() -> Any:
    """Return a standardised logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def fit_probe(
    probe: Any, rows: CountedRows, *, calibration: str | None, n_jobs: int | None, where: str
) -> FittedProbe:
    """Fit a clone of ``probe`` (default: :func:`default_probe`), calibrate it and judge it.

    Probes fitted without a fold score its rows. All these scores together calibrate the
    probe fitted on all rows; those of the other folds calibrate what is said of a fold,
    so that the held-out posterior of a row owes nothing to it.

    Raises
    ------
    InvalidInputError
        If the probe cannot score groups, or there are weights and it takes none.
    """
    values = rows.values.astype(np.float64, copy=False)
    labels, codes, weight = rows.groups.labels, rows.groups.codes, rows.weight
    check_probe(default_probe() if probe is None else probe, calibration, where=where)
    fold = probe_folds(values, codes, weight)
    parts = [np.flatnonzero(fold == f) for f in range(N_FOLDS)]
    parts = [part for part in parts if len(part)]
    scored = Parallel(n_jobs=n_jobs)(
        delayed(_scores_without)(probe, values, codes, weight, part, labels, calibration, where)
        for part in parts
    )
    scores = np.empty((len(codes), len(labels)))
    for part, found in zip(parts, scored, strict=True):
        scores[part] = found
    model = _fit_one(probe, values, codes, weight, where=where)
    if calibration is None:
        curve, held_out = None, scores
    else:
        curve = fit_calibration(calibration, scores, codes, weight)
        held_out = _cross_calibrated(calibration, scores, codes, weight, parts)
    quality = measure_probe(held_out, codes, labels, weight)
    return FittedProbe(GroupProbe(model, tuple(labels), curve), held_out, quality)


def _fit_one(
    probe: Any, values: Floats, codes: NDArray[np.intp], weight: Floats | None, *, where: str
) -> Any:
    if isinstance(probe, FrozenEstimator):
        return probe  # learns nothing here, from weights neither
    model = default_probe() if probe is None else clone(probe)
    if weight is not None and probe is None:
        names = (f"{name}__sample_weight" for name, _ in model.steps)
        with config_context(enable_metadata_routing=False):
            return model.fit(values, codes, **dict.fromkeys(names, weight))
    if weight is not None and not accepts_sample_weight(model):
        raise InvalidInputError(
            f"`probe` of `{where}` must accept `sample_weight` in `fit`, because weights were "
            f"passed, but {type(model).__name__} does not. Choose another probe."
        )
    return fit_weighted(model, values, codes, weight, where=where)


def _scores_without(
    probe: Any,
    values: Floats,
    codes: NDArray[np.intp],
    weight: Floats | None,
    part: NDArray[np.intp],
    labels: Sequence[Hashable],
    calibration: str | None,
    where: str,
) -> Floats:
    """Return scores (or, uncalibrated, probabilities) of ``part`` by a probe without it."""
    rest = np.ones(len(codes), dtype=bool)
    rest[part] = False
    left = None if weight is None else weight[rest]
    model = _fit_one(probe, values[rest], codes[rest], left, where=where)
    if calibration is None:
        return probabilities(model, values[part], labels, where=where)
    return raw_scores(model, values[part], labels, method=calibration, where=where)


def _cross_calibrated(
    method: str,
    scores: Floats,
    codes: NDArray[np.intp],
    weight: Floats | None,
    parts: Sequence[NDArray[np.intp]],
) -> Floats:
    posterior = np.empty_like(scores)
    for part in parts:
        rest = np.ones(len(codes), dtype=bool)
        rest[part] = False
        left = None if weight is None else weight[rest]
        curve = fit_calibration(method, scores[rest], codes[rest], left)
        posterior[part] = curve.posterior(scores[part])
    return posterior


def check_posterior(posterior: ArrayLike, shape: tuple[int, int], *, where: str) -> Floats:
    """Return ``posterior`` as an array whose rows are probabilities of the groups."""
    found = np.asarray(posterior, dtype=np.float64)
    if found.shape != shape:
        raise InvalidInputError(
            f"`posterior` passed to `{where}` must have one row a sample and one column a group "
            f"{shape}, got shape {found.shape}. Its columns follow `groups_`."
        )
    # sums are rounded by whoever stored them; float32 keeps 7 digits
    strange = ~(np.isfinite(found).all(axis=1) & (found >= 0).all(axis=1))
    strange |= ~(np.abs(found.sum(axis=1) - 1) <= 1e-5)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise InvalidInputError(
            f"`posterior` passed to `{where}` must hold probabilities that sum to 1 in every "
            f"row, got {found[row].tolist()} in row {row}. Divide each row by its sum."
        )
    return found


def group_weights(posterior: Floats, inference: str, gate_threshold: float) -> Floats:
    """Return the weight of every group's map for every row; rows sum to 1.

    "soft" is the posterior itself, "hard" 1 for the most probable group (the first of
    equals), "gated" hard where the largest posterior reaches ``gate_threshold`` and soft
    below.
    """
    if inference == "soft":
        return posterior
    weights = np.zeros_like(posterior)
    weights[np.arange(len(posterior)), posterior.argmax(axis=1)] = 1.0
    if inference == "hard":
        return weights
    return np.where(posterior.max(axis=1, keepdims=True) >= gate_threshold, weights, posterior)


def mixed_rows(moved: Iterable[NDArray[Any]], weights: Floats) -> Floats:
    """Return the posterior-weighted mean of every row's images under the groups' maps.

    The images are taken one by one, so that no more than one is in memory.
    """
    parts = (weight[:, None] * image for image, weight in zip(moved, weights.T, strict=True))
    out: Floats = np.asarray(next(parts), dtype=np.float64)
    for part in parts:
        out += part
    return out
