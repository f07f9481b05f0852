"""GapCalibrator: per-group offsets of class scores that bring the groups' rates together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isonomy._group_codes import MissingGroups, UnknownGroup, match_groups, resolve_groups
from isonomy._validation import (
    as_column,
    check_choice,
    check_labels,
    check_real,
    check_sample_weight,
)
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes
from isonomy.steering._offsets import OffsetProblem, solve_offsets
from isonomy.steering._rate_terms import Criterion, rate_terms

__all__ = ["GapCalibrator"]

ScoreKind = Literal["auto", "probability", "logit"]

PENALTIES: dict[Criterion, float] = {
    "equal_opportunity": 500.0,
    "demographic_parity": 500.0,
    "equalized_odds": 30.0,
}
"""Default weight of the squared gaps. One rate a class can be met almost exactly by offsets;
equalized odds in general cannot, and a larger weight buys it with one constant decision."""

LARGEST_LOGIT = 700.0
"""Log-probabilities below -700 would underflow as probabilities."""

TEMPERATURES = (1.0, 0.3, 0.1)
"""Softmax temperatures, falling: the last is near the argmax that decides."""


class GapCalibrator(BaseEstimator):  # type: ignore[misc]
    """Shift the class scores of each group so that the groups' rates agree.

    Decides by ``argmax_k (s_k + offset[group, k])``. The offsets minimise the loss of
    log-likelihood plus ``penalty`` times the weighted squared rate gaps; both groups
    move; gaps up to what sampling would show between equal rates are left alone. On hidden
    states it is an affine shift in the span of the head's weights.

    Parameters
    ----------
    criterion : "equal_opportunity", "equalized_odds" or "demographic_parity"
        Which rates to equalise: true positive rates of every class (of the positive
        class when there are two), rates of every (true, predicted) pair, or selection
        rates.
    shrinkage : float
        A cell of n rows counts n / (n + shrinkage) in the penalty.
    classes : sequence, optional
        The class of every score column. Default: the sorted classes of ``y``.
    pos_label : label, optional
        The positive class of a binary problem. Default: the larger of the two.
    penalty : float, optional
        Weight of the squared gaps against the mean log-loss in nats. Default: 500, and 30
        for "equalized_odds", which offsets cannot meet exactly in general: a larger
        weight there ends in one constant decision.
    score_kind : "auto", "probability" or "logit"
        What the scores are. "auto" takes rows in [0, 1] that sum to 1 (or a 1-D array
        within [0, 1]) as probabilities, everything else as logits.
    missing_groups : "raise", "single" or "own_group"
        Missing ``sensitive_features``: raise, take all rows as one group, or (missing
        values) keep them as a group of their own.
    unknown_group : "error" or "identity"
        A group never seen in ``fit``: raise, or leave its scores unshifted.
    max_iter : int
        Iterations of L-BFGS at each temperature.

    Attributes
    ----------
    offsets_ : (n_groups, n_classes)
        Added to the log-scores; each row sums to 0.
    classes_ : (n_classes,)
    groups_ : list
    converged_ : bool
    n_iter_ : int

    Notes
    -----
    Fit it on scores of rows that the classifier did not train on (cross-fitted, as
    ``SteeredClassifier`` does). It uses the group at prediction.

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

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__predict = {"sensitive_features": True}
    __metadata_request__predict_proba = {"sensitive_features": True}

    def __init__(
        self,
        *,
        criterion: Criterion = "equal_opportunity",
        shrinkage: float = 10,
        classes: Sequence[Any] | None = None,
        pos_label: Any = None,
        penalty: float | None = None,
        score_kind: ScoreKind = "auto",
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        max_iter: int = 300,
    ) -> None:
        self.criterion = criterion
        self.shrinkage = shrinkage
        self.classes = classes
        self.pos_label = pos_label
        self.penalty = penalty
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
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.

        Raises
        ------
        InvalidInputError
            If shapes, labels or settings do not fit together.
        """
        where = "GapCalibrator.fit"
        self._check_settings(where)
        raw = _finite_scores(scores, where=where)
        labels = check_labels(y, where=where, n_samples=len(raw), min_classes=2, of="scores")
        self.classes_ = self._resolve_classes(labels, where)
        self.score_kind_ = _resolve_kind(raw, self.score_kind)
        logits = self._logits(raw, where)
        groups = resolve_groups(
            sensitive_features, n_samples=len(raw), missing_groups=self.missing_groups, where=where
        )
        self.groups_ = list(groups.labels)
        weight = check_sample_weight(sample_weight, len(raw), where=where)
        self._solve(logits, labels, groups, weight, where)
        return self

    def predict_proba(self, scores: ArrayLike, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return softmax(log-scores + offsets of the row's group), ``(n_samples, n_classes)``.

        Raises
        ------
        GroupsRequiredError
            If ``sensitive_features`` is None and ``fit`` saw several groups.
        UnknownGroupError
            If a group was never seen in ``fit`` and ``unknown_group="error"``.
        """
        where = "GapCalibrator.predict"
        check_is_fitted(self)
        logits = self._logits(_finite_scores(scores, where=where), where)
        codes = match_groups(
            sensitive_features,
            self.groups_,
            n_samples=len(logits),
            missing_groups=self.missing_groups,
            unknown_group=self.unknown_group,
            where=where,
        )
        # The last row serves code -1, a group never seen in fit: no shift.
        table = np.vstack([self.offsets_, np.zeros(len(self.classes_))])
        proba: NDArray[Any] = softmax(logits + table[codes], axis=1)
        return proba

    def predict(self, scores: ArrayLike, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return the class of the largest shifted score, the first one at a tie."""
        proba = self.predict_proba(scores, sensitive_features=sensitive_features)
        picked: NDArray[Any] = self.classes_[proba.argmax(axis=1)]
        return picked

    def _check_settings(self, where: str) -> None:
        check_choice(
            "criterion",
            self.criterion,
            ("equal_opportunity", "equalized_odds", "demographic_parity"),
            where=where,
        )
        check_choice("score_kind", self.score_kind, ("auto", "probability", "logit"), where=where)
        check_choice("unknown_group", self.unknown_group, ("error", "identity"), where=where)
        check_real("shrinkage", self.shrinkage, where=where, low=0)
        if self.penalty is not None:
            check_real("penalty", self.penalty, where=where, low=0)
        check_real("max_iter", self.max_iter, where=where, low=1)

    def _resolve_classes(self, labels: NDArray[Any], where: str) -> NDArray[Any]:
        found = np.unique(labels)
        if self.classes is None:
            return found
        classes = as_column(self.classes)
        strangers = [c for c in found if c not in classes]
        if strangers or len(np.unique(classes)) < len(classes):
            raise InvalidInputError(
                f"`classes` of `{where}` must name every class of `y` once, one a score "
                f"column; missing or repeated: {strangers or classes.tolist()}."
            )
        return classes

    def _logits(self, raw: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        n_classes = len(self.classes_)
        if self.score_kind_ == "probability" and not (raw >= 0).all() & (raw <= 1 + 1e-3).all():
            raise InvalidInputError(
                f"`scores` passed to `{where}` must be probabilities in [0, 1]"
                f"{'' if self.score_kind == 'probability' else ' as in `fit`'}, got values from "
                f'{raw.min():g} to {raw.max():g}. Set `score_kind="logit"` for other scores.'
            )
        if raw.ndim == 1 or raw.shape[1] == 1:
            if n_classes != 2:
                raise InvalidInputError(
                    f"`scores` passed to `{where}` must have one column a class ({n_classes}); "
                    "1-D scores are for two classes."
                )
            flat = raw.reshape(-1)
            if self.score_kind_ == "probability":
                return _log(np.column_stack([1 - flat, flat]))
            return _floored(np.column_stack([np.zeros(len(flat)), flat]))
        if raw.shape[1] != n_classes:
            raise InvalidInputError(
                f"`scores` passed to `{where}` must have one column a class ({n_classes}: "
                f"{', '.join(map(str, self.classes_[:8]))}), got {raw.shape[1]}. Say which "
                "column is which with `classes=`."
            )
        return _log(raw) if self.score_kind_ == "probability" else _floored(raw)

    def _positive(self, where: str) -> int | None:
        if len(self.classes_) > 2:
            return None
        if self.pos_label is None:
            return int(np.argmax(self.classes_ == np.sort(self.classes_)[-1]))
        matches = np.flatnonzero(self.classes_ == self.pos_label)
        if len(matches) == 0:
            raise InvalidInputError(
                f"`pos_label` of `{where}` must be one of {self.classes_.tolist()}, got "
                f"{self.pos_label!r}."
            )
        return int(matches[0])

    def _solve(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[Any],
        groups: GroupCodes,
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
            positive=self._positive(where),
        )
        if not terms:  # a single group: nothing to bring together
            self.offsets_ = np.zeros((len(self.groups_), len(self.classes_)))
            self.converged_, self.n_iter_ = True, 0
            return
        penalty = PENALTIES[self.criterion] if self.penalty is None else self.penalty
        problem = OffsetProblem(logits, y, groups.codes, weight, len(self.groups_), terms)
        found = solve_offsets(
            problem, penalty=penalty, temperatures=TEMPERATURES, max_iter=self.max_iter
        )
        self.offsets_, self.converged_, self.n_iter_ = found.offsets, found.converged, found.n_iter


def _finite_scores(scores: Any, *, where: str) -> NDArray[np.float64]:
    raw = np.asarray(scores, dtype=np.float64)
    if raw.ndim not in (1, 2) or len(raw) == 0:
        raise InvalidInputError(
            f"`scores` passed to `{where}` must be (n_samples, n_classes) or (n_samples,) with "
            f"at least one row, got shape {raw.shape}."
        )
    if np.isnan(raw).any() or np.isposinf(raw).any():
        raise InvalidInputError(
            f"`scores` passed to `{where}` must hold no NaN and no positive infinity, got "
            f"{int((np.isnan(raw) | np.isposinf(raw)).sum())} such value(s)."
        )
    return raw


def _resolve_kind(raw: NDArray[np.float64], kind: ScoreKind) -> ScoreKind:
    if kind != "auto":
        return kind
    within = bool((raw >= 0).all() and (raw <= 1).all())
    if raw.ndim == 2 and raw.shape[1] > 1:
        within = within and bool(np.allclose(raw.sum(axis=1), 1, atol=1e-3))
    return "probability" if within else "logit"


def _floored(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lift scores that lie more than 700 below the largest of their row, -inf too."""
    top = logits.max(axis=1, keepdims=True)
    return np.maximum(logits, np.where(np.isfinite(top), top, 0.0) - LARGEST_LOGIT)


def _log(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.clip(probability, np.exp(-LARGEST_LOGIT), None))
    return logs
