"""LinearPostRule: the linear programme on class probabilities alone, whatever made them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isonomy._group_codes import MissingGroups, UnknownGroup, match_groups, resolve_groups
from isonomy._validation import (
    check_choice,
    check_random_state,
    check_real,
    check_same_length,
    check_sample_weight,
)
from isonomy.baselines._linear_post_rates import (
    Criterion,
    bound_rates,
    check_costs,
    check_joint,
    check_probabilities,
    conditions_of,
    joint_of_given,
    largest_difference,
)
from isonomy.baselines._linear_programme import solve_programme
from isonomy.baselines._restricted_programme import Programme, adjusted_risk
from isonomy.errors import InvalidInputError

__all__ = ["LinearPostRule"]

Floats = NDArray[np.float64]

DECIMALS = 9
"""Values that agree to so many digits of the range of the risks are tied: HiGHS's vertices
carry rounding, and a tie must not be broken by it."""


TIE_COST = 1e-4
"""Decisions cost ``-TIE_COST p(k | x)^3`` besides, in units of the largest cost. With the group
given, expected cost and rates are linear in the same p: where a group has to lose, all ways to
lose are equally cheap and every row of it ties. A cost that is not linear in p, nor for two
classes in p^2 - (1 - p)^2, prefers certain decisions and leaves no ties among distinct scores."""


class LinearPostRule(BaseEstimator):  # type: ignore[misc]
    """Find the decisions of least cost whose estimated rates agree over groups.

    Works on probabilities alone, so that many tolerances can be tried on one fitted model.
    Classes are column positions here; :class:`LinearPost` knows their names.

    Parameters
    ----------
    criterion : "equal_opportunity", "demographic_parity" or "equalized_odds"
        As in :class:`LinearPost`.
    tolerance : float in [0, 1]
        As in :class:`LinearPost`.
    cost_matrix : (n_classes, n_classes), optional
        As in :class:`LinearPost`.
    positive : int
        With two classes, the column of the positive one: 0 or 1.
    perturbation : float
        As in :class:`LinearPost`.
    missing_groups : "raise", "single" or "own_group"
        As in :class:`LinearPost`.
    unknown_group : "error" or "identity"
        As in :class:`LinearPost`.
    warm_start : bool
        Start the solver from the last ``fit``'s duals. The same answer, sooner, when only
        ``tolerance`` has changed.
    random_state : int, RandomState or None
        Of the perturbation.

    Attributes
    ----------
    duals_ : (n_conditions, n_classes, n_groups)
        The price psi of every rate, in units of cost: of deciding for a class, given a true
        class (or given nothing, for demographic parity: one condition), in a group.
    shares_ : (n_conditions, n_groups)
        Mean of p(group, condition | x).
    groups_ : list
        Names, or positions where ``joint_proba`` was given.
    risk_ : float
        Least mean cost of a randomised rule, estimated on the rows of ``fit``; less at most
        1e-4 of the largest cost, which prefers certain decisions among equally cheap ones.
    lower_bound_ : float
        The dual's value; equal to ``risk_`` up to rounding proves that it is the least.
    fitted_difference_ : float
        The largest difference over groups of a bound rate, by the same estimates, of the
        deterministic rule on the rows of ``fit``: what breaking ties cost beyond
        ``tolerance``.

    Notes
    -----
    See :class:`LinearPost` for the programme, its source and what it does not promise.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> proba = rng.dirichlet([1, 1, 1], size=300)
    >>> group = np.where(proba[:, 0] > rng.random(300), "a", "b")
    >>> rule = LinearPostRule(criterion="demographic_parity", tolerance=0.02)
    >>> decided = rule.fit(proba, sensitive_features=group).predict(
    ...     proba, sensitive_features=group)
    >>> shares = [np.bincount(decided[group == g], minlength=3).astype(float) for g in "ab"]
    >>> bool(np.abs(shares[0] / shares[0].sum() - shares[1] / shares[1].sum()).max() < 0.04)
    True
    """

    def __init__(
        self,
        *,
        criterion: Criterion = "equal_opportunity",
        tolerance: float = 0.01,
        cost_matrix: ArrayLike | None = None,
        positive: int = 1,
        perturbation: float = 0.0,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        warm_start: bool = False,
        random_state: Any = None,
    ) -> None:
        self.criterion = criterion
        self.tolerance = tolerance
        self.cost_matrix = cost_matrix
        self.positive = positive
        self.perturbation = perturbation
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.warm_start = warm_start
        self.random_state = random_state

    def fit(
        self,
        proba: ArrayLike,
        joint_proba: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Solve the programme.

        Parameters
        ----------
        proba : (n_samples, n_classes)
            p(class | x) of rows that the model did not train on.
        joint_proba : (n_samples, n_classes, n_groups), optional
            p(class, group | x): the group-blind rule.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups: the rule that knows them. One of this and ``joint_proba``.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.

        Raises
        ------
        InvalidInputError
            If shapes, values or settings do not fit together.
        ConvergenceError
            If HiGHS fails.
        """
        return self._fit(
            proba, joint_proba, sensitive_features, sample_weight, "LinearPostRule.fit"
        )

    def _fit(
        self,
        proba: Any,
        joint_proba: Any,
        sensitive_features: Any,
        sample_weight: Any,
        where: str,
    ) -> Self:
        self._check_settings(where)
        scores = check_probabilities(proba, where=where)
        joint = self._first_joint(scores, joint_proba, sensitive_features, where)
        weight = check_sample_weight(sample_weight, len(scores), where=where)
        self.n_classes_ = scores.shape[1]
        self._costs = check_costs(self.cost_matrix, self.n_classes_, where=where)
        # HiGHS's tolerances are absolute: risks are solved in units of the largest cost
        self._scale = float(np.ptp(self._costs, axis=1).max()) or 1.0
        if weight is None:
            weight = np.ones(len(scores))
        counted = np.flatnonzero(weight)  # others are as if absent
        # of several optimal vertices the solver's depends on the order of the rows
        counted = counted[_order_by_content(scores[counted], joint[counted], weight[counted])]
        scores, joint = scores[counted], joint[counted]
        weights = weight[counted] / weight[counted].mean()
        conditions = conditions_of(self.criterion, joint)
        self.shares_ = np.tensordot(weights, conditions, axes=1) / len(scores)
        bound = bound_rates(
            self.criterion,
            self.shares_,
            n_classes=self.n_classes_,
            positive=int(self.positive),
            where=where,
        )
        risk = self._risk(scores)
        programme = Programme(risk, self._ratio(conditions), bound, weights, float(self.tolerance))
        self._solve(programme, where)
        return self

    def decision_function(
        self,
        proba: ArrayLike,
        joint_proba: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
    ) -> Floats:
        """Return minus the priced cost of every decision, ``(n_samples, n_classes)``.

        In units of the largest cost, to 9 decimals, so that ties are ties.

        Raises
        ------
        GroupsRequiredError
            If ``fit`` saw several groups by name and none are given.
        UnknownGroupError
            If a group was never seen in ``fit`` and ``unknown_group="error"``.
        """
        return self._decide(proba, joint_proba, sensitive_features, "LinearPostRule.predict")

    def _decide(self, proba: Any, joint_proba: Any, sensitive_features: Any, where: str) -> Floats:
        check_is_fitted(self)
        scores = check_probabilities(proba, n_classes=self.n_classes_, where=where)
        joint = self._later_joint(scores, joint_proba, sensitive_features, where)
        ratio = self._ratio(conditions_of(self.criterion, joint))
        return self._values(self._risk(scores), ratio)

    def predict(
        self,
        proba: ArrayLike,
        joint_proba: ArrayLike | None = None,
        *,
        sensitive_features: Any = None,
    ) -> NDArray[np.intp]:
        """Return the column decided for, the first one at a tie: ``(n_samples,)``."""
        values = self.decision_function(proba, joint_proba, sensitive_features=sensitive_features)
        first: NDArray[np.intp] = values.argmax(axis=1)
        return first

    def _check_settings(self, where: str) -> None:
        criteria = ("equal_opportunity", "demographic_parity", "equalized_odds")
        check_choice("criterion", self.criterion, criteria, where=where)
        check_choice("positive", self.positive, (0, 1), where=where)
        check_choice("unknown_group", self.unknown_group, ("error", "identity"), where=where)
        check_real("tolerance", self.tolerance, where=where, low=0, high=1)
        check_real("perturbation", self.perturbation, where=where, low=0)

    def _first_joint(
        self, scores: Floats, joint_proba: Any, sensitive_features: Any, where: str
    ) -> Floats:
        self.blind_ = joint_proba is not None
        if joint_proba is not None:
            _refuse_both(sensitive_features, where)
            joint = check_joint(joint_proba, scores, where=where)
            self.groups_: list[Any] = list(range(joint.shape[2]))
            return joint
        if sensitive_features is not None:
            self._check_length(sensitive_features, len(scores), where)
        groups = resolve_groups(
            sensitive_features,
            n_samples=len(scores),
            missing_groups=self.missing_groups,
            where=where,
        )
        self.groups_ = list(groups.labels)
        return joint_of_given(scores, groups.codes, len(groups.labels))

    @staticmethod
    def _check_length(sensitive_features: Any, n: int, where: str) -> None:
        check_same_length("sensitive_features", len(sensitive_features), n, where=where, of="proba")

    def _later_joint(
        self, scores: Floats, joint_proba: Any, sensitive_features: Any, where: str
    ) -> Floats:
        if self.blind_:
            _refuse_both(sensitive_features, where)
            if joint_proba is None:
                raise InvalidInputError(
                    f"`joint_proba` passed to `{where}` must be given because `fit` had it, got "
                    "None."
                )
            return check_joint(joint_proba, scores, n_groups=len(self.groups_), where=where)
        if joint_proba is not None:
            raise InvalidInputError(
                f"`joint_proba` passed to `{where}` must be None because `fit` knew the groups: "
                "pass `sensitive_features`."
            )
        codes = match_groups(
            sensitive_features,
            self.groups_,
            n_samples=len(scores),
            missing_groups=self.missing_groups,
            unknown_group=self.unknown_group,
            where=where,
        )
        return joint_of_given(scores, codes, len(self.groups_))

    def _risk(self, scores: Floats) -> Floats:
        risk = scores @ self._costs / self._scale - TIE_COST * scores**3
        if self.perturbation:
            noise = check_random_state(self.random_state).uniform(size=risk.shape)
            risk = risk + self.perturbation * noise
        return risk

    def _ratio(self, conditions: Floats) -> Floats:
        shares = np.where(self.shares_ > 0, self.shares_, np.inf)
        return conditions / shares

    def _solve(self, programme: Programme, where: str) -> None:
        start = None
        last = getattr(self, "duals_", None) if self.warm_start else None
        if last is not None and last.shape == programme.bound.shape:
            start = np.where(programme.bound, last / self._scale, 0.0)
        found = solve_programme(programme, start=start, where=where)
        self.duals_ = found.duals * self._scale
        self.risk_, self.lower_bound_ = found.risk * self._scale, found.lower_bound * self._scale
        decided = self._values(programme.risk, programme.ratio).argmax(axis=1)
        self.fitted_difference_ = largest_difference(
            programme.ratio, programme.weight, decided, programme.bound
        )

    def _values(self, risk: Floats, ratio: Floats) -> Floats:
        values: Floats = np.round(-adjusted_risk(risk, ratio, self.duals_ / self._scale), DECIMALS)
        return values


def _order_by_content(*parts: Floats) -> NDArray[np.intp]:
    """Return an order of the rows that depends on what they hold alone."""
    columns = [column for part in parts for column in part.reshape(len(part), -1).T]
    order: NDArray[np.intp] = np.lexsort(columns)
    return order


def _refuse_both(sensitive_features: Any, where: str) -> None:
    if sensitive_features is not None:
        raise InvalidInputError(
            f"`{where}` got both `joint_proba` and `sensitive_features`; give one: the cells' "
            "probabilities for the group-blind rule, or the groups."
        )
