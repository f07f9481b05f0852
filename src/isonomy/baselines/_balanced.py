"""The common form of classifiers fitted on rows whose cells were balanced first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from isonomy._frames import column_list, split_groups
from isonomy._group_transformer import MissingGroups, resolve_groups
from isonomy._validation import check_labels, check_sample_weight
from isonomy._weighted_fit import accepts_sample_weight, fit_weighted
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = ["Balanced", "BalancedClassifier", "check_takes_weights"]

Floats = NDArray[np.float64]
Balanced = tuple[Any, NDArray[Any], Floats | None]


def _wrapped_has(name: str) -> Any:
    def check(self: BalancedClassifier) -> bool:
        inner = getattr(self, "estimator_", self.estimator)
        if inner is None:
            kind = type(self).__name__
            raise AttributeError(f"`{kind}()` without an estimator has no `{name}`.")
        getattr(inner, name)
        return True

    return check


class BalancedClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the classifiers that change what an estimator is fitted on, by cell.

    Subclasses define the parameters ``estimator``, ``missing_groups`` and
    ``group_columns``, and the method ``_balance``. The group is not used at prediction.
    """

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__predict = {"sensitive_features": True}
    __metadata_request__predict_proba = {"sensitive_features": True}
    __metadata_request__decision_function = {"sensitive_features": True}
    __metadata_request__score = {"sensitive_features": True}

    group_use = "blind"

    estimator: Any
    missing_groups: MissingGroups
    group_columns: Sequence[Any] | None

    def _check_settings(self, weighted: bool, *, where: str) -> None:
        """Raise where a parameter is wrong; ``weighted``: the caller passed weights."""
        raise NotImplementedError

    def _balance(
        self, X: Any, y: NDArray[Any], groups: GroupCodes, weight: Floats | None
    ) -> Balanced:
        """Return rows, labels and weights to fit on; set fitted attributes."""
        raise NotImplementedError

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Balance the cells, and fit the estimator on the result.

        Parameters
        ----------
        X : whatever the estimator takes
            Passed on as it is, without the ``group_columns``.
        y : (n_samples,)
            Class labels.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; not needed with ``group_columns``.
        sample_weight : (n_samples,), optional
            The caller's own weights.

        Raises
        ------
        InvalidInputError
            If an argument has a wrong shape, kind or value, or the estimator's ``fit``
            has no ``sample_weight`` and must be given one.
        """
        where = f"{type(self).__name__}.fit"
        self._check_settings(sample_weight is not None, where=where)
        rest, groups = self._split(X, sensitive_features, where=where, fitting=True)
        validate_data(self, X=X, reset=True, skip_check_array=True)
        labels = check_labels(y, where=where, n_samples=_n_rows(rest))
        found = resolve_groups(
            groups, n_samples=len(labels), missing_groups=self.missing_groups, where=where
        )
        weight = check_sample_weight(sample_weight, len(labels), where=where)
        self.groups_ = list(found.labels)
        self.classes_ = np.unique(labels)
        rows, labels, weight = self._balance(rest, labels, found, weight)
        if self.estimator is not None:
            self.estimator_ = clone(self.estimator)
            fit_weighted(self.estimator_, rows, labels, weight, where=where)
            self.classes_ = self.estimator_.classes_
        return self

    @available_if(_wrapped_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the estimator's labels; ``sensitive_features`` is ignored."""
        predicted: NDArray[Any] = self._inner("predict", X)
        return predicted

    @available_if(_wrapped_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the estimator's probabilities; ``sensitive_features`` is ignored."""
        probabilities: NDArray[Any] = self._inner("predict_proba", X)
        return probabilities

    @available_if(_wrapped_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the estimator's scores; ``sensitive_features`` is ignored."""
        scores: NDArray[Any] = self._inner("decision_function", X)
        return scores

    @available_if(_wrapped_has("predict"))  # type: ignore[untyped-decorator]
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
    ) -> float:
        """Return the accuracy; ``sensitive_features`` is ignored."""
        return float(super().score(X, y, sample_weight=sample_weight))

    def _inner(self, method: str, X: Any) -> Any:
        check_is_fitted(self, "estimator_")
        where = f"{type(self).__name__}.{method}"
        rest, _ = self._split(X, None, where=where)
        return getattr(self.estimator_, method)(rest)

    def _split(
        self, X: Any, sensitive_features: Any, *, where: str, fitting: bool = False
    ) -> tuple[Any, Any]:
        return split_groups(
            X,
            sensitive_features,
            column_list(self.group_columns),
            n_in_fit=None if fitting else self.n_features_in_,
            needed=fitting,
            where=where,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            inner = get_tags(self.estimator)
            tags.input_tags = inner.input_tags
            tags.classifier_tags = inner.classifier_tags
        return tags


def _n_rows(X: Any) -> int:
    shape = getattr(X, "shape", None)
    if shape:
        return int(shape[0])
    return len(X) if hasattr(X, "__len__") else len(np.asarray(X))


def check_takes_weights(estimator: Any, *, where: str, name: str = "estimator") -> None:
    """Raise unless there is no estimator, or it takes ``sample_weight`` in ``fit``."""
    if estimator is None or accepts_sample_weight(estimator):
        return
    raise InvalidInputError(
        f"`{name}` of `{where}` must take `sample_weight` in its `fit`, and "
        f"{type(estimator).__name__} does not. Take one that does, for instance "
        "`LogisticRegression`."
    )
