"""Steer the rows of one file: an honest before and after, then every row and the artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from isonomy.artefact import data_fingerprint
from isonomy.cli._outputs import check_can_draw, write_report_into
from isonomy.cli._rows import WEIGHT_COLUMN, Rows, read_rows
from isonomy.cli._steer_comparison import compare_rows, with_groups
from isonomy.cli._steer_request import SteerRequest
from isonomy.cli._write_table import replace_columns, write_table
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.steering import IdealSteerer

__all__ = ["ARTEFACT", "STEM", "chosen_by_fit", "steer_file"]

ARTEFACT = "artefact.safetensors"
STEM = "steered"
N_STEPS = 4


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
    request.steering.check_columns(rows.features.column_names)
    result = compare_rows(
        rows,
        request,
        description=_description(rows, test_size=request.test_size),
        progress=lambda text, done, _: progress(text, done, N_STEPS),
    )
    progress("steering all rows", 2, N_STEPS)
    parameters = request.steerer_parameters()
    steerer = IdealSteerer(group_columns=list(request.groups), **parameters)
    steerer.fit(with_groups(rows), rows.labels)
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
        **chosen_by_fit(steerer),
    }
    write_report_into(result, folder)
    return result


def chosen_by_fit(steerer: IdealSteerer) -> dict[str, Any]:
    """Return what a reader of the result must know of the fit: family, limits, columns kept."""
    found: dict[str, Any] = {}
    if steerer.family != "normal":
        found["family"] = steerer.family_
    if steerer.protected:
        found["protected"] = list(steerer.protected)
    if steerer.feasibility_ is not None:
        found["feasibility"] = steerer.feasibility_.to_dict()
        found["feasibility"]["sentence"] = steerer.feasibility_.sentence()
    return found


def _steered(rows: Rows, steerer: IdealSteerer) -> pa.Table:
    moved = steerer.transform(with_groups(rows))
    columns: dict[str, Any] = {n: moved.column(n) for n in rows.features.column_names}
    columns[WEIGHT_COLUMN] = pa.array(np.asarray(steerer.sample_weight_, dtype=np.float64))
    return replace_columns(rows.table, columns)


def _description(rows: Rows, *, test_size: float) -> str:
    dropped = f" {rows.n_dropped} rows with missing features were dropped." * bool(rows.n_dropped)
    return (
        f"{len(rows.labels)} rows; {test_size:.0%} of every (label, group) cell, chosen at "
        f"random, were kept for judging.{dropped} Features: "
        f"{', '.join(rows.features.column_names)}. Columns that passed untouched: "
        f"{', '.join(rows.untouched)}. The artefact and the steered file were fitted on all "
        "rows afterwards."
    )
