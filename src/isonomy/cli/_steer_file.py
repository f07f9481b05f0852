"""Steer the rows of one file: an honest before and after, then every row and the artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.artefact import data_fingerprint
from isonomy.cli._outputs import check_can_draw, write_report_into
from isonomy.cli._rows import WEIGHT_COLUMN, Rows, read_rows
from isonomy.cli._split import split_by_cell
from isonomy.cli._steer_request import Mode, SteerRequest
from isonomy.cli._write_table import replace_columns, write_table
from isonomy.cli.exits import one_line
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.comparison import compare_methods
from isonomy.steering import IdealSteerer

__all__ = ["ARTEFACT", "STEM", "steer_file"]

ARTEFACT = "artefact.safetensors"
STEM = "steered"
N_STEPS = 4

METHOD_OF: dict[Mode, str] = {
    "blind": "ideal_blind",
    "given": "ideal_given",
    "infer": "ideal_inferred",
}


def steer_file(
    table: DataTable, folder: Path, request: SteerRequest, *, progress: Report
) -> dict[str, Any]:
    """Write steered rows, artefact and report into ``folder``; return the comparison.

    The comparison is a logistic regression before and after steering: fitted on one part of
    the rows, judged on the other. What is written is fitted on all rows. The key
    ``"steered"`` of the result says which columns were steered and which passed untouched.
    """
    check_can_draw()
    rows = read_rows(
        table,
        label=request.label,
        groups=request.groups,
        features=request.features,
        drop_missing=request.drop_missing,
        missing_groups=request.missing_groups,
    )
    result = _compare(rows, request, progress=progress)
    progress("steering all rows", 2, N_STEPS)
    steerer = IdealSteerer(
        groups=request.mode,
        group_columns=list(request.groups),
        random_state=request.random_state,
    )
    steerer.fit(_with_groups(rows), rows.labels)
    progress("writing", 3, N_STEPS)
    written = write_table(_steered(rows, steerer), table, folder, stem=STEM)
    fingerprint = data_fingerprint(rows.features, rows.labels, rows.groups)
    steerer.save(folder / ARTEFACT, fingerprint=fingerprint)
    result["steered"] = {
        "n_rows": len(rows.labels),
        "n_dropped": rows.n_dropped,
        "steered": rows.features.column_names,
        "untouched": rows.untouched,
        "file": written.name,
    }
    write_report_into(result, folder)
    return result


def _compare(rows: Rows, request: SteerRequest, *, progress: Report) -> dict[str, Any]:
    train, test = split_by_cell(
        rows.labels, rows.groups, test_size=request.test_size, random_state=request.random_state
    )
    X = np.column_stack([column.to_numpy() for column in rows.features.columns])
    method = METHOD_OF[request.mode]
    command, name = request.command_line(rows.table.path), one_line(rows.table.path.name)
    return compare_methods(
        X[train],
        rows.labels[train],
        rows.groups.take(pa.array(train)),
        X[test],
        rows.labels[test],
        rows.groups.take(pa.array(test)),
        estimator=make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        methods=["untouched", method],
        main_method=method,
        random_state=request.random_state,
        progress=lambda text, done, _: progress(text, done, N_STEPS),
        title=f"{name}, before and after steering",
        question=(
            "Does a logistic regression on the chosen columns find every class equally often in "
            f"every group ({', '.join(request.groups)}), before and after steering?"
        ),
        data={
            "name": name,
            "description": _description(rows, test_size=request.test_size),
        },
        created_by={"command": command, "random_state": request.random_state},
        reproduce={"command": command, "python": _python(rows, request)},
    )


def _steered(rows: Rows, steerer: IdealSteerer) -> pa.Table:
    moved = steerer.transform(_with_groups(rows))
    columns: dict[str, Any] = {n: moved.column(n) for n in rows.features.column_names}
    columns[WEIGHT_COLUMN] = pa.array(np.asarray(steerer.sample_weight_, dtype=np.float64))
    return replace_columns(rows.table, columns)


def _with_groups(rows: Rows) -> pa.Table:
    frame = rows.features
    for name in rows.groups.column_names:
        frame = frame.append_column(name, rows.groups.column(name))
    return frame


def _description(rows: Rows, *, test_size: float) -> str:
    dropped = f" {rows.n_dropped} rows with missing features were dropped." * bool(rows.n_dropped)
    return (
        f"{len(rows.labels)} rows; {test_size:.0%} of every (label, group) cell, chosen at "
        f"random, were kept for judging.{dropped} Features: "
        f"{', '.join(rows.features.column_names)}. Columns that passed untouched: "
        f"{', '.join(rows.untouched)}. The artefact and the steered file were fitted on all "
        "rows afterwards."
    )


def _python(rows: Rows, request: SteerRequest) -> list[str]:
    return [
        "from isonomy import IdealSteerer",
        f"steerer = IdealSteerer(groups={request.mode!r}, random_state={request.random_state})",
        f"X, groups = frame[{rows.features.column_names!r}], frame[{list(request.groups)!r}]",
        f"steerer.fit(X, frame[{request.label!r}], sensitive_features=groups)",
        "steered = steerer.transform(X, sensitive_features=groups)",
    ]
