"""Fit any scikit-learn estimator on row weights, inside a Pipeline too."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn import config_context, get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from isonomy.errors import InvalidInputError

__all__ = ["accepts_sample_weight", "fit_weighted"]


def accepts_sample_weight(estimator: Any) -> bool:
    """Whether ``estimator``, or the last step of a Pipeline, takes ``sample_weight``."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if isinstance(last, Pipeline):
        return accepts_sample_weight(last)
    return bool(has_fit_parameter(last, "sample_weight"))


def fit_weighted(
    estimator: Any, X: Any, y: Any, sample_weight: NDArray[Any] | None, *, where: str
) -> Any:
    """Fit ``estimator`` in place on weighted rows; a Pipeline's last step gets the weights.

    Raises
    ------
    InvalidInputError
        If there are weights and the estimator takes none.
    """
    if sample_weight is None:
        return estimator.fit(X, y)
    if not accepts_sample_weight(estimator):
        raise InvalidInputError(
            f"`estimator` of `{where}` must accept `sample_weight` in `fit`, but "
            f"{type(estimator).__name__} does not. Choose another estimator, or set "
            "`reweigh=False` and pass no `sample_weight`."
        )
    if not isinstance(estimator, Pipeline):
        return estimator.fit(X, y, sample_weight=sample_weight)
    if _routes_weights(estimator):
        estimator.steps[-1][1].set_fit_request(sample_weight=True)
        return estimator.fit(X, y, sample_weight=sample_weight)
    # without routing no earlier step has to say that it wants no weights
    with config_context(enable_metadata_routing=False):
        return estimator.fit(X, y, **{_parameter(estimator): sample_weight})


def _routes_weights(pipeline: Pipeline) -> bool:
    """Whether routing is on and a step before the last one asks for the weights."""
    if not get_config()["enable_metadata_routing"]:
        return False
    steps = [step for _, step in pipeline.steps[:-1] if hasattr(step, "get_metadata_routing")]
    return any(get_routing_for_object(step).consumes("fit", ["sample_weight"]) for step in steps)


def _parameter(pipeline: Pipeline) -> str:
    name, last = pipeline.steps[-1]
    inner = _parameter(last) if isinstance(last, Pipeline) else "sample_weight"
    return f"{name}__{inner}"
