"""Groups inferred at deployment: a probe's posterior weights the groups' maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.errors import InvalidInputError

__all__ = ["default_probe", "fit_probe", "mixed_rows", "posterior"]


def default_probe() -> Any:
    """Return a standardised logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def fit_probe(probe: Any, values: NDArray[Any], groups: NDArray[np.intp], *, where: str) -> Any:
    """Fit a clone of ``probe`` (default: :func:`default_probe`) to tell the groups."""
    model = default_probe() if probe is None else clone(probe)
    if not hasattr(model, "predict_proba"):
        raise InvalidInputError(
            f"`probe` of `{where}` must be a classifier with `predict_proba`, got "
            f"{type(model).__name__}. Wrap it in `sklearn.calibration.CalibratedClassifierCV`."
        )
    return model.fit(values.astype(np.float64, copy=False), groups)


def posterior(probe: Any, values: NDArray[Any], n_groups: int, *, hard: bool) -> NDArray[Any]:
    """Return P(group | row), ``(n_samples, n_groups)``; 0 or 1 when ``hard``."""
    found = np.zeros((len(values), n_groups))
    found[:, probe.classes_] = probe.predict_proba(values.astype(np.float64, copy=False))
    if not hard:
        return found
    gate = np.zeros_like(found)
    gate[np.arange(len(found)), found.argmax(axis=1)] = 1.0
    return gate


def mixed_rows(moved: list[NDArray[Any]], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the posterior-weighted mean of every row's images under the groups' maps."""
    out = np.zeros(moved[0].shape)
    for image, weight in zip(moved, weights.T, strict=True):
        out += weight[:, None] * image
    return out
