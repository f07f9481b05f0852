"""An honest before and after: a logistic regression on rows that are then judged apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.cli._rows import Rows
from isonomy.cli._split import split_by_cell
from isonomy.cli._steer_request import Mode, SteerRequest
from isonomy.cli.exits import one_line
from isonomy.cli.progress import Report
from isonomy.comparison import Method, compare_methods, find_method
from isonomy.steering import IdealSteerer, SteeredClassifier

__all__ = ["METHOD_OF", "compare_rows", "with_groups"]

METHOD_OF: dict[Mode, str] = {
    "blind": "ideal_blind",
    "given": "ideal_given",
    "infer": "ideal_inferred",
}


def compare_rows(
    rows: Rows, request: SteerRequest, *, description: str, progress: Report
) -> dict[str, Any]:
    """Return the comparison of untouched rows with steered ones, on rows kept apart."""
    train, test = split_by_cell(
        rows.labels, rows.groups, test_size=request.test_size, random_state=request.random_state
    )
    X = np.column_stack([column.to_numpy() for column in rows.features.columns])
    names = rows.features.column_names
    main = _method(request, names)
    method = main.name
    command, name = request.command_line(rows.table.path), one_line(rows.table.path.name)
    return compare_methods(
        X[train],
        rows.labels[train],
        rows.groups.take(pa.array(train)),
        X[test],
        rows.labels[test],
        rows.groups.take(pa.array(test)),
        estimator=make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        methods=["untouched", main],
        main_method=method,
        random_state=request.random_state,
        progress=progress,
        title=f"{name}, before and after steering",
        question=(
            "Does a logistic regression on the chosen columns find every class equally often in "
            f"every group ({', '.join(request.groups)}), before and after steering?"
        ),
        data={"name": name, "description": description},
        created_by={"command": command, "random_state": request.random_state},
        reproduce={"command": command, "python": _python(rows, request)},
    )


def with_groups(rows: Rows) -> pa.Table:
    """Return features and groups in one table: what a steerer with group columns takes."""
    frame = rows.features
    for name in rows.groups.column_names:
        frame = frame.append_column(name, rows.groups.column(name))
    return frame


def _method(request: SteerRequest, names: Sequence[str]) -> Method:
    """Return the method of the mode, whose steerer is the one that is asked for."""
    found = find_method(METHOD_OF[request.mode])
    if not request.steering.named():
        return found
    parameters = request.steerer_parameters(names)

    def make(estimator: Any, random_state: int | None) -> SteeredClassifier:
        steerer = IdealSteerer(**parameters)
        return SteeredClassifier(
            estimator, steerer=steerer, calibrator=None, random_state=random_state
        )

    options = " ".join(request.steering.words())
    return replace(found, factory=make, description=f"{found.description} Options: {options}")


def _python(rows: Rows, request: SteerRequest) -> list[str]:
    parameters = ", ".join(f"{k}={v!r}" for k, v in request.steerer_parameters().items())
    return [
        "from isonomy import IdealSteerer",
        f"steerer = IdealSteerer({parameters})",
        f"X, groups = frame[{rows.features.column_names!r}], frame[{list(request.groups)!r}]",
        f"steerer.fit(X, frame[{request.label!r}], sensitive_features=groups)",
        "steered = steerer.transform(X, sensitive_features=groups)",
    ]
