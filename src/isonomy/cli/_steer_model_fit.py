"""Fit the head and its steering on hidden states, and judge it on rows kept apart."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.cli._steer_model_request import ModelRequest
from isonomy.cli._steer_request import Mode
from isonomy.cli._text_rows import Parts, TextRows
from isonomy.cli.progress import Report
from isonomy.comparison import Method, calibrated, compare_methods, find_method
from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import rms_tpr_gap
from isonomy.steering import GapCalibrator, SteeredClassifier

__all__ = ["Fit", "fit_and_judge"]

RIVALS = ("leace", "mimic")

ACCURACY_ROOM = 0.005
"""Candidates within half a point of the most accurate one are told apart by their gap."""


@dataclass(frozen=True)
class Fit:
    """The fitted classifier, the comparison it won or lost, and why it is this one."""

    classifier: SteeredClassifier
    result: dict[str, Any]
    why: str


def fit_and_judge(
    states: NDArray[Any],
    rows: TextRows,
    parts: Parts,
    request: ModelRequest,
    *,
    words: Mapping[str, Any],
    progress: Report,
) -> Fit:
    """Choose the method on the validation rows, refit it on all but the test rows, judge.

    Parameters
    ----------
    states : (n, d)
        Hidden states, in the order of ``rows``.
    rows, parts, request : TextRows, Parts, ModelRequest
    words : mapping
        Passed on to `compare_methods`: title, question, data, created_by, reproduce.
    progress : callable

    Raises
    ------
    InvalidInputError
        If the method cannot be fitted on these rows.
    """
    candidates = _candidates(request.mode)
    chosen, why = candidates[0], ""
    if len(candidates) > 1:
        progress("choosing the method", 0, len(candidates))
        chosen, why = _choose(candidates, states, rows, parts, request, progress)
    made: list[SteeredClassifier] = []
    known, test = parts.known, parts.test
    result = compare_methods(
        states[known],
        rows.labels[known],
        rows.groups[known],
        states[test],
        rows.labels[test],
        rows.groups[test],
        estimator=_head(),
        methods=["untouched", *RIVALS, *(_kept(m, made, chosen) for m in candidates)],
        main_method=chosen.name,
        random_state=request.random_state,
        progress=progress,
        **words,
    )
    if result["main_method"] != chosen.name or not made:
        reasons = [f["why"] for f in result["not_computed"] if f["what"] == chosen.label]
        raise InvalidInputError(
            f"--mode {request.mode} could not be fitted on the hidden states: "
            f"{reasons[0] if reasons else 'see --debug'}"
        )
    return Fit(made[0], result, why)


def _head() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _candidates(mode: Mode) -> list[Method]:
    if mode == "blind":
        return [find_method("ideal_blind")]
    if mode == "given":
        return [find_method("ideal_given+calibrated"), find_method("calibrated")]
    guessing = GapCalibrator(groups="infer", accuracy_tolerance=ACCURACY_ROOM)
    both = replace(calibrated(find_method("ideal_inferred"), guessing), group_use="inferred")
    return [both, find_method("calibrated_inferred")]


def _kept(method: Method, made: list[SteeredClassifier], chosen: Method) -> Method:
    """Return the method; what it makes is kept, because a comparison returns numbers alone."""
    if method is not chosen:
        return method

    def make(estimator: Any, random_state: int | None) -> Any:
        made.append(method.factory(estimator, random_state))
        return made[-1]

    return replace(method, factory=make)


def _choose(
    candidates: Sequence[Method],
    states: NDArray[Any],
    rows: TextRows,
    parts: Parts,
    request: ModelRequest,
    progress: Report,
) -> tuple[Method, str]:
    """Return the candidate with the smallest gap among those of the best accuracy."""
    train, held = parts.train, parts.validation
    found: list[tuple[Method, float, float]] = []
    for i, method in enumerate(candidates):
        progress(f"choosing the method: {method.label}", i, len(candidates))
        model = method.factory(_head(), request.random_state)
        groups = rows.groups[held] if method.group_use == "given" else None
        model.fit(states[train], rows.labels[train], sensitive_features=rows.groups[train])
        predicted = model.predict(states[held], sensitive_features=groups)
        accuracy = float(np.mean(predicted == rows.labels[held]))
        found.append((method, accuracy, _gap(rows.labels[held], predicted, rows.groups[held])))
    best = max(accuracy for _, accuracy, _ in found)
    near = [entry for entry in found if entry[1] >= best - ACCURACY_ROOM]
    chosen = min(near, key=lambda entry: entry[2])
    listed = "; ".join(
        f"{m.label}: gap {100 * max(0.0, gap):.1f} points, accuracy {100 * accuracy:.1f}%"
        for m, accuracy, gap in found
    )
    return chosen[0], (
        f"{chosen[0].label} was chosen on {len(held)} validation rows: the smallest gap within "
        f"half a point of the best accuracy ({listed})."
    )


def _gap(y_true: NDArray[Any], predicted: NDArray[Any], groups: NDArray[Any]) -> float:
    """Return the corrected precision-weighted gap; infinite where no class has both groups."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedRateWarning)  # a rare class has no say here
        gap = rms_tpr_gap(
            y_true, predicted, sensitive_features=groups, corrected=True, weighting="precision"
        )
    return float(gap) if np.isfinite(gap) else float("inf")
