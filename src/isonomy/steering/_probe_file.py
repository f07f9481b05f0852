"""A probe's place in a steerer's file: the default one as arrays, others through skops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.steering._probe import GroupProbe, default_probe
from isonomy.steering._probe_calibration import ProbeCalibration
from isonomy.steering._probe_quality import ProbeQuality

__all__ = ["probe_from_state", "probe_to_state", "quality_from_dict"]

Tensors = dict[str, NDArray[Any]]

_CALIBRATION = "probe/calibration/"


def probe_to_state(
    probe: GroupProbe | None, parameter: Any
) -> tuple[dict[str, Any], Tensors, dict[str, Any]]:
    """Return settings, tensors and estimators; ``parameter`` is the unfitted ``probe``.

    Only the default probe and every calibration are arrays; any other probe, fitted and
    unfitted, is left to skops.
    """
    config: dict[str, Any] = {
        "default": parameter is None,
        "class": None if parameter is None else type(parameter).__name__,
        "calibration": None,
    }
    estimators = {} if parameter is None else {"probe_parameter": parameter}
    if probe is None:
        return config, {}, estimators
    tensors: Tensors = {}
    if probe.calibration is not None:
        config["calibration"] = probe.calibration.method
        tensors |= {_CALIBRATION + k: np.asarray(v) for k, v in probe.calibration.arrays.items()}
    if parameter is not None:
        return config, tensors, estimators | {"probe": probe.model}
    scaler, classifier = (step for _, step in probe.model.steps)
    tensors |= {
        "probe/mean": scaler.mean_,
        "probe/variance": scaler.var_,
        "probe/scale": scaler.scale_,
        "probe/coef": classifier.coef_,
        "probe/intercept": classifier.intercept_,
        "probe/classes": classifier.classes_,
    }
    return config, tensors, estimators


def probe_from_state(
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    estimators: Mapping[str, Any],
    labels: tuple[Any, ...],
) -> GroupProbe | None:
    """Return the probe of a file, or None where it has none or could not be stored."""
    calibration = None
    if config["calibration"] is not None:
        arrays = {
            name.removeprefix(_CALIBRATION): array
            for name, array in tensors.items()
            if name.startswith(_CALIBRATION)
        }
        calibration = ProbeCalibration(config["calibration"], arrays)
    if "probe" in estimators:
        return GroupProbe(estimators["probe"], labels, calibration)
    if "probe/coef" not in tensors:
        return None
    return GroupProbe(_default_from(tensors), labels, calibration)


def _default_from(tensors: Mapping[str, NDArray[Any]]) -> Any:
    """Return the default probe, fitted, from the arrays that its steps learnt."""
    model = default_probe()
    scaler, classifier = (step for _, step in model.steps)
    scaler.mean_, scaler.var_ = tensors["probe/mean"], tensors["probe/variance"]
    scaler.scale_ = tensors["probe/scale"]
    classifier.coef_, classifier.intercept_ = tensors["probe/coef"], tensors["probe/intercept"]
    classifier.classes_ = tensors["probe/classes"]
    scaler.n_features_in_ = classifier.n_features_in_ = len(scaler.mean_)
    return model


def quality_from_dict(stored: Mapping[str, Any] | None, labels: tuple[Any, ...]) -> Any:
    """Return the ``ProbeQuality`` that wrote ``stored``, or None."""
    if stored is None:
        return None
    shares = [entry["recall"] for entry in stored["by_group"]]
    rows = [entry["n"] for entry in stored["by_group"]]
    numbers = ("n", "accuracy", "base_rate", "auc", "calibration_error", "log_loss")
    return ProbeQuality(
        **{name: stored[name] for name in numbers},
        recall=dict(zip(labels, shares, strict=True)),
        rows=dict(zip(labels, rows, strict=True)),
    )
