"""LinearPost: decisions of least cost under equal rates, by a linear programme on scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from isonomy._cross_fit import Split, cell_splits, class_probabilities, cross_fitted, indexable
from isonomy._frames import column_list, split_groups
from isonomy._group_codes import MissingGroups, UnknownGroup, match_groups, resolve_groups
from isonomy._validation import check_choice, check_labels, check_sample_weight
from isonomy._weighted_fit import fit_weighted
from isonomy.baselines._balanced import check_takes_weights
from isonomy.baselines._linear_post_rates import (
    Criterion,
    check_costs,
    find_positive,
    within_group,
)
from isonomy.baselines._linear_post_rule import LinearPostRule
from isonomy.groups import GroupCodes

__all__ = ["LinearPost", "LinearPostRule"]

GroupUse = Literal["given", "blind"]


@dataclass(frozen=True)
class _Rows:
    """Training rows with their groups; those not ``counted`` have weight 0."""

    X: Any
    y: NDArray[Any]
    groups: GroupCodes
    weight: NDArray[np.float64] | None
    counted: NDArray[np.intp]


class LinearPost(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Decide at least cost under equal rates, by a linear programme on class probabilities.

    Parameters
    ----------
    estimator : classifier
        With ``predict_proba`` or ``decision_function``; cloned.
    criterion : "equal_opportunity", "demographic_parity" or "equalized_odds"
        Which rates to equalise: true positive rates of every class (of the positive class when
        there are two), selection rates, or rates of every (true, predicted) pair.
    tolerance : float in [0, 1]
        By how much the rates of two groups may differ. 1 leaves the decisions untouched.
    groups : "given" or "blind"
        Whether ``predict`` knows the group of every row. "blind" learns a model of the
        (class, group) cell in its place.
    pos_label : label, optional
        The positive class of a binary problem, not with more classes. Default: the larger
        of the two.
    cost_matrix : (n_classes, n_classes), optional
        Cost by true class (row) and decision (column), classes sorted. Default: 1 an error.
    cv : int or splitter
        Folds in which the probabilities are made on which the programme is solved; an integer
        stratifies by (label, group) cell.
    cell_estimator : classifier, optional
        The model of the (class, group) cell. With "blind" the default is a clone of
        ``estimator``. With "given" it makes p(k | x, a), from p(a, k | x) in the row's own
        group; by default the estimator's p(k | x) stands for it, which ignores the group
        unless ``X`` holds it and then misjudges the rates: see the notes.
    perturbation : float
        Add to the cost of every decision uniform noise between 0 and this many times the
        largest cost, in ``fit`` and ``predict``. It breaks ties at random where many rows share
        one score, as the authors do. Default 0: rows with equal scores are decided alike.
    missing_groups : "raise", "single" or "own_group"
        Missing ``sensitive_features``: raise, take all rows as one group, or (missing
        values) keep them as a group of their own.
    unknown_group : "error" or "identity"
        A group never seen in ``fit``: raise, or decide its rows as the estimator does.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; taken out and dropped.
    n_jobs : int, optional
        Parallel folds.
    random_state : int, RandomState or None
        Of the folds and the perturbation.

    Attributes
    ----------
    rule_ : fitted LinearPostRule
        With the duals, the proof of optimality and what ties cost.
    estimator_ : fitted classifier
    cell_estimator_ : fitted classifier or None
    classes_ : (n_classes,)
    groups_ : list

    Notes
    -----
    With r_k(x) the expected cost of deciding k and p the estimated probabilities, the
    programme over randomised rules pi and levels q is, for equal opportunity::

        min mean_x sum_k pi(k | x) r_k(x)   subject to, for every class k and group a,
        | mean_x pi(k | x) p(a, k | x) / p(a, k) - q_k | <= tolerance / 2

    Demographic parity has p(a | x) / p(a) in place of p(a, k | x) / p(a, k), and equalized odds
    one constraint for every true class y and decision k, with p(a, y | x) / p(a, y). Its dual
    prices psi give the rule ``argmin_k r_k(x) - sum_a psi_ka p(a, k | x) / p(a, k)``. Where the
    group is given, p(a, k | x) is p(k | x, a) in the row's own group and 0 elsewhere. Source:
    Xian, Yin and Zhao (ICML 2023); Xian and Zhao (2024). Solved exactly with HiGHS by column
    generation: 10,500 rows, 28 classes and 2 groups take seconds; equalized odds with a group of
    a few rows among thousands may take a minute or two.

    With the group given, cost and rates are linear in the same p: where one group has to lose,
    all ways to lose cost the same. A further cost of ``-1e-4 p(k | x)^3`` times the largest
    prefers certain decisions among them (the source breaks these ties at random).

    The optimum randomises in at most as many rows as there are constraints, where prices tie;
    the rule here is deterministic and takes the first class. On the rows of ``fit`` every such
    row moves a rate by its share of that rate, at most (rows of weight in a rare cell count
    most): ``rule_.fitted_difference_`` is what came out. Where many rows share one score, as
    with a few discrete features, a deterministic rule may miss the tolerance by far: set
    ``perturbation``, about 1e-3.

    A rate of a group with no probability of its class, as of a cell without rows under "blind",
    is left out with an ``UndefinedRateWarning``; with "given" the model's own probabilities
    stand for the labels in every cell.

    What it does not promise: the rates agree as estimated by p, so they agree on new rows only
    as far as p is calibrated within groups: an estimator that ignores the group is not, wherever
    classes are more frequent in one group. ``decision_function`` holds the priced costs, less
    being better turned into more; there is no ``predict_proba``, because the priced costs are no
    probabilities: ask ``estimator_`` for the unconstrained ones.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, n_classes=3, random_state=0)
    >>> model = LinearPost(LogisticRegression(), tolerance=0.02, random_state=0)
    >>> model.fit(X, y, sensitive_features=group).predict(X, sensitive_features=group).shape
    (2000,)
    >>> LinearPost(LogisticRegression(), groups="blind").fit(
    ...     X, y, sensitive_features=group).predict(X).shape
    (2000,)
    """

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__predict = {"sensitive_features": True}
    __metadata_request__decision_function = {"sensitive_features": True}
    __metadata_request__score = {"sensitive_features": True}

    def __init__(
        self,
        estimator: Any,
        *,
        criterion: Criterion = "equal_opportunity",
        tolerance: float = 0.01,
        groups: GroupUse = "given",
        pos_label: Any = None,
        cost_matrix: ArrayLike | None = None,
        cv: Any = 5,
        cell_estimator: Any = None,
        perturbation: float = 0.0,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.criterion = criterion
        self.tolerance = tolerance
        self.groups = groups
        self.pos_label = pos_label
        self.cost_matrix = cost_matrix
        self.cv = cv
        self.cell_estimator = cell_estimator
        self.perturbation = perturbation
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
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
        """Make held-out probabilities, solve the programme on them, fit on all rows.

        Parameters
        ----------
        X : whatever the estimator takes
            Passed on as it is, without the ``group_columns``.
        y : (n_samples,)
            Class labels.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; not needed with ``group_columns``.
        sample_weight : (n_samples,), optional
            For the estimators and the programme; rows of weight 0 are left out.

        Raises
        ------
        InvalidInputError
            If an argument has a wrong shape, kind or value.
        ConvergenceError
            If HiGHS fails.
        """
        where = "LinearPost.fit"
        self._check_settings(where)
        rest, found = self._split(X, sensitive_features, where=where, fitting=True)
        validate_data(self, X=X, reset=True, skip_check_array=True)
        labels = check_labels(y, where=where, n_samples=_num_samples(X), min_classes=2)
        weight = check_sample_weight(sample_weight, len(labels), where=where)
        if weight is not None:
            check_takes_weights(self.estimator, where=where)
            check_takes_weights(self.cell_estimator, where=where, name="cell_estimator")
        groups = resolve_groups(
            found, n_samples=len(labels), missing_groups=self.missing_groups, where=where
        )
        counted = np.arange(len(labels)) if weight is None else np.flatnonzero(weight)
        check_labels(labels[counted], where=where, min_classes=2)
        self.classes_ = np.unique(labels[counted])
        present = np.unique(groups.codes[counted])
        self.groups_ = [groups.labels[a] for a in present]
        positive = find_positive(self.pos_label, self.classes_, where=where)
        check_costs(self.cost_matrix, len(self.classes_), where=where)
        rows = _Rows(indexable(rest), labels, groups, weight, counted)
        self._fit_models(rows, np.searchsorted(present, groups.codes), self._rule(positive), where)
        return self

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the class of least priced cost, the first one at a tie.

        Raises
        ------
        GroupsRequiredError
            If ``groups="given"`` and none are given.
        """
        values = self._priced(X, sensitive_features, "predict")
        decided: NDArray[Any] = self.classes_[values.argmax(axis=1)]
        return decided

    def decision_function(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return minus the priced cost of every class; (n_samples,) for two: their difference."""
        values = self._priced(X, sensitive_features, "decision_function")
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

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

    def _check_settings(self, where: str) -> None:
        check_choice("groups", self.groups, ("given", "blind"), where=where)
        self._rule()._check_settings(where)

    def _fit_models(
        self, rows: _Rows, group_codes: NDArray[np.intp], rule: LinearPostRule, where: str
    ) -> None:
        # rows that do not count have codes without meaning: no fold holds them
        cells = np.searchsorted(self.classes_, rows.y) * len(self.groups_) + group_codes
        splits = cell_splits(
            self.cv, cells, counted=rows.counted, random_state=self.random_state, where=where
        )
        self.cell_estimator_, joint = None, None
        if len(self.groups_) > 1 and (self.groups == "blind" or self.cell_estimator is not None):
            model = self.estimator if self.cell_estimator is None else self.cell_estimator
            every = np.arange(len(self.classes_) * len(self.groups_))
            joint, self.cell_estimator_ = self._model(model, rows, cells, splits, every, where)
        scores, self.estimator_ = self._model(
            self.estimator, rows, rows.y, splits, self.classes_, where
        )
        # a splitter may leave rows out
        judged = rows.counted[~np.isnan(scores[rows.counted, 0])]
        names: NDArray[Any] | None = rows.groups.values[judged]
        scores, joint = scores[judged], None if joint is None else self._by_cell(joint[judged])
        if joint is not None and self.groups == "blind":
            names = None
        elif joint is not None:
            scores, joint = within_group(joint, group_codes[judged], scores), None
        weight = None if rows.weight is None else rows.weight[judged]
        self.rule_ = rule._fit(scores, joint, names, weight, where)

    def _model(
        self,
        estimator: Any,
        rows: _Rows,
        target: NDArray[Any],
        splits: list[Split],
        classes: NDArray[Any],
        where: str,
    ) -> tuple[NDArray[np.float64], Any]:
        """Return held-out probabilities of the target, and the model fitted on all rows."""
        scores = cross_fitted(
            estimator,
            rows.X,
            target,
            splits,
            classes=classes,
            sample_weight=rows.weight,
            n_jobs=self.n_jobs,
            where=where,
        )
        kept = rows.counted
        weight = None if rows.weight is None else rows.weight[kept]
        X = rows.X if len(kept) == len(target) else _safe_indexing(rows.X, kept)
        return scores, fit_weighted(clone(estimator), X, target[kept], weight, where=where)

    def _by_cell(self, joint: NDArray[np.float64]) -> NDArray[np.float64]:
        return joint.reshape(len(joint), len(self.classes_), len(self.groups_))

    def _rule(self, positive: int = 1) -> LinearPostRule:
        return LinearPostRule(
            criterion=self.criterion,
            tolerance=self.tolerance,
            cost_matrix=self.cost_matrix,
            positive=positive,
            perturbation=self.perturbation,
            missing_groups=self.missing_groups,
            unknown_group=self.unknown_group,
            random_state=self.random_state,
        )

    def _priced(self, X: Any, sensitive_features: Any, method: str) -> NDArray[np.float64]:
        check_is_fitted(self)
        where = f"LinearPost.{method}"
        rest, found = self._split(X, sensitive_features, where=where)
        scores = class_probabilities(self.estimator_, rest, self.classes_)
        joint = None
        if self.cell_estimator_ is not None:
            every = np.arange(len(self.classes_) * len(self.groups_))
            joint = self._by_cell(class_probabilities(self.cell_estimator_, rest, every))
        if self.groups == "blind":
            return self.rule_._decide(scores, joint, None, where)
        if joint is not None:
            codes = match_groups(
                found,
                self.groups_,
                n_samples=len(scores),
                missing_groups=self.missing_groups,
                unknown_group=self.unknown_group,
                where=where,
            )
            scores = within_group(joint, codes, scores)
        return self.rule_._decide(scores, None, found, where)

    def _split(
        self, X: Any, sensitive_features: Any, *, where: str, fitting: bool = False
    ) -> tuple[Any, Any]:
        return split_groups(
            X,
            sensitive_features,
            column_list(self.group_columns),
            n_in_fit=None if fitting else self.n_features_in_,
            needed=self.groups == "given",
            where=where,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags = inner.classifier_tags
        return tags
