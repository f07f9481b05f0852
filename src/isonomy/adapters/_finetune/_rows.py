"""The labelled rows of a data set: read once, every flaw counted before one is complained of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import is_missing
from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._picture_folders import SPELLINGS, picture_rows
from isonomy.adapters._image_processing import UnreadableImage
from isonomy.errors import DataFileError, InvalidInputError
from isonomy.hidden_states._collect._text_data import read_examples

__all__ = ["PARTS", "Columns", "LabelledRows", "read_rows", "some_of"]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Columns:
    """Which column is what; ``inputs`` holds texts or pictures."""

    inputs: str
    label: str
    groups: tuple[str, ...] = ()
    kind: Literal["text", "image"] = "text"

    def __post_init__(self) -> None:
        named = [self.inputs, self.label, *self.groups]
        wrong = [name for name in named if not isinstance(name, str) or not name]
        if wrong:
            raise InvalidInputError(
                f"`{self.kind}`, `label` and `group` of `{WHERE}` must be names of columns, got "
                f"{wrong[0]!r}."
            )
        doubled = sorted({name for name in named if named.count(name) > 1})
        if doubled:
            raise InvalidInputError(
                f"`{self.kind}`, `label` and `group` of `{WHERE}` must name different columns, got "
                f"{', '.join(doubled)} more than once."
            )


@dataclass(frozen=True)
class LabelledRows:
    """Texts or pictures with codes of their classes, and their groups.

    ``given`` says of every row which part the data set itself puts it into ("" where it
    does not say), or is None where it says nothing at all. ``places`` are the numbers of the
    rows in the data, where some were left out; ``unreadable`` the pictures among these.
    """

    name: str
    kind: Literal["text", "image"]
    inputs: list[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: NDArray[np.str_] | None
    given: NDArray[np.str_] | None
    n_dropped: int = 0
    places: NDArray[np.intp] | None = None
    unreadable: tuple[UnreadableImage, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def counts(self, index: NDArray[np.intp] | None = None) -> NDArray[np.int64]:
        """Return the rows of every class, among all rows or those at ``index``."""
        labels = self.labels if index is None else self.labels[index]
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    def number(self, i: int) -> int:
        """Return the number of row ``i`` in the data, counted from 0."""
        return i if self.places is None else int(self.places[i])

    def select(
        self, index: NDArray[np.intp], *, unreadable: tuple[UnreadableImage, ...]
    ) -> LabelledRows:
        """Return the rows at ``index``, all classes kept."""
        return replace(
            self,
            inputs=[self.inputs[i] for i in index],
            labels=self.labels[index],
            groups=None if self.groups is None else self.groups[index],
            given=None if self.given is None else self.given[index],
            places=np.array([self.number(int(i)) for i in index], dtype=np.intp),
            unreadable=unreadable,
        )


def read_rows(dataset: Any, columns: Columns, options: FinetuneOptions) -> LabelledRows:
    """Read every row, with the split that the data set states.

    Raises
    ------
    DataFileError
        If the data cannot be read, or have no rows.
    InvalidInputError
        If a column is missing; if rows lack text, label or group (all are counted and the
        first named); if a label is not in ``classes``; if a split has an unknown name.
    """
    pictures = picture_rows(dataset) if columns.kind == "image" else None
    values: list[tuple[Any, ...]] = []
    given: list[str] = []
    if pictures is not None:
        _check_no_columns(columns, options)
        values, given = [row[:2] for row in pictures], [row[2] for row in pictures]
    for split, part in _splits(options) if pictures is None else ():
        rows = list(_read(dataset, columns, options, split))
        values += rows
        given += [part or _part_of(row[-1], options) for row in rows]
    if not values:
        raise DataFileError(f"The data set {_name_of(dataset)} has no rows.")
    width = 2 + len(columns.groups)
    says = options.split_column is not None or any(part for part in given)
    kept, n_dropped = _kept(values, columns, width, drop=options.drop_missing)
    if not kept:
        raise DataFileError(
            f"The data set {_name_of(dataset)} has no row with both a {columns.kind} and a label."
        )
    names = [str(_whole(values[i][1])) for i in kept]
    classes = _classes(names, options.classes)
    code = {name: k for k, name in enumerate(classes)}
    folder = None if pictures is not None else _folder_of(dataset)
    return LabelledRows(
        name=_name_of(dataset),
        kind=columns.kind,
        inputs=[_input(values[i][0], columns.kind, folder) for i in kept],
        labels=np.array([code[name] for name in names], dtype=np.int64),
        classes=classes,
        groups=_group_names([values[i][2:width] for i in kept]) if columns.groups else None,
        given=np.array([given[i] for i in kept]) if says else None,
        n_dropped=n_dropped,
        places=np.array(kept, dtype=np.intp),
    )


def _check_no_columns(columns: Columns, options: FinetuneOptions) -> None:
    named = ("split", "validation_split", "test_split", "split_column")
    asked = [name for name in named if getattr(options, name) is not None]
    asked += ["group"] if columns.groups else []
    if asked:
        raise InvalidInputError(
            f"`{asked[0]}` of `{WHERE}` names a column or a split, and the data are a folder of "
            "pictures: their classes, and splits called train, validation and test, are the names "
            "of folders. Leave it out, or write a table of paths."
        )


def _splits(options: FinetuneOptions) -> list[tuple[str | None, str]]:
    """Return which splits are read, and the part of the rows of each."""
    if options.test_split is None and options.validation_split is None:
        return [(options.split, "")]
    named = [(options.split or "train", "train"), (options.validation_split, "validation")]
    named.append((options.test_split, "test"))
    return [(split, part) for split, part in named if split is not None]


def _read(
    dataset: Any, columns: Columns, options: FinetuneOptions, split: str | None
) -> Iterator[tuple[Any, ...]]:
    """Yield input, label, groups (and the split column) of every row; codes by their names."""
    found = read_examples(
        dataset,
        text=columns.inputs,
        label=columns.label,
        group=list(columns.groups),
        split=split,
        where=WHERE,
    )
    wanted = [columns.inputs, columns.label, *columns.groups]
    if options.split_column is not None:
        wanted.append(options.split_column)
        if options.split_column not in found.columns:
            raise InvalidInputError(
                f"`split_column` of `{WHERE}` is {options.split_column!r}, but the data have the "
                f"columns {', '.join(map(repr, found.columns))}."
            )
    said = [found.source.names.get(name) for name in wanted]
    for row in found.source.read(wanted):
        yield tuple(_decoded(v, names) for v, names in zip(row, said, strict=True))


def _decoded(value: Any, names: Sequence[str] | None) -> Any:
    if names is None or is_missing(value):
        return value
    code = int(value)
    return names[code] if 0 <= code < len(names) else None  # -1 stands for none


def _part_of(value: Any, options: FinetuneOptions) -> str:
    if options.split_column is None:
        return ""
    part = SPELLINGS.get(str(value).strip().lower())
    if part is None:
        raise InvalidInputError(
            f"`split_column` of `{WHERE}` must say 'train', 'validation' or 'test' in every row, "
            f"but {options.split_column!r} says {value!r}. Name another column, or leave it out."
        )
    return part


def _kept(
    values: Sequence[tuple[Any, ...]], columns: Columns, width: int, *, drop: bool
) -> tuple[list[int], int]:
    """Return the rows in which nothing is missing, and how many were left out."""
    named = [(columns.kind, columns.inputs), ("label", columns.label)]
    named += [("group", name) for name in columns.groups]
    lacking: dict[tuple[str, str], list[int]] = {}
    kept = []
    for i, row in enumerate(values):
        blank = [named[j] for j in range(width) if _is_blank(row[j])]
        for role in blank:
            lacking.setdefault(role, []).append(i)
        if not blank:
            kept.append(i)
    if lacking and not drop:
        said = [
            f"{len(rows)} lack the {role} ({column!r}: row {', '.join(map(str, rows[:4]))}"
            f"{', ...' if len(rows) > 4 else ''}, counted from 0)"
            for (role, column), rows in lacking.items()
        ]
        raise InvalidInputError(
            f"`dataset` passed to `{WHERE}` must be complete, but of its {len(values)} rows "
            f"{' and '.join(said)}. Drop such rows (`drop_missing`, --drop-missing), or fill them."
        )
    return kept, len(values) - len(kept)


def _is_blank(value: Any) -> bool:
    if isinstance(value, Mapping | bytes | np.ndarray) or hasattr(value, "convert"):
        return False  # a picture, in whatever form
    return bool(is_missing(value)) or (isinstance(value, str) and not value.strip())


def _whole(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    # whole numbers beside a missing value are read as floats
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _classes(names: Sequence[str], asked: Sequence[str] | None) -> tuple[str, ...]:
    found = Counter(names)
    if asked is None:
        if len(found) < 2:
            raise InvalidInputError(
                f"`label` of `{WHERE}` must name a column with at least 2 classes, got "
                f"{', '.join(map(repr, found))} alone."
            )
        return tuple(sorted(found, key=_order))
    classes = tuple(str(name) for name in asked)
    twice = [name for name, n in Counter(classes).items() if n > 1]
    if twice or len(classes) < 2:
        raise InvalidInputError(
            f"`classes` of `{WHERE}` must be at least 2 different names, got "
            f"{', '.join(map(repr, classes))}."
        )
    unknown = [f"{name!r} ({n} rows)" for name, n in found.items() if name not in classes]
    if unknown:
        raise InvalidInputError(
            f"The labels of the data passed to `{WHERE}` must all be in `classes`, but "
            f"{some_of(unknown)} are not. Add them, or leave their rows out."
        )
    return classes


def _order(name: str) -> tuple[int, float, str]:
    # "10" behind "9", and numbers before words
    return (0, float(name), name) if name.isdecimal() else (1, 0.0, name)


def _group_names(rows: Sequence[Sequence[Hashable]]) -> NDArray[np.str_]:
    return np.array([", ".join(str(_whole(value)) for value in row) for row in rows])


def _input(value: Any, kind: str, folder: Path | None) -> Any:
    if kind == "text":
        if not isinstance(value, str):
            raise InvalidInputError(
                f"The column of texts passed to `{WHERE}` must hold strings, got "
                f"{type(value).__name__} ({value!r}). Name another column with `text` (--text)."
            )
        return value
    if isinstance(value, str) and folder is not None and not Path(value).is_absolute():
        return str(folder / value)  # files in a table are named from where the table lies
    return value


def _folder_of(dataset: Any) -> Path | None:
    if not isinstance(dataset, str | os.PathLike):
        return None
    path = Path(dataset)
    return path.parent if path.is_file() else path if path.is_dir() else None


def _name_of(dataset: Any) -> str:
    if isinstance(dataset, str | os.PathLike):
        return Path(dataset).name
    return str(getattr(dataset, "name", "") or type(dataset).__name__)


def some_of(names: Sequence[str], shown: int = 6) -> str:
    """Return the names with commas between, the first few of many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
