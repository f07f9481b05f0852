"""The labelled texts of a data set, held as columns and split by cell."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import is_missing
from isonomy.cli._split import split_by_cell
from isonomy.errors import DataFileError, EmptyCellError, InvalidInputError
from isonomy.groups import MISSING_GROUP, find_cells

__all__ = ["Parts", "TextRows", "data_identity", "read_text_rows", "split_rows"]

VALIDATION_SHARE = 0.25
"""Of the rows that are not kept for judging: on these the layer and the method are chosen."""


@dataclass(frozen=True)
class TextRows:
    """Texts with label and group, ``n_dropped`` rows with something missing left out."""

    name: str
    texts: list[str]
    labels: NDArray[Any]
    groups: NDArray[Any]
    n_dropped: int = 0

    def columns(self, index: NDArray[np.intp] | None = None) -> dict[str, Any]:
        """Return the rows at ``index``, or all, as `collect` reads them."""
        chosen = np.arange(len(self.texts)) if index is None else index
        return {
            "text": [self.texts[i] for i in chosen],
            "label": self.labels[chosen].tolist(),
            "group": self.groups[chosen].tolist(),
        }


@dataclass(frozen=True)
class Parts:
    """Row numbers to fit on, to choose by, and to judge on."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]

    @property
    def known(self) -> NDArray[np.intp]:
        """Rows that may be learnt from: all but those to judge on."""
        return np.sort(np.concatenate([self.train, self.validation]))


def read_text_rows(
    dataset: str,
    *,
    text: str,
    label: str,
    groups: Sequence[str],
    split: str | None = None,
    drop_missing: bool = False,
    missing_groups: Literal["raise", "own_group"] = "raise",
    where: str = "isonomy steer",
) -> TextRows:
    """Read every row of a file, a folder or a data set of the hub.

    Raises
    ------
    DataFileError
        If it cannot be read, or has no rows.
    InvalidInputError
        If a column is missing, or a text, a label or a group.
    MissingExtraError
        If the extra ``llm`` is not installed.
    """
    from isonomy.hidden_states._collect._text_data import read_examples

    asked: dict[str, Any] = {"text": text, "label": label, "group": list(groups), "where": where}
    found = read_examples(dataset, split=split, **asked)
    n_dropped = 0
    wanted = [text, label, *groups]
    said = {name: found.source.names[name] for name in wanted if name in found.source.names}
    own_group = missing_groups == "own_group"
    if said or drop_missing or own_group:
        rows = [_named(row, wanted, said) for row in found.source.read(wanted)]
        n_read = len(rows)
        if own_group:
            rows = [row[:2] + [_group_name(g) for g in row[2:]] for row in rows]
        if drop_missing:
            rows = [row for row in rows if not any(map(_is_blank, row))]
        n_dropped = n_read - len(rows)
        columns = {name: [row[j] for row in rows] for j, name in enumerate(wanted)}
        found = read_examples(columns, **asked)
    examples = list(found)
    if not examples:
        raise DataFileError(f"The data set {dataset} has no rows that can be used.")
    for example in examples:
        if not isinstance(example.text, str):
            raise DataFileError(
                f"The column {text!r} of {dataset} must hold text, got "
                f"{type(example.text).__name__} in row {example.index}. Name another column "
                "with --text."
            )
    return TextRows(
        Path(dataset).name,
        [example.text for example in examples],
        np.array([_whole(example.label) for example in examples]),
        np.array([_group_name(example.group) for example in examples]),
        n_dropped,
    )


def _is_blank(value: Any) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _named(
    row: Sequence[Any], names: Sequence[str], said: Mapping[str, Sequence[str]]
) -> list[Any]:
    """Return the values of a row, codes by what the data set calls them; -1 stands for none."""
    return [
        value if name not in said or is_missing(value) else _decoded(int(value), said[name])
        for name, value in zip(names, row, strict=True)
    ]


def _decoded(code: int, names: Sequence[str]) -> str | None:
    return names[code] if 0 <= code < len(names) else None


def _group_name(value: Any) -> str:
    return MISSING_GROUP if is_missing(value) else str(_whole(value))


def _whole(value: Any) -> Any:
    # whole numbers beside a missing value are read as floats
    return int(value) if isinstance(value, float) and value.is_integer() else value


def split_rows(rows: TextRows, *, test_size: float, random_state: int, every_cell: bool) -> Parts:
    """Return rows to fit on, to choose by and to judge on, in every cell alike.

    Parameters
    ----------
    rows : TextRows
    test_size : float
        Share of every cell that is judged on.
    random_state : int
    every_cell : bool
        Whether fitting needs rows in every (label, group) cell.

    Raises
    ------
    InvalidInputError
        If there is one class or one group, or too few rows of one.
    """
    _check_cells(rows, every_cell=every_cell)
    known, test = split_by_cell(
        rows.labels, rows.groups, test_size=test_size, random_state=random_state
    )
    inner = (rows.labels[known], rows.groups[known])
    train, validation = split_by_cell(
        *inner, test_size=VALIDATION_SHARE, random_state=random_state + 1
    )
    return Parts(known[train], known[validation], test)


def _check_cells(rows: TextRows, *, every_cell: bool) -> None:
    cells = find_cells(rows.labels, rows.groups, where="isonomy steer")
    counts = np.asarray(cells.n_rows)
    classes, groups = cells.classes.tolist(), cells.groups
    if len(classes) < 2 or len(groups) < 2:
        what, name, only = (
            ("--group", "groups", groups) if len(groups) < 2 else ("--label", "classes", classes)
        )
        raise InvalidInputError(
            f"{what} must name a column with at least 2 {name} in {rows.name}, got only "
            f"{only[0]!r} in all {len(rows.texts)} rows: there is nothing to compare."
        )
    rare = [f"{c!r} ({int(n)})" for c, n in zip(classes, counts.sum(axis=1), strict=True) if n < 4]
    if rare:
        raise InvalidInputError(
            f"Every class of --label needs 4 rows or more to be learnt and judged, got "
            f"{_some(rare)} in {rows.name}. Pool rare classes, or drop their rows."
        )
    thin = [
        f"({classes[k]!r}, {groups[a]!r}): {int(counts[k, a])}" for k, a in np.argwhere(counts < 4)
    ]
    if every_cell and thin:
        raise EmptyCellError(
            "--mode given and infer need 4 rows or more in every (label, group) cell, got "
            f"{_some(thin)} in {rows.name}. Use --mode blind, or pool rare classes or groups."
        )


def _some(names: Sequence[str], shown: int = 6) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _is_hidden(place: Path) -> bool:
    """Whether it is our own: a run may write below the folder that it reads."""
    return any(part.startswith(".") for part in place.parts)


def data_identity(name: str) -> dict[str, Any]:
    """Return what tells whether a file, folder, pattern or name still means the same data."""
    path = Path(name)
    if path.is_dir():
        files = [f for f in sorted(path.rglob("*")) if not _is_hidden(f.relative_to(path))]
    elif path.exists() or not glob.has_magic(name):
        files = [path]
    else:
        files = sorted(Path(p) for p in glob.glob(name, recursive=True))
    found = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return {"data": path.name if found else name, "files": [list(f) for f in found]}
