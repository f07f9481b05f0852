"""Fit the calibrated last stage on scores of rows that no part was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from isonomy._cross_fit import Split
from isonomy.steering._group_model import GroupModel, fit_group_model
from isonomy.steering._parts import Recipe, Rows, held_out_scores
from isonomy.steering.calibration import GapCalibrator

__all__ = ["LastStage", "fit_last_stage"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Codes:
    """Labels and groups as numbers, one a row."""

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
        guess = None if self.group_model is None else self.group_model.posterior(X)
        return self.calibrator.predict_proba(scores, sensitive_features=groups, group_proba=guess)


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

    def one(train: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[Floats, Floats | None]:
        scores = held_out_scores(recipe, rows, classes, train, test, where)
        if not infer:
            return scores, None
        found = _group_model(group_model, recipe, rows.take(train), codes, train, where)
        return scores, found.posterior(rows.take(test).X)

    parts = Parallel(n_jobs=n_jobs)(delayed(one)(train, test) for train, test in splits)
    # a splitter may leave rows out
    order = np.concatenate([test for _, test in splits])
    scores = np.concatenate([part[0] for part in parts])
    guesses = np.concatenate([part[1] for part in parts]) if infer else None
    judged = rows.take(order)
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
