"""Iterative null-space projection: remove what linear probes read, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy._validation import check_count
from isonomy._weighted_fit import accepts_sample_weight
from isonomy.baselines._group_moments import check_weight_of_groups
from isonomy.baselines._one_map import OneMap, check_something_left, erasing_map
from isonomy.baselines._probe_path import ProbedRows, Reading, content_folds, hidden_readers
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = ["INLP"]

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]

_N_FOLDS = 4
"""One row in so many is held out to judge the probes."""

_NEWTON_PARAMETERS = 1_000
"""Up to so many coefficients Newton's method is quick, and exact to rounding."""


class INLP(OneMap):
    """Project out, again and again, the directions by which a linear probe finds the group.

    Parameters
    ----------
    n_iterations : "auto" or int
        How many probes. "auto" stops when the probe is right on held-out rows no more
        often, beyond noise, than the constant that names the largest group.
    probe : classifier, optional
        Any linear one with ``coef_`` after ``fit``; cloned. Default a logistic regression
        with scikit-learn's penalty, solved to rounding. With "auto" give it no class
        weights: it competes in plain accuracy.
    within_classes : bool
        Fit every probe on the rows of one class only, the classes taking turns; needs
        ``y`` in ``fit``. Erases what tells groups apart within classes and keeps what
        tells them apart only by their classes.
    standardize : bool
        Divide columns by their standard deviations for the probe. The directions are
        carried back: a reader w of ``x / s`` reads x along ``w / s``.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`. At ``transform`` group columns are dropped and
        their values not looked at.

    Attributes
    ----------
    map_ : AffineMap
        Of low rank, factored.
    directions_ : (n_features, rank) array
        Orthonormal; what was projected out.
    rank_ : int
    n_iter_ : int
        Probes whose directions were projected out.
    probe_scores_ : (n_probes,) array
        Accuracy on held-out rows of every probe, before its own direction goes: the first
        on rows as they were, the last after the last projection.
    majority_scores_ : (n_probes,) array
        Accuracy of the constant on the same rows.
    groups_ : list of group labels

    Notes
    -----
    With w_1, w_2, ... the probes' coefficient vectors, each fitted on rows projected by
    the ones before, m the mean of all rows, and B an orthonormal basis of the span of all
    w_t stacked::

        x -> x - B B' (x - m)

    the orthogonal projection, in the units of the columns, onto the intersection of the
    probes' null spaces; a product of single projections would be that in exact arithmetic
    alone. For three groups and more the vectors are the coefficients less their mean over
    the groups, which decides nothing: at most the number of groups minus 1 a probe.

    The number of probes is found on three quarters of the rows, judged on the fourth
    (difference to the constant by McNemar's test, one-sided 5 %), and then as many are
    fitted on all rows. A probe that finds groups without showing a new direction ends
    "auto" too. Which rows are held out depends on what they hold, not on where
    they stand: no random state, any order of rows gives the same map, and integer weights
    equal repeated rows (for "auto" a weight counts rows: scale yours to a mean of 1).
    Parts of a vector along which training rows do not vary are
    dropped: constant columns stay, and so do linear relations between columns.

    Source: Ravfogel et al., Null it out: guarding protected attributes by iterative
    nullspace projection (ACL 2020), algorithm 1. There the number of probes is given, rows
    are not centred, which shifts all rows alike, and the class of a within-class probe is
    drawn at random.

    What it does not promise: the least change of rows (:class:`LEACE` erases at once and
    with less), that a non-linear probe fails, or fair decisions.

    Raises
    ------
    InvalidInputError
        In ``fit``, if a parameter is wrong, the probe is not linear or takes no weights
        that were given, or nothing would be left of the rows.

    Examples
    --------
    >>> rng, groups = np.random.default_rng(0), np.repeat([0, 1], 1_000)
    >>> X = rng.standard_normal((2_000, 3)) + np.outer(groups, [2.0, 0.0, 0.0])
    >>> eraser = INLP().fit(X, sensitive_features=groups)
    >>> eraser.rank_, eraser.probe_scores_.round(2)
    (1, array([0.86, 0.55]))
    """

    def __init__(
        self,
        *,
        n_iterations: int | Literal["auto"] = "auto",
        probe: Any = None,
        within_classes: bool = False,
        standardize: bool = True,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.n_iterations = n_iterations
        self.probe = probe
        self.within_classes = within_classes
        self.standardize = standardize
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    @property
    def _requires_y(self) -> bool:  # type: ignore[override]
        return bool(self.within_classes)

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: Floats | None,
    ) -> None:
        wanted = self._wanted(sample_weight is not None)
        d = values.shape[1]
        self.map_, self.rank_, self.n_iter_ = AffineMap.identity(d), 0, 0
        self.directions_ = np.zeros((d, 0))
        self.probe_scores_ = self.majority_scores_ = np.zeros(0)
        if len(groups.labels) == 1:
            return
        if sample_weight is not None:
            check_weight_of_groups(groups, sample_weight, where="INLP.fit")
        labels = y if self.within_classes else None
        if sample_weight is not None and not sample_weight.all():
            there = sample_weight > 0
            groups = GroupCodes(groups.labels, groups.codes[there])
            values, sample_weight = values[there], sample_weight[there]
            labels = None if labels is None else labels[there]
        strata = _strata(labels, groups.codes)
        mean, start = self._start(values, groups, sample_weight)
        held_out = content_folds(values, groups.codes, _N_FOLDS) == 0
        turns, readings = _search(replace(start, rows=start.rows.copy()), strata, held_out, wanted)
        self.probe_scores_ = np.array([reading.score for reading in readings])
        self.majority_scores_ = np.array([reading.majority for reading in readings])
        for turn in turns:
            probe = start.fit_probe(strata[turn])
            if probe is not None:
                start.remove(probe)
        self.directions_, self.n_iter_ = start.basis, len(turns)
        self.rank_ = start.basis.shape[1]
        _check_left(start)
        if self.rank_:
            self.map_ = erasing_map(start.basis, mean)

    def _wanted(self, weighted: bool) -> int | None:
        """Return the number of probes; None for "auto"."""
        if weighted and self.probe is not None and not accepts_sample_weight(self.probe):
            raise InvalidInputError(
                "`probe` of `INLP` must take `sample_weight` in its `fit` where weights are "
                f"passed, and {type(self.probe).__name__} does not. Take one that does, for "
                "instance `LogisticRegression`, or pass no weights."
            )
        if isinstance(self.n_iterations, str):
            if self.n_iterations == "auto":
                return None
            raise InvalidInputError(
                "`n_iterations` of `INLP` must be 'auto' or a whole number, got "
                f"{self.n_iterations!r}."
            )
        return check_count("n_iterations", self.n_iterations, where="INLP")

    def _start(
        self, values: NDArray[Any], groups: GroupCodes, weight: Floats | None
    ) -> tuple[Floats, ProbedRows]:
        exact = np.asarray(values, dtype=np.float64)
        mean = np.average(exact, axis=0, weights=weight)
        rows = exact - mean
        # rounding of the mean would become a column of its own once divided by its spread
        rows[:, (exact == exact[0]).all(axis=0)] = 0.0
        spread = np.sqrt(np.average(rows**2, axis=0, weights=weight))
        scale = np.where(spread > 0, spread, 1.0)
        hidden = hidden_readers(rows, weight, scale, values.dtype)
        probe = self.probe
        if probe is None:
            probe = _default_probe(values.shape[1], len(groups.labels))
        if not self.standardize:
            scale = np.ones_like(scale)
        nothing = np.zeros((len(mean), 0))
        return mean, ProbedRows(rows, scale, groups.codes, weight, probe, hidden, nothing)


def _default_probe(n_features: int, n_groups: int) -> LogisticRegression:
    size = n_features * (1 if n_groups == 2 else n_groups)
    if size <= _NEWTON_PARAMETERS:
        return LogisticRegression(solver="newton-cholesky", tol=1e-8)
    return LogisticRegression(tol=1e-6, max_iter=2_000)


def _strata(labels: NDArray[Any] | None, codes: NDArray[np.intp]) -> list[Rows]:
    """Return the rows of each class in which there are two groups; all rows without labels."""
    if labels is None:
        return [np.ones(len(codes), dtype=np.bool_)]
    strata = [labels == label for label in np.unique(labels)]
    mixed = [rows for rows in strata if len(np.unique(codes[rows])) > 1]
    if not mixed:
        raise InvalidInputError(
            "`y` passed to `INLP.fit` with `within_classes=True` must have a class with rows of "
            "two groups, got none: within classes there is nothing to tell apart. Set "
            "`within_classes=False`."
        )
    return mixed


def _search(
    state: ProbedRows, strata: list[Rows], held_out: Rows, wanted: int | None
) -> tuple[list[int], list[Reading]]:
    """Return whose turn it was for every probe that is worth it, and all readings."""
    turns: list[int] = []
    readings: list[Reading] = []
    silent = 0
    for step in count():
        turn = step % len(strata)
        learnt = strata[turn] & ~held_out
        probe = state.fit_probe(learnt)
        reading = state.judge(probe, learnt, strata[turn] & held_out)
        readings.append(reading)
        if len(turns) == wanted:
            break
        worth = probe is not None and (wanted is not None or reading.told)
        removed = state.remove(probe) if worth else 0
        # a probe that finds groups and shows no new direction would do so for ever
        if wanted is None and removed == 0:
            silent += 1
            if silent == len(strata):
                break
            continue
        silent = 0
        turns.append(turn)
        _check_left(state)
    return turns, readings


def _check_left(state: ProbedRows) -> None:
    check_something_left(
        state.basis.shape[1],
        state.dimensions,
        where="INLP.fit",
        remedy="Set a smaller `n_iterations`, pass more columns or fewer groups, or use "
        "`MeanMatching`, which needs the group of every row.",
    )
