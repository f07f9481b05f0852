"""GapCalibrator: per-group offsets of class scores that bring the groups' rates together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isonomy._group_codes import MissingGroups, UnknownGroup, match_groups, resolve_groups
from isonomy._validation import check_choice, check_labels, check_real, check_sample_weight
from isonomy.groups import GroupCodes
from isonomy.steering._base_rates import BaseRates, choose_strength
from isonomy.steering._membership import GuessedGroups, KnownGroups, Membership
from isonomy.steering._offsets import (
    BY_ACCURACY,
    BY_LIKELIHOOD,
    OffsetProblem,
    solve_offsets,
    spread_and_accuracy,
)
from isonomy.steering._rate_terms import Criterion, default_penalty, rate_terms
from isonomy.steering._score_input import (
    ScoreKind,
    finite_scores,
    group_probabilities,
    log_scores,
    positive_class,
    resolve_classes,
    resolve_kind,
)

__all__ = ["GapCalibrator"]


GUESS_RIDGE = 1e-4
"""In nats a squared unit of log-score: free for groups of 30 rows and more (six seeds of
generated rows), and it halved what a group of 10 rows lost on new ones."""


class GapCalibrator(BaseEstimator):  # type: ignore[misc]
    """Shift the class scores of each group so that the groups' rates agree.

    Decides by ``argmax_k (s_k + offset[group, k])``, or, where the group of a row is only
    guessed, by ``argmax_k (s_k + sum_a P(a | row, k) offset[a, k])``. The offsets minimise
    the loss of log-likelihood plus ``penalty`` times the weighted squared rate gaps; both
    groups move. With more than two classes gaps up to what sampling would show between
    equal rates are left alone; with two, the last descent counts errors in place of the
    log-likelihood. On hidden states the shift is affine, in the span of the head's weights.

    Parameters
    ----------
    criterion : "equal_opportunity", "equalized_odds" or "demographic_parity"
        Which rates to equalise: true positive rates of every class (of the positive
        class when there are two), rates of every (true, predicted) pair, or selection
        rates.
    groups : "given" or "infer"
        Whether ``predict`` gets the group of every row, or only ``group_proba``.
    shrinkage : float
        A cell of n rows counts n / (n + shrinkage) in the penalty.
    classes : sequence, optional
        The class of every score column. Default: the sorted classes of ``y``.
    pos_label : label, optional
        The positive class of a binary problem. Default: the larger of the two.
    penalty : float, optional
        Weight of the squared gaps against the mean log-loss in nats. Default: 500 with two
        classes, 150 with more; for "equalized_odds", which offsets cannot meet exactly in
        general, 100 and 30: a larger weight ends in one constant decision. 0: none.
    accuracy_tolerance : float, optional
        Climb to ``penalty`` only as far as the decisions on the rows of ``fit`` lose at
        most this share of accuracy: 0.005 is half a point. Default: no limit.
    base_rate_shift : float, "auto" or None
        First take ``base_rate_shift * ln(P(k | group) / P(k))`` from every class score; with
        guessed groups add the logarithm of the expected factor. "auto" takes the strength
        with the smallest gaps that costs at most half of ``accuracy_tolerance`` (all of it
        where no offsets follow). The offsets
        then see to what is left. One number from all rows is better known than an offset a
        class where classes are rare.
    score_kind : "auto", "probability" or "logit"
        What the scores are. "auto" takes rows in [0, 1] that sum to 1 (or a 1-D array
        within [0, 1]) as probabilities, everything else as logits.
    missing_groups : "raise", "single" or "own_group"
        Missing ``sensitive_features``: raise, take all rows as one group, or (missing
        values) keep them as a group of their own.
    unknown_group : "error" or "identity"
        A group never seen in ``fit``: raise, or leave its scores unshifted.
    max_iter : int
        Iterations of L-BFGS in each descent.

    Attributes
    ----------
    offsets_ : (n_groups, n_classes)
        Added to the log-scores; each row sums to 0 ("infer": all together do). Of "given"
        the base rates' part is in it.
    base_rate_shift_, log_lift_ : float, (n_groups, n_classes) or None
        The strength used (0 for none), and ``ln(P(k | group) / P(k))``, the shares held by
        ``shrinkage`` rows of the common mixture.
    penalty_ : float
        The penalty reached; 0 where the offsets stayed 0.
    classes_ : (n_classes,)
    groups_ : list
    converged_ : bool
    n_iter_ : int

    Notes
    -----
    Fit it on scores of rows that the classifier did not train on (cross-fitted, as
    ``SteeredClassifier`` does). With ``groups="infer"`` the true groups of the rows of
    ``fit`` are still needed: their rates are what is brought together, by decisions that
    see the guesses alone. A certain and right guess gives the decisions of "given".

    What it does not promise: it cannot close every gap (with two classes both error
    rates agree only where the groups' ROC curves cross), and on new rows the rates
    agree up to sampling error only. Source: this project's theory, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat(["a", "b"], 500)
    >>> y = rng.integers(0, 2, 1000)
    >>> scores = 2 * y - 1 + rng.normal(size=1000) - 0.8 * (group == "b")
    >>> calibrator = GapCalibrator().fit(scores, y, sensitive_features=group)
    >>> predicted = calibrator.predict(scores, sensitive_features=group)
    >>> rates = [predicted[(y == 1) & (group == g)].mean() for g in ("a", "b")]
    >>> bool(abs(rates[0] - rates[1]) < 0.05)
    True
    """

    log_lift_: NDArray[np.float64] | None

    __metadata_request__fit = {"sensitive_features": True, "group_proba": True}
    __metadata_request__predict = {"sensitive_features": True, "group_proba": True}
    __metadata_request__predict_proba = {"sensitive_features": True, "group_proba": True}

    def __init__(
        self,
        *,
        criterion: Criterion = "equal_opportunity",
        groups: Literal["given", "infer"] = "given",
        shrinkage: float = 10,
        classes: Sequence[Any] | None = None,
        pos_label: Any = None,
        penalty: float | None = None,
        accuracy_tolerance: float | None = None,
        base_rate_shift: float | Literal["auto"] | None = None,
        score_kind: ScoreKind = "auto",
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        max_iter: int = 300,
    ) -> None:
        self.criterion = criterion
        self.groups = groups
        self.shrinkage = shrinkage
        self.classes = classes
        self.pos_label = pos_label
        self.penalty = penalty
        self.accuracy_tolerance = accuracy_tolerance
        self.base_rate_shift = base_rate_shift
        self.score_kind = score_kind
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.max_iter = max_iter

    def fit(
        self,
        scores: ArrayLike,
        y: Any,
        *,
        sensitive_features: Any = None,
        group_proba: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Find the offsets.

        Parameters
        ----------
        scores : (n_samples, n_classes), or (n_samples,) for two classes
            Class scores of rows that the scorer was not trained on.
        y : (n_samples,)
            Class labels.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups.
        group_proba : (n_samples, n_groups) or (n_samples, n_classes, n_groups), optional
            For ``groups="infer"``: P(group | row), or P(group | row, were its class k), of
            a model that was not trained on these rows. Groups in sorted order.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.

        Raises
        ------
        InvalidInputError
            If shapes, labels or settings do not fit together.
        """
        where = "GapCalibrator.fit"
        self._check_settings(where)
        raw = finite_scores(scores, where=where)
        labels = check_labels(y, where=where, n_samples=len(raw), min_classes=2, of="scores")
        self.classes_ = resolve_classes(labels, self.classes, where=where)
        self.score_kind_ = resolve_kind(raw, self.score_kind)
        logits = self._logits(raw, where)
        groups = resolve_groups(
            sensitive_features, n_samples=len(raw), missing_groups=self.missing_groups, where=where
        )
        self.groups_ = list(groups.labels)
        weight = check_sample_weight(sample_weight, len(raw), where=where)
        known: Membership = KnownGroups(groups.codes, len(groups.labels))
        if self.groups == "infer" and len(groups.labels) > 1:
            known = self._guessed(group_proba, len(raw), where)
        self._solve(logits, labels, groups, known, weight, where)
        return self

    def predict_proba(
        self,
        scores: ArrayLike,
        *,
        sensitive_features: Any = None,
        group_proba: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Return softmax(log-scores + shifts), ``(n_samples, n_classes)``.

        Parameters
        ----------
        scores : (n_samples, n_classes), or (n_samples,) for two classes
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups; not read with ``groups="infer"``.
        group_proba : (n_samples, n_groups) or (n_samples, n_classes, n_groups)
            With ``groups="infer"``, as in ``fit``.

        Raises
        ------
        GroupsRequiredError
            If ``sensitive_features`` is None and ``fit`` saw several groups ("given").
        UnknownGroupError
            If a group was never seen in ``fit`` and ``unknown_group="error"``.
        """
        where = "GapCalibrator.predict"
        check_is_fitted(self)
        logits = self._logits(finite_scores(scores, where=where), where)
        known = self._membership(sensitive_features, group_proba, len(logits), where)
        if isinstance(known, GuessedGroups) and self.log_lift_ is not None:
            logits = logits + BaseRates(self.log_lift_).shift(logits, known, self.base_rate_shift_)
        proba: NDArray[Any] = softmax(logits + known.shift(self.offsets_), axis=1)
        return proba

    def predict(
        self,
        scores: ArrayLike,
        *,
        sensitive_features: Any = None,
        group_proba: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Return the class of the largest shifted score, the first one at a tie."""
        proba = self.predict_proba(
            scores, sensitive_features=sensitive_features, group_proba=group_proba
        )
        picked: NDArray[Any] = self.classes_[proba.argmax(axis=1)]
        return picked

    def _check_settings(self, where: str) -> None:
        check_choice(
            "criterion",
            self.criterion,
            ("equal_opportunity", "equalized_odds", "demographic_parity"),
            where=where,
        )
        check_choice("groups", self.groups, ("given", "infer"), where=where)
        check_choice("score_kind", self.score_kind, ("auto", "probability", "logit"), where=where)
        check_choice("unknown_group", self.unknown_group, ("error", "identity"), where=where)
        check_real("shrinkage", self.shrinkage, where=where, low=0)
        if self.penalty is not None:
            check_real("penalty", self.penalty, where=where, low=0)
        if self.accuracy_tolerance is not None:
            check_real("accuracy_tolerance", self.accuracy_tolerance, where=where, low=0)
        if self.base_rate_shift not in (None, "auto"):
            check_real("base_rate_shift", self.base_rate_shift, where=where, low=0)
        check_real("max_iter", self.max_iter, where=where, low=1)

    def _logits(self, raw: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        return log_scores(
            raw, self.classes_, kind=self.score_kind_, asked=self.score_kind, where=where
        )

    def _guessed(self, group_proba: Any, n_samples: int, where: str) -> GuessedGroups:
        found = group_probabilities(
            group_proba,
            n_samples=n_samples,
            n_classes=len(self.classes_),
            groups=self.groups_,
            where=where,
        )
        return GuessedGroups(found)

    def _membership(
        self, sensitive_features: Any, group_proba: Any, n_samples: int, where: str
    ) -> Membership:
        if self.groups == "infer" and len(self.groups_) > 1:
            return self._guessed(group_proba, n_samples, where)
        codes = match_groups(
            sensitive_features,
            self.groups_,
            n_samples=n_samples,
            missing_groups=self.missing_groups,
            unknown_group=self.unknown_group,
            where=where,
        )
        return KnownGroups(codes, len(self.groups_))

    def _solve(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[Any],
        groups: GroupCodes,
        known: Membership,
        sample_weight: NDArray[np.float64] | None,
        where: str,
    ) -> None:
        weight = np.ones(len(labels)) if sample_weight is None else sample_weight
        position = {c: i for i, c in enumerate(self.classes_.tolist())}
        y = np.fromiter((position[v] for v in labels.tolist()), np.intp, len(labels))
        terms = rate_terms(
            self.criterion,
            y,
            groups.codes,
            weight,
            n_classes=len(self.classes_),
            n_groups=len(self.groups_),
            shrinkage=self.shrinkage,
            positive=positive_class(self.classes_, self.pos_label, where=where),
        )
        if not terms:  # a single group: nothing to bring together
            self.offsets_ = np.zeros((len(self.groups_), len(self.classes_)))
            self.converged_, self.n_iter_, self.penalty_ = True, 0, 0.0
            self.log_lift_, self.base_rate_shift_ = None, 0.0
            return
        many = len(self.classes_) > 2
        penalty = self.penalty
        if penalty is None:
            penalty = default_penalty(self.criterion, len(self.classes_))
        problem = OffsetProblem(
            logits,
            y,
            groups.codes,
            weight,
            len(self.groups_),
            terms,
            known,
            noise_share=float(many),
            ridge=GUESS_RIDGE if self.groups == "infer" else 0.0,
        )
        floor = None
        if self.accuracy_tolerance is not None:
            floor = spread_and_accuracy(problem)[1] - self.accuracy_tolerance
        found = solve_offsets(
            self._without_base_rates(problem, floor),
            penalty=penalty,
            stages=BY_LIKELIHOOD if many else BY_ACCURACY,
            max_iter=self.max_iter,
            floor=floor,
        )
        self.offsets_, self.penalty_ = found.offsets, found.penalty
        self.converged_, self.n_iter_ = found.converged, found.n_iter
        if isinstance(known, KnownGroups) and self.log_lift_ is not None:
            # a constant of the group: offsets like any others
            lean = self.base_rate_shift_ * self.log_lift_
            self.offsets_ = known.centred(self.offsets_ - lean)

    def _without_base_rates(self, problem: OffsetProblem, floor: float | None) -> OffsetProblem:
        """Return the problem that is left to the offsets, and remember the shift."""
        self.log_lift_, self.base_rate_shift_ = None, 0.0
        if self.base_rate_shift is None:
            return problem
        rates = BaseRates.of(
            problem.y,
            problem.groups,
            problem.weight,
            n_classes=len(self.classes_),
            n_groups=problem.n_groups,
            prior_rows=self.shrinkage,
        )

        def shifted(strength: float) -> OffsetProblem:
            shift = rates.shift(problem.scores, problem.membership, strength)
            return replace(problem, scores=problem.scores + shift)

        if self.base_rate_shift == "auto":
            offsets_follow = self.penalty is None or self.penalty > 0
            kept = float(self.accuracy_tolerance or 0.0) / 2 if offsets_follow else 0.0
            half = None if floor is None else floor + kept
            strength = choose_strength(lambda k: spread_and_accuracy(shifted(k)), floor=half)
        else:
            strength = float(self.base_rate_shift)
        self.log_lift_, self.base_rate_shift_ = rates.log_lift, strength
        return shifted(strength)
