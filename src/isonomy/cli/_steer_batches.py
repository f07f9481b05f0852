"""Steer a file too large for memory: one pass to learn, one to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isonomy.artefact import data_fingerprint, write_text_atomic
from isonomy.cli._batches import BatchFile
from isonomy.cli._cell_codes import FileCells
from isonomy.cli._distinct import count_combinations
from isonomy.cli._feature_matrix import complete_rows
from isonomy.cli._folder import check_folder, whole_folder
from isonomy.cli._learn_pass import Learnt, learn
from isonomy.cli._number_text import as_read
from isonomy.cli._outputs import check_can_draw, write_report_into
from isonomy.cli._reader import Reader
from isonomy.cli._row_sample import RowSample, sample_quota
from isonomy.cli._rows import Rows, choose_columns
from isonomy.cli._steer_comparison import compare_rows, with_groups
from isonomy.cli._steer_file import ARTEFACT, STEM, chosen_by_fit
from isonomy.cli._steer_request import SteerRequest
from isonomy.cli._unfinished import Unfinished, identity_of, unfinished
from isonomy.cli._write_pass import RowMover, write_all
from isonomy.cli.columns import read_groups, read_numbers
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.groups import cell_factors
from isonomy.steering import IdealSteerer
from isonomy.steering._from_moments import moments_for, solve_from_moments
from isonomy.steering._move import report_limits
from isonomy.steering._working_scale import WorkingScale

__all__ = ["steer_batches"]

RESULT = "result.json"

UNSURE = {
    "blind": " The number of directions to remove was chosen on that sample.",
    "given": "",
    "infer": " The probe that tells the groups was fitted on that sample.",
}


def steer_batches(
    file: BatchFile, output: Path, request: SteerRequest, *, reader: Reader, progress: Report
) -> dict[str, Any]:
    """Write what ``steer_file`` writes, without ever holding the file in memory.

    Maps and weights are of all rows; the comparison is judged on a sample of them.

    Raises
    ------
    DataFileError
        As for a small file; also if there is an unfinished run and ``resume`` is off.
    """
    check_can_draw()
    check_folder(output)
    size = reader.size
    identity = identity_of(file, command="steer", size=size, **_options(file, request))
    with unfinished(output, identity, resume=reader.resume) as work:
        names = _features(file, request, size=size)
        cells = _count(file, names, request, work, size=size, progress=progress)
        learnt = _learn(file, names, cells, request, work, size=size, progress=progress)
        progress("judging a sample", 0, 1)
        rows = _sample_rows(file, names, learnt, request)
        steerer = _fit(rows, learnt, request)
        result = _compare(rows, learnt, request, file, work, steerer)
        written = work.folder / f"{STEM}{file.suffix}"
        write_all(
            file,
            _mover(steerer, names, learnt),
            work,
            written,
            size=size,
            drop_missing=request.drop_missing,
            progress=lambda n: progress("steering and writing", n, learnt.n_rows),
        )
        fingerprint = data_fingerprint(rows.features, rows.labels, rows.groups)
        progress("drawing the report", 0, 1)
        with whole_folder(output) as folder:
            steerer.save(folder / ARTEFACT, fingerprint=fingerprint)
            write_report_into(result, folder)
            written.rename(folder / written.name)  # last: what fails before can be done again
    return result


def _options(file: BatchFile, request: SteerRequest) -> dict[str, Any]:
    said = {k: v for k, v in asdict(request).items() if k != "batch_rows"}
    said["groups"] = list(request.groups)
    return {**said, "encoding": file.encoding, "delimiter": file.delimiter}


def _features(file: BatchFile, request: SteerRequest, *, size: int) -> list[str]:
    taken = [request.label, *request.groups]
    like = as_read(file, request.features, exclude=taken, size=size)
    names = choose_columns(
        like, label=request.label, groups=request.groups, features=request.features
    )
    request.steering.check_columns(names)
    return names


def _count(
    file: BatchFile,
    names: Sequence[str],
    request: SteerRequest,
    work: Unfinished,
    *,
    size: int,
    progress: Report,
) -> FileCells:
    """Count the rows of every cell: a short pass over label and groups alone."""
    counted = count_combinations(
        file,
        [request.label, *request.groups],
        size=size,
        also=names if request.drop_missing else (),
        keep=(lambda b: complete_rows(b, names).table) if request.drop_missing else None,
        work=work,
        progress=lambda n: progress("counting groups", n, file.n_rows or n),
    )
    return FileCells.of(
        counted,
        label=request.label,
        groups=request.groups,
        missing_groups=request.missing_groups,
    )


def _learn(
    file: BatchFile,
    names: Sequence[str],
    cells: FileCells,
    request: SteerRequest,
    work: Unfinished,
    *,
    size: int,
    progress: Report,
) -> Learnt:
    moments = moments_for(_steerer(request), len(names), cells.classes, cells.groups)
    sample = RowSample(cells.sizes, sample_quota(cells.sizes), request.random_state)
    learnt = Learnt(cells, moments, sample)
    learnt.restore(work)
    if not work.get("learnt_all"):
        learn(
            file,
            learnt,
            work,
            names=names,
            keys=cells.coder.names,
            size=size,
            scale=WorkingScale(_moments_family(request)),
            drop_missing=request.drop_missing,
            progress=lambda n: progress("learning", n, file.n_rows or n),
        )
        work.save(learnt_all=True)
    return learnt


def _steerer(request: SteerRequest) -> IdealSteerer:
    parameters = request.steerer_parameters()
    return IdealSteerer(group_columns=list(request.groups), **parameters)


def _sample_rows(
    file: BatchFile, names: Sequence[str], learnt: Learnt, request: SteerRequest
) -> Rows:
    sample, _ = learnt.sample.finish()
    table = file.table(sample)
    features = pa.table({name: read_numbers(table, name) for name in names})
    # one label a class of the whole file: a sample of "1" and "x" may be all numbers
    cells = learnt.cells
    labels = np.asarray(cells.classes)[cells.codes(table) // len(cells.groups)]
    groups = read_groups(table, request.groups, missing=request.missing_groups)
    return Rows(table, features, labels, groups, learnt.n_dropped)


def _fit(rows: Rows, learnt: Learnt, request: SteerRequest) -> IdealSteerer:
    """Fit on the sample what needs rows, and solve the rest from the moments of all."""
    steerer = _steerer(request)
    steerer.fit(with_groups(rows), rows.labels)
    if steerer.family_ != _moments_family(request):
        return steerer  # its cells are not those of the moments: they are of the sample
    solve_from_moments(steerer, learnt.moments)
    if steerer._limits is not None:
        codes = learnt.cells.codes(rows.table) % len(learnt.cells.groups)
        X = np.column_stack([column.to_numpy() for column in rows.features.columns])
        report_limits(steerer, X, codes, where="isonomy steer")
    return steerer


def _moments_family(request: SteerRequest) -> Literal["normal", "lognormal"]:
    """Return the family of the scale on which the first pass takes moments."""
    return "lognormal" if request.steering.family == "lognormal" else "normal"


def _compare(
    rows: Rows,
    learnt: Learnt,
    request: SteerRequest,
    file: BatchFile,
    work: Unfinished,
    steerer: IdealSteerer,
) -> dict[str, Any]:
    path = work.folder / RESULT
    if work.get("compared"):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    untouched = [n for n in file.names if n not in rows.features.column_names]
    result = compare_rows(
        rows,
        request,
        description=_description(rows, learnt, request, untouched, steerer),
        progress=lambda *_: None,
    )
    result["steered"] = {
        "n_rows": learnt.n_rows - learnt.n_dropped,
        "n_dropped": learnt.n_dropped,
        "steered": rows.features.column_names,
        "untouched": untouched,
        "file": f"{STEM}{file.suffix}",
        **chosen_by_fit(steerer),
    }
    if len(rows.labels) < learnt.n_rows - learnt.n_dropped:
        result["steered"]["n_sampled"] = len(rows.labels)
    write_text_atomic(path, json.dumps(result))
    work.save(compared=True)
    return result


def _description(
    rows: Rows,
    learnt: Learnt,
    request: SteerRequest,
    untouched: Sequence[str],
    steerer: IdealSteerer,
) -> str:
    n_rows, n_sample = learnt.n_rows - learnt.n_dropped, len(rows.labels)
    dropped = f" {rows.n_dropped} rows with missing features were dropped." * bool(rows.n_dropped)
    return (
        f"{n_rows} rows, read in batches. {_fitted_on(request, steerer)} "
        f"The comparison was fitted and judged on a sample of {n_sample} rows, drawn at random and "
        "from every (label, group) cell in proportion, of which "
        f"{request.test_size:.0%} of every cell were kept for judging.{UNSURE[request.mode]}"
        f"{dropped} Features: {', '.join(rows.features.column_names)}. Columns that passed "
        f"untouched: {', '.join(untouched)}."
    )


def _fitted_on(request: SteerRequest, steerer: IdealSteerer) -> str:
    """Return which rows the artefact speaks of, in a sentence or two."""
    whole = "The artefact and the steered file were fitted on all of them."
    if steerer.family_ != _moments_family(request):
        # a transform, degrees of freedom: no sums over batches would do
        whole = f"The artefact, of {steerer.family_} cells, was fitted on the sample below alone."
    asked = request.steering
    if asked.bounds == ["observed"] or asked.integer_columns == ["auto"]:
        whole += " Bounds and whole numbers that were to be observed are those of that sample."
    return whole


def _mover(steerer: IdealSteerer, names: Sequence[str], learnt: Learnt) -> RowMover:
    cells, counts = learnt.cells, learnt.moments.counts
    factors = cell_factors(counts).reshape(-1)
    group_of: Callable[[DataTable], NDArray[np.intp]] | None = None
    if steerer.groups == "given":
        group_of = lambda batch: cells.codes(batch) % len(cells.groups)  # noqa: E731
    return RowMover(steerer, tuple(names), group_of, lambda batch: factors[cells.codes(batch)])
