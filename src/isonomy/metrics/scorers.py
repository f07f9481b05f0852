"""A scorer that gives the groups of the rows to ``predict`` and to the metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, Self

from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from isonomy._validation import check_choice
from isonomy.errors import GroupsRequiredError, InvalidInputError

__all__ = ["GroupScorer", "make_group_scorer"]

ResponseMethod = Literal["predict", "predict_proba", "decision_function"]

_GROUPS = "sensitive_features"


class GroupScorer:
    """Callable ``scorer(estimator, X, y, *, sensitive_features)``; see :func:`make_group_scorer`.

    It requests ``sensitive_features`` by default; ask for weights with
    ``set_score_request(sample_weight=True)``.
    """

    def __init__(
        self,
        metric: Callable[..., float],
        *,
        greater_is_better: bool,
        response_method: ResponseMethod,
        kwargs: dict[str, Any],
    ) -> None:
        self.metric = metric
        self.greater_is_better = greater_is_better
        self.response_method = response_method
        self.kwargs = kwargs
        self._requests: dict[str, bool | str | None] = {_GROUPS: True, "sample_weight": None}

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y_true: Any,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score ``estimator`` on rows ``X`` with labels ``y_true``; higher is better.

        Raises
        ------
        GroupsRequiredError
            If ``sensitive_features`` did not arrive.
        InvalidInputError
            If the estimator lacks the response method.
        """
        if sensitive_features is None:
            raise GroupsRequiredError(
                f"`sensitive_features` passed to {self!r} must hold one group a row, got None. "
                "Pass it when you call the scorer; in a search or a cross-validation call "
                "`sklearn.set_config(enable_metadata_routing=True)` and pass it to `fit` or "
                "in `params=`."
            )
        respond = getattr(estimator, self.response_method, None)
        if respond is None:
            raise InvalidInputError(
                f"`estimator` passed to {self!r} must have `{self.response_method}`, got "
                f"{type(estimator).__name__}. Choose another `response_method`."
            )
        asked = {_GROUPS: sensitive_features} if self._takes_groups(estimator, respond) else {}
        response = respond(X, **asked)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        groups = {_GROUPS: sensitive_features} if _metric_takes_groups(self.metric) else {}
        value = self.metric(y_true, response, **groups, **weights, **self.kwargs)
        return float(value) if self.greater_is_better else -float(value)

    def _takes_groups(self, estimator: Any, respond: Callable[..., Any]) -> bool:
        """Whether the estimator's own request, its routing or its signature takes groups."""
        named = _GROUPS in inspect.signature(respond).parameters
        if not hasattr(estimator, "get_metadata_routing"):
            return named
        routing = get_routing_for_object(estimator)
        if routing.consumes(method=self.response_method, params=[_GROUPS]):
            return True
        if not named:
            return False
        own = getattr(routing, self.response_method, None)
        return own is None or own.requests.get(_GROUPS) is not False

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """Say which metadata the scorer takes, as scikit-learn's scorers do.

        Parameters
        ----------
        **requests : True, False, None or str
            For ``sensitive_features`` and ``sample_weight``: take it, ignore it, raise if
            it is passed, or take it under another name.

        Returns
        -------
        GroupScorer
            The scorer itself.

        Raises
        ------
        InvalidInputError
            If a name is not one that the scorer takes.
        """
        unknown = sorted(set(requests) - set(self._requests))
        if unknown:
            raise InvalidInputError(
                "`requests` of `GroupScorer.set_score_request` must name sensitive_features "
                f"or sample_weight, got {', '.join(unknown)}."
            )
        self._requests = {**self._requests, **requests}
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what ``score`` requests, for scikit-learn's routing."""
        request = MetadataRequest(owner=self)
        for name, alias in self._requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def _accept_sample_weight(self) -> bool:
        # scikit-learn asks this of every scorer of a set when routing is off
        return True

    def __repr__(self) -> str:
        inner = getattr(self.metric, "func", self.metric)
        name = getattr(inner, "__name__", type(inner).__name__)
        return f"make_group_scorer({name}, greater_is_better={self.greater_is_better})"


def _metric_takes_groups(metric: Callable[..., float]) -> bool:
    try:
        parameters = inspect.signature(metric).parameters
    except ValueError:  # a built-in without a signature
        return True
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return anything or _GROUPS in parameters


def make_group_scorer(
    metric: Callable[..., float],
    *,
    greater_is_better: bool = False,
    response_method: ResponseMethod = "predict",
    **kwargs: Any,
) -> GroupScorer:
    """Make a scorer from a metric that needs the groups of the rows.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, y_pred, sensitive_features=..., **kwargs)``, with
        ``sample_weight=`` when it is routed; for instance ``rms_tpr_gap``. One without that
        parameter, such as ``accuracy_score``, is called without groups: they still reach
        an estimator that uses them to predict.
    greater_is_better : bool
        False (the default, as gaps are better small) turns the sign, so that a search
        maximises the negative gap.
    response_method : "predict", "predict_proba" or "decision_function"
        Whose output the metric gets.
    **kwargs
        Passed on to ``metric``, for instance ``weighting="precision"``.

    Returns
    -------
    GroupScorer
        ``scorer(estimator, X, y, sensitive_features=groups)``. In GridSearchCV and
        cross_validate the groups are routed: enable metadata routing, and pass
        ``sensitive_features`` to ``fit`` or in ``params``. Groups reach the response method
        too where the estimator (or the Pipeline's routing) takes them.

    Raises
    ------
    InvalidInputError
        If ``metric`` is not callable or ``response_method`` is none of the three.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from isonomy.metrics import rms_tpr_gap
    >>> scorer = make_group_scorer(rms_tpr_gap)
    >>> X, y = [[0], [1], [2], [3]], [0, 0, 1, 1]
    >>> scorer(DummyClassifier().fit(X, y), X, y, sensitive_features=list("abab")) == 0
    True
    """
    where = "make_group_scorer"
    if not callable(metric):
        raise InvalidInputError(f"`metric` of `{where}` must be callable, got {metric!r}.")
    check_choice(
        "response_method",
        response_method,
        ("predict", "predict_proba", "decision_function"),
        where=where,
    )
    return GroupScorer(
        metric, greater_is_better=greater_is_better, response_method=response_method, kwargs=kwargs
    )
