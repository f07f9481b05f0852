"""Groups inferred at deployment: a probe's posterior weights the groups' maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy._weighted_fit import accepts_sample_weight, fit_weighted
from isonomy.errors import InvalidInputError
from isonomy.steering._counted import CountedRows

__all__ = ["default_probe", "fit_probe", "mixed_rows", "posterior"]


def default_probe() -> Any:
    """Return a standardised logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def fit_probe(probe: Any, rows: CountedRows, *, where: str) -> Any:
    """Fit a clone of ``probe`` (default: :func:`default_probe`) to tell the groups.

    Row weights reach the default's scaler and classifier, and any other probe that takes
    them.

    Raises
    ------
    InvalidInputError
        If the probe gives no probabilities, or there are weights and it takes none.
    """
    model = default_probe() if probe is None else clone(probe)
    if not hasattr(model, "predict_proba"):
        raise InvalidInputError(
            f"`probe` of `{where}` must be a classifier with `predict_proba`, got "
            f"{type(model).__name__}. Wrap it in `sklearn.calibration.CalibratedClassifierCV`."
        )
    values = rows.values.astype(np.float64, copy=False)
    groups, weight = rows.groups.codes, rows.weight
    if weight is not None and probe is None:
        names = (f"{name}__sample_weight" for name, _ in model.steps)
        with config_context(enable_metadata_routing=False):
            return model.fit(values, groups, **dict.fromkeys(names, weight))
    if weight is not None and not accepts_sample_weight(model):
        raise InvalidInputError(
            f"`probe` of `{where}` must accept `sample_weight` in `fit`, because weights were "
            f"passed, but {type(model).__name__} does not. Choose another probe."
        )
    return fit_weighted(model, values, groups, weight, where=where)


def posterior(probe: Any, values: NDArray[Any], n_groups: int, *, hard: bool) -> NDArray[Any]:
    """Return P(group | row), ``(n_samples, n_groups)``; 0 or 1 when ``hard``."""
    found = np.zeros((len(values), n_groups))
    found[:, probe.classes_] = probe.predict_proba(values.astype(np.float64, copy=False))
    if not hard:
        return found
    gate = np.zeros_like(found)
    gate[np.arange(len(found)), found.argmax(axis=1)] = 1.0
    return gate


def mixed_rows(moved: Iterable[NDArray[Any]], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the posterior-weighted mean of every row's images under the groups' maps.

    The images are taken one by one, so that no more than one is in memory.
    """
    parts = (weight[:, None] * image for image, weight in zip(moved, weights.T, strict=True))
    out: NDArray[np.float64] = np.asarray(next(parts), dtype=np.float64)
    for part in parts:
        out += part
    return out
