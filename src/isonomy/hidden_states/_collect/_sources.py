"""Where rows come from: columns, records, frames, data sets, files and the hub."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw

from isonomy._frames import is_frame
from isonomy.errors import DataFileError, InvalidInputError, MissingExtraError
from isonomy.hidden_states._collect._files import KINDS, kind_of, open_files

__all__ = ["Source", "open_source"]

_BLOCK = 4096
"""Rows of a frame turned into Python values at once."""


@dataclass(frozen=True)
class Source:
    """Columns that can be read row by row, again and again, in one order.

    ``read(names)`` yields the values of those columns, a tuple a row.
    """

    columns: tuple[str, ...]
    n_rows: int | None
    read: Callable[[Sequence[str]], Iterator[tuple[Any, ...]]]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def open_source(
    data: Any, *, text: str, labels: Sequence[str], split: str | None, where: str
) -> Source:
    """Return the columns of ``data``, whatever it is; nothing is read yet."""
    if isinstance(data, str | os.PathLike):
        return _from_path_or_name(data, text=text, labels=labels, split=split, where=where)
    if _is_of_datasets(data):
        return _from_dataset(data, split=split, where=where)
    if split is not None:
        raise InvalidInputError(
            f"`split` of `{where}` is for data sets with splits, but `data` is of type "
            f"{type(data).__name__}. Pass the rows of one split and leave `split` out."
        )
    if is_frame(data):
        return _from_frame(nw.from_native(data, eager_only=True))
    if isinstance(data, Mapping):
        return _from_columns(data, where=where)
    if isinstance(data, Iterable):
        return _from_records(data, where=where)
    raise InvalidInputError(
        f"`data` passed to `{where}` must be columns, records, a frame, a data set, a path or "
        f"the name of a data set, got {type(data).__name__}."
    )


def _from_path_or_name(
    data: str | os.PathLike[str],
    *,
    text: str,
    labels: Sequence[str],
    split: str | None,
    where: str,
) -> Source:
    path = Path(data)
    if path.is_dir() and ((path / "dataset_info.json").exists() or _dict_file(path).exists()):
        return _from_dataset(_datasets(where).load_from_disk(str(path)), split=split, where=where)
    files = _files_of(path, where=where)
    if not files:
        return _from_dataset(_load_hub(str(data), split, where=where), split=split, where=where)
    if split is not None:
        raise InvalidInputError(
            f"`split` of `{where}` is for data sets with splits, but `data` names the file "
            f"{files[0].name!r}. Pass the file of one split and leave `split` out."
        )
    columns, n_rows, read = open_files(files, text=text, labels=labels, where=where)
    return Source(columns, n_rows, read)


def _dict_file(folder: Path) -> Path:
    return folder / "dataset_dict.json"


def _files_of(path: Path, *, where: str) -> list[Path]:
    """Return the files that a path, folder or pattern names; none for a name on the hub."""
    if path.is_file():
        return [path]
    if path.is_dir():
        # other programs' notes beside the data, as every reader of folders takes them
        hidden = (".", "_")
        found = sorted(
            p
            for p in path.iterdir()
            if p.is_file() and kind_of(p) and not p.name.startswith(hidden)
        )
        if not found:
            raise DataFileError(
                f"The folder {str(path)!r} passed to `{where}` holds no file ending in "
                f"{', '.join(KINDS)}."
            )
        return found
    pattern = glob.has_magic(str(path))
    found = sorted(Path(p) for p in glob.glob(str(path), recursive=True)) if pattern else []
    # a name on the hub is "name" or "owner/name"
    local = pattern or kind_of(path) or path.is_absolute() or len(path.parts) > 2
    if not found and (local or str(path).startswith(".")):
        raise DataFileError(
            f"`data` passed to `{where}` names no file: {str(path)!r} is not there."
        )
    return found


def _datasets(where: str) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`{where}` reads data sets of the hub with the extra 'llm'. Install it with: "
            "pip install 'isonomy[llm]'"
        ) from error
    return datasets


def _load_hub(name: str, split: str | None, *, where: str) -> Any:
    datasets = _datasets(where)
    try:
        return datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataFileError(
            f"`data` passed to `{where}` is no file, and the data set {name!r} could not be "
            f"loaded: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_of_datasets(data: Any) -> bool:
    return any(t.__module__.partition(".")[0] == "datasets" for t in type(data).__mro__)


def _from_dataset(data: Any, *, split: str | None, where: str) -> Source:
    if isinstance(data, Mapping):
        data = _one_split(data, split, where=where)
    elif split is not None and getattr(data, "split", None) not in (None, split):
        raise InvalidInputError(
            f"`split` of `{where}` is {split!r}, but `data` is the split {str(data.split)!r}."
        )
    first = None if data.column_names else next(iter(data), None)
    columns = tuple(data.column_names or (first or {}))
    features = data.features or {}
    names = {c: tuple(f.names) for c, f in features.items() if hasattr(f, "str2int")}

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        rows = data.select_columns(list(dict.fromkeys(wanted)))
        return (tuple(row[name] for name in wanted) for row in rows)

    return Source(columns, getattr(data, "num_rows", None), read, names)


def _one_split(data: Mapping[str, Any], split: str | None, *, where: str) -> Any:
    chosen = split or ("train" if "train" in data else None)
    if chosen is None and len(data) == 1:
        chosen = next(iter(data))
    if chosen is None or chosen not in data:
        raise InvalidInputError(
            f"`split` of `{where}` must be one of {', '.join(map(repr, data))}, got {split!r}."
        )
    return data[chosen]


def _from_frame(frame: Any) -> Source:
    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        picked = frame.select(list(dict.fromkeys(wanted)))
        order = [picked.columns.index(name) for name in wanted]
        for start in range(0, len(picked), _BLOCK):
            columns = [c.to_list() for c in picked[start : start + _BLOCK].iter_columns()]
            yield from zip(*(columns[i] for i in order), strict=True)

    return Source(tuple(frame.columns), len(frame), read)


def _from_columns(data: Mapping[str, Any], *, where: str) -> Source:
    sizes = {name: len(column) for name, column in data.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidInputError(
            f"`data` passed to `{where}` must have columns of one length, got "
            f"{', '.join(f'{name!r}: {n}' for name, n in sizes.items())}."
        )

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        return zip(*(data[name] for name in wanted), strict=True)

    return Source(tuple(data), next(iter(sizes.values()), 0), read)


def _from_records(data: Iterable[Any], *, where: str) -> Source:
    iterator = iter(data)
    first = next(iterator, None)
    if first is None:
        return Source((), 0, lambda wanted: iter(()))
    if not isinstance(first, Mapping):
        raise InvalidInputError(
            f"`data` passed to `{where}` must hold one mapping of columns a row, got "
            f"{type(first).__name__} in row 0."
        )
    # a list starts again; a generator can be read only once
    once = [chain([first], iterator)] if iterator is data else None

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        if once is not None and not once:
            raise InvalidInputError(f"`data` passed to `{where}` is an iterator, already used up.")
        rows = iter(data) if once is None else once.pop()
        return (_picked(row, wanted, i, where) for i, row in enumerate(rows))

    n_rows = len(data) if isinstance(data, Sequence) else None
    return Source(tuple(first), n_rows, read)


def _picked(row: Any, wanted: Sequence[str], index: int, where: str) -> tuple[Any, ...]:
    missing = [name for name in wanted if not isinstance(row, Mapping) or name not in row]
    if missing:
        raise InvalidInputError(
            f"Row {index} of `data` passed to `{where}` (counted from 0) has no column "
            f"{', '.join(map(repr, missing))}."
        )
    return tuple(row[name] for name in wanted)
