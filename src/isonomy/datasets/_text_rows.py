"""Read the rows of a text set that is described by its `TextSpec`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from isonomy.datasets._table_files import (
    FOLDER_VARIABLE,
    TextFile,
    TextTable,
    find_file,
    read_text_table,
)
from isonomy.datasets._text_published import PUBLISHED, read_published
from isonomy.datasets._text_specs import OUT_OF_SCOPE, TextSpec
from isonomy.datasets.class_prompts import distinct_names
from isonomy.errors import DataFileError

__all__ = ["SPLITS", "read_text_set"]

SPLITS = {"val": "validation", "valid": "validation", "dev": "validation"}
_OUTSIDE = "oos_"
"""CLINC150 keeps its out-of-scope questions in splits of their own: oos_train and so on."""


def read_text_set(
    name: str,
    spec: TextSpec,
    folder: str | os.PathLike[str] | None,
    level: str | None,
    variant: str | None,
    out_of_scope: bool,
    multi_label: bool,
    where: str,
) -> Bunch:
    """Return the Bunch that `load_text_set` describes, splits as the set has them."""
    column = spec.labels[level or next(iter(spec.labels))]
    table = _read(name, spec, folder, variant or next(iter(spec.files)), where)
    _check_columns(table, ("text", column, "split"), where)
    text, split = table.columns["text"], table.columns["split"].astype(str)
    outside = np.char.startswith(split, _OUTSIDE)
    split = np.char.replace(split, _OUTSIDE, "")
    kept = np.ones(table.n_rows, dtype=bool) if out_of_scope else ~outside
    lists = _labels(table, column, spec, where)
    if spec.many and not multi_label:
        kept &= np.array([len(labels) == 1 for labels in lists])
    rows = np.flatnonzero(kept)
    classes = list(spec.codes) or sorted({lists[row][0] for row in rows})
    out = Bunch(
        text=text[rows].tolist(),
        split=np.array([SPLITS.get(s, s) for s in split[rows].tolist()]),
        classes=classes,
        class_names=_readable(classes, spec.readable),
        description=_description(spec, table.n_rows, len(rows), len(classes)),
        source=spec.source,
        licence=spec.licence,
    )
    _set_labels(out, [lists[row] for row in rows], multi_label)
    if spec.coarse in table.columns:
        out["coarse"] = table.columns[str(spec.coarse)][rows].astype(str)
    return out


def _read(
    name: str,
    spec: TextSpec,
    folder: str | os.PathLike[str] | None,
    variant: str,
    where: str,
) -> TextTable:
    """Return the rows of the CSV file, or else of the publisher's own files."""
    named = os.environ.get(FOLDER_VARIABLE) if folder is None else folder
    layout = TextFile(spec.files[variant])
    places = [Path(named) / spec.folder, Path(named)] if named else []
    ours = [place / f"{layout.name}{ending}" for place in places for ending in ("", ".gz")]
    layouts = PUBLISHED.get(name, {}).get(variant, ())
    if not any(path.is_file() for path in ours):
        first = next(iter(spec.labels.values()))
        table = read_published(layouts, places, first, where)
        if table is not None:
            if spec.coarse and first == "fine":  # "LOC:city" is a kind of "LOC"
                coarse = [label.partition(":")[0] for label in table.columns[first].tolist()]
                table.columns[spec.coarse] = np.array(coarse, dtype=object)
            return table
    path, layout = find_file(folder, spec.folder, (layout,), source=spec.source, where=where)
    return read_text_table(path, layout, where=where)


def _labels(table: TextTable, column: str, spec: TextSpec, where: str) -> list[list[str]]:
    """Return the labels of every row by name."""
    written = table.columns[column].tolist()
    lists = [w.split(",") for w in written] if spec.many else [[w] for w in written]
    if not spec.codes:
        return lists
    names = {str(i): name for i, name in enumerate(spec.codes, spec.first_code)}
    names.update({name: name for name in spec.codes})  # a file may spell them out
    for row, labels in enumerate(lists):
        strange = [label for label in labels if label.strip() not in names]
        if strange:
            last = spec.first_code + len(spec.codes) - 1
            raise DataFileError(
                f"{where} found the label {strange[0]!r} in row {row} of {str(table.path)!r}, "
                f"which must be a code from {spec.first_code} to {last} or the name of one of the "
                f"{len(spec.codes)} classes. Is it the published file?"
            )
    return [[names[label.strip()] for label in labels] for labels in lists]


def _set_labels(out: Bunch, lists: list[list[str]], multi_label: bool) -> None:
    if multi_label:
        out["label"] = lists
        return
    place = {name: code for code, name in enumerate(out.classes)}
    labels = [labels[0] for labels in lists]
    out["label"] = np.array(labels)
    out["code"] = np.array([place[label] for label in labels], dtype=np.intp)


def _check_columns(table: TextTable, wanted: Sequence[str], where: str) -> None:
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataFileError(
            f"{where} needs the columns {', '.join(wanted)}, but {str(table.path)!r} lacks "
            f"{', '.join(missing)}; it has {', '.join(table.columns)}. Is it the right file?"
        )


def _readable(classes: Sequence[str], known: Mapping[str, str]) -> list[str]:
    cleaned = distinct_names(classes)
    return [known.get(name, clean) for name, clean in zip(classes, cleaned, strict=True)]


def _description(spec: TextSpec, n_read: int, n_kept: int, n_classes: int) -> str:
    lines = [spec.title, "", f"{n_kept} rows, {n_classes} classes."]
    if n_kept < n_read:
        what = "of several labels" if spec.many else f"out of scope ({OUT_OF_SCOPE})"
        lines.append(f"{n_read - n_kept} rows {what} left out.")
    return "\n".join([*lines, f"Source: {spec.source}. Licence: {spec.licence}."])
