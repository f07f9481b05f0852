"""Steer the rows of one file: an honest before and after, then every row and the artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.cli._outputs import write_report_into
from isonomy.cli._rows import WEIGHT_COLUMN, Rows, read_rows
from isonomy.cli._split import split_by_cell
from isonomy.cli._write_table import replace_columns, write_table
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.comparison import compare_methods
from isonomy.steering import IdealSteerer

__all__ = ["ARTEFACT", "METHOD_OF", "Mode", "steer_file"]

ARTEFACT = "artefact.safetensors"
STEM = "steered"

Mode = Literal["blind", "given", "infer"]

METHOD_OF: dict[Mode, str] = {
    "blind": "ideal_blind",
    "given": "ideal_given",
    "infer": "ideal_inferred",
}


def steer_file(
    table: DataTable,
    folder: Path,
    *,
    label: str,
    groups: Sequence[str],
    features: str,
    mode: Mode = "blind",
    test_size: float = 0.3,
    drop_missing: bool = False,
    missing_groups: Literal["raise", "own_group"] = "raise",
    random_state: int = 0,
    command: str = "",
    progress: Report,
) -> tuple[dict[str, Any], Rows]:
    """Write steered rows, artefact and report into ``folder``; return result and rows.

    The result is a comparison of a logistic regression before and after steering: fitted on
    one part of the rows, judged on the other. What is written is fitted on all rows.
    """
    rows = read_rows(
        table,
        label=label,
        groups=groups,
        features=features,
        drop_missing=drop_missing,
        missing_groups=missing_groups,
    )
    result = _compare(
        rows,
        mode=mode,
        test_size=test_size,
        random_state=random_state,
        command=command,
        progress=progress,
    )
    progress("steering all rows", 2, 3)
    steerer = IdealSteerer(
        groups=mode, group_columns=list(rows.groups.column_names), random_state=random_state
    )
    steerer.fit(_with_groups(rows), rows.labels)
    write_table(_steered(rows, steerer), table, folder, stem=STEM)
    steerer.save(folder / ARTEFACT)
    progress("writing", 3, 3)
    write_report_into(result, folder)
    return result, rows


def _compare(
    rows: Rows,
    *,
    mode: Mode,
    test_size: float,
    random_state: int,
    command: str,
    progress: Report,
) -> dict[str, Any]:
    train, test = split_by_cell(
        rows.labels, rows.groups, test_size=test_size, random_state=random_state
    )
    X = np.column_stack([c.to_numpy() for c in rows.features.columns])
    y = rows.labels
    return compare_methods(
        X[train],
        y[train],
        rows.groups.take(pa.array(train)),
        X[test],
        y[test],
        rows.groups.take(pa.array(test)),
        estimator=make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        methods=["untouched", METHOD_OF[mode]],
        main_method=METHOD_OF[mode],
        random_state=random_state,
        progress=lambda text, done, _: progress(text, done, 3),
        title=f"{rows.table.path.name}, before and after steering",
        question=_question(rows),
        data=_describe(rows, test_size=test_size),
        created_by={"command": command, "random_state": random_state},
        reproduce={"command": command, "python": _python(rows, mode, random_state)},
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


def _question(rows: Rows) -> str:
    return (
        "Does a logistic regression on the chosen columns find every class equally often in "
        f"every group ({', '.join(rows.groups.column_names)}), before and after steering?"
    )


def _describe(rows: Rows, *, test_size: float) -> Mapping[str, Any]:
    passed = ", ".join(rows.untouched) or "none"
    dropped = f" {rows.n_dropped} rows with missing features were dropped." * bool(rows.n_dropped)
    return {
        "name": rows.table.path.name,
        "description": (
            f"{len(rows.labels)} rows; {test_size:.0%} of every (label, group) cell, chosen at "
            f"random, were kept for judging.{dropped} Features: "
            f"{', '.join(rows.features.column_names)}. Columns that pass untouched: {passed}. "
            "The artefact and the steered file were fitted on all rows afterwards."
        ),
    }


def _python(rows: Rows, mode: Mode, random_state: int) -> list[str]:
    features, groups = rows.features.column_names, rows.groups.column_names
    return [
        "from isonomy import IdealSteerer",
        f"steerer = IdealSteerer(groups={mode!r}, random_state={random_state})",
        f"steerer.fit(frame[{features!r}], labels, sensitive_features=frame[{groups!r}])",
    ]
