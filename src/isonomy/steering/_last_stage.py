"""Fit the calibrated last stage on scores of rows that no part was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from isonomy._cross_fit import Split
from isonomy._group_transformer import GroupAwareTransformer
from isonomy.errors import EmptyCellError, InvalidInputError
from isonomy.steering._group_model import GroupModel, choose_group_model, fit_group_model
from isonomy.steering._parts import Recipe, Rows, held_out_scores
from isonomy.steering.calibration import GapCalibrator

__all__ = ["LastStage", "fit_last_stage"]

Floats = NDArray[np.float64]

CHUNK = 2**22
"""Posteriors P(group | row, class) held at once: 32 MiB, whatever the number of rows."""


@dataclass(frozen=True)
class Codes:
    """Labels and groups as numbers, one a row; the numbers of rows of weight 0 mean nothing."""

    y: NDArray[np.intp]
    groups: NDArray[np.intp]
    n_classes: int
    n_groups: int


@dataclass(frozen=True)
class LastStage:
    """A fitted calibrator and, where groups are guessed, the model that guesses them."""

    calibrator: GapCalibrator
    group_model: GroupModel | None

    def predict_proba(self, scores: Floats, X: Any, groups: Any) -> NDArray[Any]:
        """Return calibrated probabilities; ``X`` are the rows before steering."""
        if self.group_model is None:
            return self.calibrator.predict_proba(scores, sensitive_features=groups)
        step = max(1, CHUNK // self.calibrator.offsets_.size)
        parts = [
            self.calibrator.predict_proba(
                scores[start : start + step],
                group_proba=self.group_model.posterior(
                    _safe_indexing(X, slice(start, start + step))
                ),
            )
            for start in range(0, _num_samples(X), step)
        ]
        return np.concatenate(parts)


def fit_last_stage(
    calibrator: GapCalibrator,
    group_model: Any,
    recipe: Recipe,
    rows: Rows,
    codes: Codes,
    classes: NDArray[Any],
    splits: list[Split],
    *,
    n_jobs: int | None,
    where: str,
) -> LastStage:
    """Fit every part again without each fold, and the calibrator on what they say of it.

    The group model sees the rows as they come, before any steering, with the caller's own
    weights: steering may hide the group, and reweighing would tilt its shares.
    """
    infer = calibrator.groups == "infer" and codes.n_groups > 1
    if infer:
        group_model = choose_group_model(group_model, rows.X, where=where)
    _check_folds(splits, codes, needed=infer or _learns_groups(recipe), where=where)

    def one(train: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[Floats, Floats | None]:
        scores = held_out_scores(recipe, rows, classes, train, test, where)
        if not infer:
            return scores, None
        found = _group_model(group_model, recipe, rows.take(train), codes, train, where)
        return scores, found.posterior(rows.take(test).X)

    parts = Parallel(n_jobs=n_jobs)(delayed(one)(train, test) for train, test in splits)
    # a splitter may leave rows out
    judged = rows.take(np.concatenate([test for _, test in splits]))
    scores = np.concatenate([part[0] for part in parts])
    guesses = np.concatenate([part[1] for part in parts]) if infer else None
    del parts  # as large as what was made of them
    fitted: GapCalibrator = clone(calibrator).set_params(score_kind="probability", classes=classes)
    fitted.fit(
        scores,
        judged.y,
        sensitive_features=judged.groups,
        group_proba=guesses,
        sample_weight=judged.user_weight,
    )
    if not infer:
        return LastStage(fitted, None)
    counted = rows.counted
    whole = _group_model(group_model, recipe, rows.take(counted), codes, counted, where)
    return LastStage(fitted, whole)


def _learns_groups(recipe: Recipe) -> bool:
    return isinstance(recipe.steerer, GroupAwareTransformer)


def _check_folds(splits: list[Split], codes: Codes, *, needed: bool, where: str) -> None:
    """Raise unless every group is judged, and (``needed``) no fold learns from one alone."""
    judged = {int(a) for _, test in splits for a in np.unique(codes.groups[test])}
    if codes.n_groups > len(judged):
        raise InvalidInputError(
            f"`cv` of `{where}` must hold out rows of each of the {codes.n_groups} groups, because "
            f"the calibrator compares them, got rows of {len(judged)}. Choose an integer, or a "
            "splitter that holds out every row."
        )
    alone = codes.n_groups > 1 and any(len(np.unique(codes.groups[t])) < 2 for t, _ in splits)
    if needed and alone:
        raise EmptyCellError(
            f"`{where}` fits every part again in each fold of `cv`, and in one fold the rows to "
            "learn from were of one group alone. Pool groups of a single row, or set "
            "`calibrator=None`."
        )


def _group_model(
    model: Any, recipe: Recipe, rows: Rows, codes: Codes, index: NDArray[np.intp], where: str
) -> GroupModel:
    return fit_group_model(
        model,
        recipe.estimator,
        rows.X,
        codes.y[index],
        codes.groups[index],
        rows.user_weight,
        n_classes=codes.n_classes,
        n_groups=codes.n_groups,
        where=where,
    )
