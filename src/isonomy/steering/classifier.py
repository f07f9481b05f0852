"""SteeredClassifier: steer, reweigh, fit, calibrate, as one scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from isonomy._cross_fit import cell_splits, class_probabilities
from isonomy._frames import (
    check_matrix,
    column_list,
    is_frame,
    n_columns,
    take_columns,
    without_columns,
)
from isonomy._group_codes import MissingGroups, resolve_groups
from isonomy._validation import check_labels, check_sample_weight
from isonomy.errors import GroupsRequiredError, InvalidInputError
from isonomy.groups import GroupCodes, MissingValues, encode_groups, kamiran_calders_weights
from isonomy.steering._choices import make_calibrator, make_steerer
from isonomy.steering._explain import RowExplanations
from isonomy.steering._last_stage import Codes, LastStage, fit_last_stage
from isonomy.steering._parts import (
    Recipe,
    Rows,
    check_served_names,
    fit_parts,
    steered,
    uses_groups,
)
from isonomy.steering.calibration import GapCalibrator
from isonomy.steering.ideal import IdealSteerer

__all__ = ["SteeredClassifier"]


def _has_scores(self: Any) -> bool:
    estimator = getattr(self, "estimator_", self.estimator)
    calibrator = getattr(self, "calibrator_", self.calibrator)
    calibrated = calibrator is not None and hasattr(estimator, "decision_function")
    return hasattr(estimator, "predict_proba") or calibrated


class SteeredClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Steer the rows, fit a classifier on reweighed rows, and calibrate its scores.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier; it must take ``sample_weight`` when ``reweigh``.
    steerer : "ideal", transformer or "passthrough"
        "ideal" is ``IdealSteerer()`` (group-blind); any transformer may be given.
    reweigh : bool
        Multiply the caller's ``sample_weight`` by Kamiran-Calders weights.
    calibrator : GapCalibrator, "auto" or None
        Fitted on cross-fitted scores. With ``groups="infer"`` it guesses the group of a row
        by ``group_model``, else it uses the group at prediction. "auto" is such a guessing
        one with an ``accuracy_tolerance`` of half a point where ``steerer="ideal"``, there are
        three classes or more and the estimator scores them, and none otherwise.
    group_model : classifier, "cells" or None
        For a calibrator that guesses: learns P(group | row, class) from the columns and
        the class. Default: a logistic regression where all columns are numbers and none is
        missing, else "cells", a clone of ``estimator`` that learns the (class, group) cell.
    cv : int or splitter
        Folds of the cross-fitted scores; an integer stratifies by (label, group) cell.
        Steerer, group model and estimator are refitted inside each fold, on the weights
        that the rows have in the whole.
    missing_groups : "raise", "single" or "own_group"
        As in ``IdealSteerer``.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; taken out and dropped. Default: those of the
        steerer, if it has any. Rows may come without them where they are not needed.
    n_jobs : int, optional
        Parallel folds.
    random_state : int, RandomState or None

    Attributes
    ----------
    steerer_ : fitted transformer or None
    estimator_ : fitted classifier
    calibrator_ : fitted GapCalibrator or None
    last_stage_ : the calibrator with its group model, or None
    classes_ : (n_classes,)
    groups_ : list
    sample_weight_ : (n_samples,) or None
        The weights on which the estimator was fitted.

    Notes
    -----
    ``predict`` needs ``sensitive_features`` only when the steerer uses the group at
    ``transform`` or the calibrator is one with ``groups="given"``.

    What it does not promise: the certificate of the steerer speaks of the fitted
    distribution under the reweighed law; audit the classifier on rows it has not seen.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
    >>> model = SteeredClassifier(LogisticRegression(), calibrator=GapCalibrator())
    >>> model.fit(X, y, sensitive_features=group).predict(X, sensitive_features=group).shape
    (2000,)
    """

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__predict = {"sensitive_features": True}
    __metadata_request__predict_proba = {"sensitive_features": True}
    __metadata_request__decision_function = {"sensitive_features": True}
    __metadata_request__score = {"sensitive_features": True}

    def __init__(
        self,
        estimator: Any,
        *,
        steerer: Any = "ideal",
        reweigh: bool = True,
        calibrator: GapCalibrator | Literal["auto"] | None = "auto",
        group_model: Any = None,
        cv: Any = 5,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.steerer = steerer
        self.reweigh = reweigh
        self.calibrator = calibrator
        self.group_model = group_model
        self.cv = cv
        self.missing_groups = missing_groups
        self.group_columns = group_columns
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit steerer, estimator and calibrator.

        Parameters
        ----------
        X : (n_samples, n_features)
        y : (n_samples,)
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; not needed with ``group_columns``.
        sample_weight : (n_samples,), optional

        Raises
        ------
        InvalidInputError
            If an argument has a wrong shape, kind or value, or the estimator takes no
            ``sample_weight`` where weights are needed.
        """
        where = "SteeredClassifier.fit"
        check_matrix(X, where=where)
        if sensitive_features is not None and self._columns():
            raise InvalidInputError(
                f"`{where}` got both `sensitive_features` and `group_columns`; give one."
            )
        rest, found = self._split(X, sensitive_features, where, fitting=True)
        validate_data(self, X=X, reset=True, skip_check_array=True)
        labels = check_labels(y, where=where, n_samples=_num_samples(X), min_classes=2)
        weight = check_sample_weight(sample_weight, len(labels), where=where)
        if weight is not None:
            check_labels(labels[weight > 0], where=where, min_classes=2)
        groups = resolve_groups(
            found, n_samples=len(labels), missing_groups=self.missing_groups, where=where
        )
        rows = self._rows(rest, labels, groups, weight, known=found is not None)
        self.sample_weight_ = rows.weight
        counted = rows.take(rows.counted) if weight is not None else rows
        self.classes_ = np.unique(counted.y)
        self.groups_ = [groups.labels[a] for a in np.unique(groups.codes[rows.counted])]
        recipe = Recipe(make_steerer(self, single=found is None), self.estimator)
        self.last_stage_ = self._calibrate(recipe, rows, groups, where)
        self.calibrator_ = None if self.last_stage_ is None else self.last_stage_.calibrator
        self.steerer_, self.estimator_ = fit_parts(recipe, counted, where=where)
        return self

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the class of every row.

        Raises
        ------
        GroupsRequiredError
            If this model uses the group at prediction and none was given.
        """
        rest, groups = self._read(X, sensitive_features, "predict")
        if self.last_stage_ is None:
            predicted: NDArray[Any] = self.estimator_.predict(steered(self.steerer_, rest, groups))
            return predicted
        picked: NDArray[Any] = self.classes_[self._proba(rest, groups).argmax(axis=1)]
        return picked

    @available_if(_has_scores)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return class probabilities, ``(n_samples, n_classes)``, after the calibrator."""
        rest, groups = self._read(X, sensitive_features, "predict_proba")
        return self._proba(rest, groups)

    def decision_function(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the scores that decide: (n_samples,) for two classes, else one a class."""
        rest, groups = self._read(X, sensitive_features, "decision_function")
        if self.last_stage_ is None and hasattr(self.estimator_, "decision_function"):
            moved = steered(self.steerer_, rest, groups)
            values: NDArray[Any] = self.estimator_.decision_function(moved)
            return values
        proba = self._proba(rest, groups)
        if len(self.classes_) == 2:
            return np.asarray(logit(np.clip(proba[:, 1], TINY, 1 - EPS)))
        return np.asarray(np.log(np.clip(proba, TINY, None)))

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

    def explain_rows(
        self, X: Any, *, sensitive_features: Any = None, top: int = 3
    ) -> RowExplanations:
        """Say how far each row moved and whether this model's head decides otherwise.

        Raises
        ------
        InvalidInputError
            If the steerer is not an ``IdealSteerer``.
        """
        check_is_fitted(self)
        if not isinstance(self.steerer_, IdealSteerer):
            raise InvalidInputError(
                "`SteeredClassifier.explain_rows` needs an `IdealSteerer`, got "
                f"{type(self.steerer_).__name__}. Only its maps say how rows moved."
            )
        rest, groups = self._split(X, sensitive_features, "SteeredClassifier.explain_rows")
        return self.steerer_.explain_rows(
            rest, sensitive_features=groups, estimator=self.estimator_, top=top
        )

    def uses_groups_at_prediction(self) -> bool:
        """Whether ``predict`` needs to know the group of every row."""
        check_is_fitted(self)
        known = self.calibrator_ is not None and self.calibrator_.groups == "given"
        return len(self.groups_) > 1 and (known or uses_groups(self.steerer_))

    def _proba(self, X: Any, groups: Any) -> NDArray[Any]:
        moved = steered(self.steerer_, X, groups)
        scores: NDArray[Any] = class_probabilities(self.estimator_, moved, self.classes_)
        stage: LastStage | None = self.last_stage_
        return scores if stage is None else stage.predict_proba(scores, X, groups)

    def _columns(self) -> Sequence[Any]:
        own = column_list(self.group_columns)
        return own or column_list(getattr(self.steerer, "group_columns", None))

    def _split(
        self, X: Any, sensitive_features: Any, where: str, *, fitting: bool = False
    ) -> tuple[Any, Any]:
        columns = self._columns()
        if not columns:
            return X, sensitive_features
        if not fitting and is_frame(X):
            rest = without_columns(X, columns, where=where)
            if rest is X or not self.uses_groups_at_prediction():
                return rest, sensitive_features  # served without the group: fine if not used
        if not fitting and not is_frame(X) and n_columns(X) == self.n_features_in_ - len(columns):
            return X, sensitive_features
        return take_columns(X, columns, where=where)

    def _rows(
        self,
        X: Any,
        y: NDArray[Any],
        groups: GroupCodes,
        weight: NDArray[np.float64] | None,
        *,
        known: bool,
    ) -> Rows:
        names = groups.values if known else None
        reweighed = weight
        if self.reweigh and len(groups.labels) > 1:
            reweighed = kamiran_calders_weights(
                y, sensitive_features=groups.codes, sample_weight=weight
            )
        if not is_frame(X):
            X = np.asarray(X)
        return Rows(X, y, names, weight, reweighed)

    def _calibrate(
        self, recipe: Recipe, rows: Rows, groups: GroupCodes, where: str
    ) -> LastStage | None:
        n_groups = len(self.groups_)
        calibrator = make_calibrator(self, n_groups, len(self.classes_))
        if calibrator is None or not self._scored(where):
            return None
        y_codes = np.searchsorted(self.classes_, rows.y)
        group_codes = np.searchsorted(np.unique(groups.codes[rows.counted]), groups.codes)
        cells = np.unique(rows.y, return_inverse=True)[1] * len(groups.labels) + groups.codes
        splits = cell_splits(
            self.cv, cells, counted=rows.counted, random_state=self.random_state, where=where
        )
        return fit_last_stage(
            clone(calibrator).set_params(missing_groups=self.missing_groups),
            self.group_model,
            recipe,
            rows,
            Codes(y_codes, group_codes, len(self.classes_), n_groups),
            self.classes_,
            splits,
            n_jobs=self.n_jobs,
            where=where,
        )

    def _scored(self, where: str) -> bool:
        """Whether there are scores to calibrate; raise where a calibrator was asked for."""
        if hasattr(self.estimator, "predict_proba") or hasattr(self.estimator, "decision_function"):
            return True
        if isinstance(self.calibrator, str):  # "auto"
            return False
        raise InvalidInputError(
            f"`estimator` of `{where}` must have `predict_proba` or `decision_function` for its "
            f"scores to be calibrated, and {type(self.estimator).__name__} has neither. Choose "
            "another, or set `calibrator=None`."
        )

    def _read(self, X: Any, sensitive_features: Any, method: str) -> tuple[Any, Any]:
        where = f"SteeredClassifier.{method}"
        check_is_fitted(self)
        check_matrix(X, where=where)
        rest, found = self._split(X, sensitive_features, where)
        if not self._columns() or n_columns(X) == self.n_features_in_:
            validate_data(self, X=X, reset=False, skip_check_array=True)
        else:
            known = getattr(self, "feature_names_in_", None)
            check_served_names(known, rest, self._columns(), where=where)
        needed = self.uses_groups_at_prediction()
        if found is None and needed:
            raise GroupsRequiredError(
                f"`sensitive_features` passed to `{where}` must hold one group a row because "
                "this model uses the group at prediction, got None. Pass it, name "
                "`group_columns` of X, or use a group-blind steerer and a calibrator that guesses "
                '(`GapCalibrator(groups="infer")`) or none.'
            )
        groups = self._names(found, _num_samples(X), where) if needed else None
        return rest, groups

    def _names(self, found: Any, n_samples: int, where: str) -> NDArray[Any]:
        # as in `fit`: this model's own rule for missing values, whatever its parts' rules
        missing: MissingValues = "own_group" if self.missing_groups == "own_group" else "raise"
        return encode_groups(found, n_samples=n_samples, missing=missing, where=where).values

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


TINY, EPS = 1e-300, 1e-16
"""Keep logarithms of probabilities finite at both ends."""
