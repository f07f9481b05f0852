"""Texts with their labels and groups, row by row, from whatever holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from isonomy._validation import is_missing
from isonomy.errors import InvalidInputError, MissingGroupValuesError
from isonomy.hidden_states._collect._sources import Source, open_source

__all__ = ["Example", "Examples", "fixed_labels", "read_examples"]


class Example(NamedTuple):
    """One row: its place in the data, its text (or picture), label and group."""

    row: int
    text: Any
    label: Hashable | None
    group: Hashable | None


@dataclass(frozen=True)
class Examples:
    """Rows in a fixed order, read one at a time; iterating again starts again.

    ``columns`` are all the names that the data has, ``n_rows`` their number where it is
    known without reading. ``label_names`` and ``group_names`` are what a data set calls
    its whole-number labels and groups (`datasets.ClassLabel`), where it says so.
    """

    source: Source
    text: str
    label: str | None
    group: tuple[str, ...]
    where: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return self.source.columns

    @property
    def n_rows(self) -> int | None:
        """Number of rows, or None where only reading tells."""
        return self.source.n_rows

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """What the labels 0, 1, ... are called, if the data says."""
        return self.source.names.get(self.label) if self.label is not None else None

    @property
    def group_names(self) -> tuple[str, ...] | None:
        """What the groups 0, 1, ... are called, if the data says."""
        return self.source.names.get(self.group[0]) if len(self.group) == 1 else None

    def __iter__(self) -> Iterator[Example]:
        wanted = list(dict.fromkeys(_wanted(self.text, self.label, self.group)))
        place = {name: i for i, name in enumerate(wanted)}
        read_text = place[self.text]
        label = _LabelReader(self.label, "label", InvalidInputError, self.where)
        groups = [
            _LabelReader(name, "group", MissingGroupValuesError, self.where) for name in self.group
        ]
        joined = _Joined(self.where)
        for index, values in enumerate(self.source.read(wanted)):
            text = _checked_text(values[read_text], index, self.text, self.where)
            y = None if self.label is None else label(values[place[self.label]], index)
            parts = [
                read(values[place[n]], index) for read, n in zip(groups, self.group, strict=True)
            ]
            yield Example(index, text, y, joined(parts, index))


def read_examples(
    data: Any,
    *,
    text: str,
    label: str | None = None,
    group: str | Sequence[str] | None = None,
    split: str | None = None,
    where: str = "read_examples",
) -> Examples:
    """Open data of any usual kind; its rows are read when they are asked for.

    Parameters
    ----------
    data : object
        A mapping of columns; a list (or any iterable) of mappings; a pandas, polars or
        pyarrow frame; a ``datasets`` data set, streaming or not, or a dictionary of its
        splits; a path to CSV, TSV, JSON Lines or Parquet, a glob pattern or a folder of
        such files (``.gz`` too), read in pieces; else the name of a data set on the hub.
    text : str
        Column of the texts; or of pictures (PIL, bytes or paths) for a vision tower.
    label : str, optional
        Column of the classes. Whole numbers and booleans stay what they are.
    group : str or sequence of str, optional
        Column of the groups; several make intersectional groups, joined with ``", "``.
    split : str, optional
        Which split, where the data has several; default "train" where there is one.
    where : str
        Name of the calling function, for messages.

    Returns
    -------
    rows : Examples
        ``(row, text, label, group)`` for every row, in the order of the data.

    Raises
    ------
    InvalidInputError
        If the data is of no such kind or a column is missing; while reading, if a row has
        no text or no label: its number is named, counted from 0.
    MissingGroupValuesError
        While reading, if a row has no group.
    DataFileError
        If a file cannot be read.

    Examples
    --------
    >>> rows = read_examples({"bio": ["She teaches."], "job": [3]}, text="bio", label="job")
    >>> list(rows)
    [Example(row=0, text='She teaches.', label=3, group=None)]
    """
    groups = (group,) if isinstance(group, str) else tuple(group or ())
    wanted = _wanted(text, label, groups)
    for name in wanted:
        if not isinstance(name, str):
            raise InvalidInputError(
                f"`text`, `label` and `group` of `{where}` must be names of columns, got {name!r}."
            )
    source = open_source(data, text=text, labels=wanted[1:], split=split, where=where)
    if not source.columns:
        raise InvalidInputError(f"`data` passed to `{where}` has no rows and no columns.")
    missing = [name for name in wanted if name not in source.columns]
    if missing:
        raise InvalidInputError(
            f"`data` passed to `{where}` has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, source.columns))}."
        )
    return Examples(source, text, label, groups, where)


def _wanted(text: str, label: str | None, group: Sequence[str]) -> list[str]:
    return [text, *([] if label is None else [label]), *group]


def _checked_text(text: Any, index: int, column: str, where: str) -> Any:
    empty = isinstance(text, str) and not text.strip()
    if text is None or empty or (isinstance(text, float) and math.isnan(text)):
        raise InvalidInputError(
            f"Row {index} of `data` passed to `{where}` (counted from 0) has no text in "
            f"{column!r}: got {text!r}. Drop the rows without text first."
        )
    return text


@dataclass
class _LabelReader:
    """Make labels plain and insist that a column holds one kind of them."""

    column: str | None
    role: str
    missing: Callable[[str], Exception]
    where: str
    kind: str = ""

    def __call__(self, value: Any, index: int) -> Hashable:
        # also the tensors that a data set with a format gives
        if isinstance(value, np.generic) or (getattr(value, "ndim", None) == 0):
            value = value.item()
        row = f"Row {index} of `data` passed to `{self.where}` (counted from 0)"
        if is_missing(value):
            raise self.missing(
                f"{row} has no {self.role} in {self.column!r}: got {value!r}. Drop such rows, or "
                "give them a value of their own."
            )
        kind = _kind_of(value)
        if not kind or (isinstance(value, float) and not value.is_integer()):
            raise InvalidInputError(
                f"{row} has the {self.role} {value!r} in {self.column!r}, which must be a string, "
                "a whole number or a boolean."
            )
        self.kind = self.kind or kind
        if kind != self.kind:
            raise InvalidInputError(
                f"{row} has the {self.role} {value!r} in {self.column!r} ({kind}), where earlier "
                f"rows hold {self.kind}. Convert them all with `str`."
            )
        plain: Hashable = value
        return plain


def _kind_of(value: Any) -> str:
    # True equals 1 and would share its cell
    for kind, types in (("text", str), ("booleans", bool), ("numbers", (int, float))):
        if isinstance(value, types):
            return kind
    return ""


def fixed_labels(values: Any, *, name: str, where: str) -> list[Hashable] | None:
    """Return labels fixed in advance as plain values, each once; None where none are.

    Raises
    ------
    InvalidInputError
        If they are no sequence, or a value is no label; so that it shows before the run.
    """
    if values is None:
        return None
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InvalidInputError(
            f"`{name}` of `{where}` must be a sequence of labels, got {values!r}."
        )
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {_kind_of(value) for value in plain}
    bad = [value for value in plain if is_missing(value) or not _kind_of(value)]
    if bad or len(kinds) > 1:
        raise InvalidInputError(
            f"`{name}` of `{where}` must be strings, whole numbers or booleans, all of one kind, "
            f"got {bad[0] if bad else plain!r}."
        )
    return list(dict.fromkeys(plain))


class _Joined:
    """Join the values of several group columns, and refuse two combinations of one name."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.seen: dict[str, tuple[Hashable, ...]] = {}

    def __call__(self, parts: Sequence[Hashable], index: int) -> Hashable | None:
        if len(parts) <= 1:
            return parts[0] if parts else None
        name = ", ".join(
            str(int(p)) if isinstance(p, float) and p.is_integer() else str(p) for p in parts
        )
        if self.seen.setdefault(name, tuple(parts)) != tuple(parts):
            raise InvalidInputError(
                f"Row {index} of `data` passed to `{self.where}` (counted from 0) has groups whose "
                f"joined name {name!r} another combination has too; remove the commas from them."
            )
        return name
