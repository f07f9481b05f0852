"""What the bridges to fairlearn share: the import, binary labels, groups and chance."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from isonomy._frames import column_list, split_groups
from isonomy._group_codes import MissingGroups, match_groups, resolve_groups
from isonomy._validation import check_labels, check_random_state
from isonomy.baselines._linear_post_rates import find_positive
from isonomy.errors import InvalidInputError, MissingExtraError

__all__ = ["FairlearnClassifier", "fairlearn_module"]


def fairlearn_module(name: str, *, where: str) -> Any:
    """Return the module ``fairlearn.<name>``.

    Raises
    ------
    MissingExtraError
        If fairlearn is not installed.
    """
    try:
        return importlib.import_module(f"fairlearn.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "fairlearn":
            raise  # fairlearn is there and lacks something itself
        raise MissingExtraError(
            f"`{where}` needs fairlearn, which is not installed. Install it with: "
            "pip install 'isonomy[fairlearn]'"
        ) from error


class FairlearnClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the bridges that predict: two classes of any name, groups of any name.

    Subclasses define the parameters below and ``_fit_fairlearn`` and ``_positive_share``.
    """

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__predict = {"sensitive_features": True}
    __metadata_request__predict_proba = {"sensitive_features": True}
    __metadata_request__score = {"sensitive_features": True}

    _groups_at_prediction: bool

    pos_label: Any
    randomised: bool
    missing_groups: MissingGroups
    group_columns: Sequence[Any] | None
    random_state: Any

    def _fit_fairlearn(
        self, X: Any, y: NDArray[np.intp], groups: NDArray[np.intp], *, where: str
    ) -> Any:
        """Return fairlearn's fitted object; ``y`` is 0 or 1."""
        raise NotImplementedError

    def _positive_share(self, X: Any, groups: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Return with what probability fairlearn's object decides 1."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> Self:
        """Fit fairlearn's method.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            Passed on without the ``group_columns``.
        y : (n_samples,)
            Labels of two classes.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; not needed with ``group_columns``.

        Raises
        ------
        MissingExtraError
            If fairlearn is not installed.
        InvalidInputError
            If there are not two classes, or an argument has a wrong shape, kind or value.
        """
        where = f"{type(self).__name__}.fit"
        rest, found = self._split(X, sensitive_features, where=where, fitting=True)
        validate_data(self, X=X, reset=True, skip_check_array=True)
        labels = check_labels(y, where=where, n_samples=_num_samples(X), min_classes=2)
        self.classes_ = np.unique(labels)
        _check_two(self.classes_, where=where)
        self._positive = find_positive(self.pos_label, self.classes_, where=where)
        groups = resolve_groups(
            found, n_samples=len(labels), missing_groups=self.missing_groups, where=where
        )
        self.groups_ = list(groups.labels)
        self.fairlearn_ = self._fit_fairlearn(
            rest,
            (labels == self.classes_[self._positive]).astype(np.intp),
            groups.codes,
            where=where,
        )
        return self

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the label of every row; by chance where ``randomised``.

        Raises
        ------
        GroupsRequiredError
            If the method decides by group and none are given.
        """
        share = self._share(X, sensitive_features, "predict")
        if self.randomised:  # fairlearn's own draw, number by number
            chosen = share >= check_random_state(self.random_state).rand(len(share))
        else:
            chosen = share >= 0.5
        column = np.where(chosen, self._positive, 1 - self._positive)
        decided: NDArray[Any] = self.classes_[column]
        return decided

    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return with what probability each class is decided, ``(n_samples, 2)``.

        Of the decision, by its own draw; not of the label.
        """
        share = self._share(X, sensitive_features, "predict_proba")
        columns = [1 - share, share] if self._positive == 1 else [share, 1 - share]
        return np.column_stack(columns)

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
    ) -> float:
        """Return the accuracy of ``predict(X, sensitive_features=...)``."""
        predicted = self.predict(X, sensitive_features=sensitive_features)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def _share(self, X: Any, sensitive_features: Any, method: str) -> NDArray[np.float64]:
        check_is_fitted(self)
        where = f"{type(self).__name__}.{method}"
        rest, found = self._split(X, sensitive_features, where=where)
        codes = None
        if self._groups_at_prediction:
            codes = match_groups(
                found,
                self.groups_,
                n_samples=_num_samples(rest),
                missing_groups=self.missing_groups,
                unknown_group="error",
                where=where,
            )
        return self._positive_share(rest, codes)

    def _split(
        self, X: Any, sensitive_features: Any, *, where: str, fitting: bool = False
    ) -> tuple[Any, Any]:
        return split_groups(
            X,
            sensitive_features,
            column_list(self.group_columns),
            n_in_fit=None if fitting else self.n_features_in_,
            needed=self._groups_at_prediction,
            where=where,
        )


def _check_two(classes: NDArray[Any], *, where: str) -> None:
    if len(classes) != 2:
        raise InvalidInputError(
            f"`y` passed to `{where}` must hold 2 classes, because fairlearn's method is made for "
            f"binary labels, got {len(classes)}. Use `LinearPost` or `SteeredClassifier`."
        )
