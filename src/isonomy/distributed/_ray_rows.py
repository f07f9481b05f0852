"""Data of any usual kind as a Ray data set, each value as one process would read it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._sources import _files_of as files_of
from isonomy.hidden_states._collect._text_data import Examples, read_examples

__all__ = ["RayRows", "ray_rows"]

_ROWS_AT_ONCE = 1024
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class RayRows:
    """A Ray data set, and under which names its columns are to be read."""

    rows: ray.data.Dataset
    n_rows: int | None
    text: str
    label: str | None
    group: list[str]
    class_names: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None


def ray_rows(
    data: Any,
    *,
    text: str,
    label: str | None,
    group: str | Sequence[str] | None,
    split: str | None,
    where: str,
) -> RayRows:
    """Return ``data`` as a Ray data set; nothing is read yet.

    A Ray data set stays what it is. Parquet, and files at a URL (``s3://...``), are read by
    Ray, many parts at once. All else is read as `collect` reads it, each file by a task of
    its own that hands on its rows as it goes: what a label is called, or where a text is
    missing, must not depend on the number of machines.
    """
    groups = [group] if isinstance(group, str) else list(group or ())
    wanted = list(dict.fromkeys([text, *([] if label is None else [label]), *groups]))
    if isinstance(data, str) and "://" in data:
        data = _remote(data, where=where)
    if isinstance(data, ray.data.Dataset):
        return RayRows(_with_columns(data, wanted, where=where), None, text, label, groups)
    examples = read_examples(data, text=text, label=label, group=groups, split=split, where=where)
    files = _files(data, where=where)
    if files and all(file.suffix.lower() in _PARQUET for file in files):
        names = [str(file) for file in files]
        rows = ray.data.read_parquet(names, file_extensions=None).select_columns(wanted)
        return RayRows(rows, examples.n_rows, text, label, groups)
    return _read_by_tasks(files or [data], examples, split)


def _remote(url: str, *, where: str) -> ray.data.Dataset:
    name = url.lower().removesuffix(".gz").rstrip("/*")
    if name.endswith(_PARQUET):
        return ray.data.read_parquet(url)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return ray.data.read_json(url, lines=True, file_extensions=None)
    raise InvalidInputError(
        f"`data` of `{where}` must end in .parquet or .jsonl where it is a URL, got {url!r}. Read "
        "other formats with `ray.data.read_*` and pass the data set."
    )


def _with_columns(rows: ray.data.Dataset, wanted: list[str], *, where: str) -> ray.data.Dataset:
    columns = rows.columns() or []
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise InvalidInputError(
            f"`data` passed to `{where}` has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, columns))}."
        )
    return rows.select_columns(wanted)


def _files(data: Any, *, where: str) -> list[Path]:
    """Return the files that ``data`` names; none where it is something else."""
    if not isinstance(data, str | os.PathLike) or any(
        (Path(data) / name).exists() for name in ("dataset_info.json", "dataset_dict.json")
    ):
        return []
    return [path.resolve() for path in files_of(Path(data), where=where)]


def _read_by_tasks(parts: Sequence[Any], examples: Examples, split: str | None) -> RayRows:
    label = None if examples.label is None else "label"
    group = ["group"] if examples.group else []
    names = ["text", *([] if label is None else [label]), *group]
    kept = [ray.put(part) for part in parts]  # once a cluster, not once a task
    options: dict[str, Any] = {
        "text": examples.text, "label": examples.label, "group": examples.group,
        "split": split, "where": examples.where,
    }  # fmt: skip

    def read(batch: pa.Table) -> Iterator[pa.Table]:
        for place in batch.column("part").to_pylist():
            yield from _tables(ray.get(kept[place]), names, options)

    which = ray.data.from_items(
        [{"part": i} for i in range(len(parts))], override_num_blocks=len(parts)
    )
    rows = which.map_batches(read, batch_size=1, batch_format="pyarrow")
    return RayRows(
        rows, examples.n_rows, "text", label, group, examples.label_names, examples.group_names
    )


def _tables(part: Any, names: Sequence[str], options: dict[str, Any]) -> Iterator[pa.Table]:
    """Yield the rows of one part, checked and in order, some at a time."""
    rows = iter(read_examples(part, **options))
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        columns = {"text": [_portable(row.text) for row in some]}
        columns |= {name: [getattr(row, name) for row in some] for name in names[1:]}
        yield pa.table(columns)


def _portable(text: Any) -> Any:
    """Return a picture as the bytes of a file without loss; anything else as it is."""
    if isinstance(text, np.ndarray):
        from PIL import Image

        text = Image.fromarray(text)
    if not hasattr(text, "save"):
        return text
    file = io.BytesIO()
    text.save(file, format="PNG")
    return file.getvalue()
