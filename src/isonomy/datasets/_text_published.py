"""Text sets in the files of those who publish them: one reader for each way of writing rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from isonomy.datasets._table_files import TextTable
from isonomy.errors import DataFileError

__all__ = ["PUBLISHED", "Layout", "read_published"]

Row = tuple[str, str]
"""Text and label."""

_DAMAGED = (OSError, UnicodeDecodeError, csv.Error, ValueError, LookupError, TypeError)

_LABELS = ("category", "label", "intent")
_LEAF = re.compile(r"\(\d ([^()]+)\)")


@dataclass(frozen=True)
class Layout:
    """Files of one layout: by split, each read by ``read`` into rows of text and label.

    ``inside`` are folders in which they may lie. Where ``split`` is "*" the file holds all
    splits, and ``read`` returns rows of each.
    """

    files: Mapping[str, str]
    read: Callable[[Path], Mapping[str, Sequence[Row]] | Sequence[Row]]
    inside: tuple[str, ...] = (".",)


def read_published(
    layouts: Iterable[Layout], places: Sequence[Path], label: str, where: str
) -> TextTable | None:
    """Return the columns text, ``label`` and split of the first layout found; None if none.

    Raises
    ------
    DataFileError
        If a file of the layout is missing or damaged; the message names it.
    """
    for layout in layouts:
        first = next(iter(layout.files.values()))
        for place in (place / inside for place in places for inside in layout.inside):
            if (place / first).is_file():
                return _read(layout, place, label, where)
    return None


def _read(layout: Layout, place: Path, label: str, where: str) -> TextTable:
    rows: list[tuple[str, str, str]] = []
    for split, name in layout.files.items():
        path = place / name
        try:
            found = layout.read(path)
        except _DAMAGED as error:
            raise DataFileError(
                f"{where} could not read {str(path)!r}, one of the published files: "
                f"{' '.join(str(error).split())}. Fetch it again."
            ) from error
        parts = found if isinstance(found, Mapping) else {split: found}
        rows.extend((text, y, part) for part, of in parts.items() for text, y in of)
    if not rows:
        raise DataFileError(f"{where} found no rows in {str(place)!r}. Fetch the files again.")
    columns = zip(("text", label, "split"), zip(*rows, strict=True), strict=True)
    return TextTable({key: np.array(values, dtype=object) for key, values in columns}, place)


def _csv_rows(path: Path) -> list[Row]:
    """Read CSV with the columns text and category (or label, or intent)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or []
        label = next((name for name in _LABELS if name in names), None)
        if label is None or "text" not in names:
            raise ValueError(f"it must have the columns text and category, got {names}")
        return [(row["text"].strip(), row[label].strip()) for row in rows]


def _label_first(path: Path) -> list[Row]:
    """Read lines that begin with the label; TREC's files are Latin-1."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    pairs = [line.strip().split(maxsplit=1) for line in text.split("\n") if line.strip()]
    return [(text.strip(), label) for label, text in pairs]


def _tab_separated(path: Path) -> list[Row]:
    """Read text, labels and the comment's name: quotation marks are part of the text."""
    lines = path.read_text(encoding="utf-8").split("\n")
    fields = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
    return [(text.strip(), labels) for text, labels, *_ in fields]


def _trees(path: Path) -> list[Row]:
    """Read trees in brackets: the first digit is the sentence's, the leaves are its words."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    return [(" ".join(_LEAF.findall(line)), line[1]) for line in lines if line]


def _two_files(path: Path) -> list[Row]:
    """Read texts from ``*_text.txt`` and labels from ``*_labels.txt``, line by line."""
    texts = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    labels = path.with_name(path.name.replace("_text", "_labels"))
    codes = labels.read_text(encoding="utf-8").split()
    if len(texts) != len(codes):
        raise ValueError(f"it has {len(texts)} lines where {labels.name!r} has {len(codes)}")
    return [(text.strip(), code) for text, code in zip(texts, codes, strict=True)]


def _json_splits(path: Path) -> dict[str, list[Row]]:
    """Read ``{split: [[text, label], ...]}``."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {split: [(str(t), str(y)) for t, y in rows] for split, rows in content.items()}


def _splits(pattern: str, *names: str) -> dict[str, str]:
    return {name: pattern.format(name) for name in names or ("train", "dev", "test")}


def _tweets(task: str) -> tuple[Layout, ...]:
    inside = (f"datasets/{task}", task)
    return (Layout(_splits("{}_text.txt", "train", "val", "test"), _two_files, inside),)


PUBLISHED: Mapping[str, Mapping[str, tuple[Layout, ...]]] = MappingProxyType(
    {
        "banking77": {
            "banking77": (
                Layout(_splits("{}.csv", "train", "test"), _csv_rows, ("banking_data", ".")),
            )
        },
        "hwu64": {"fold1": (Layout(_splits("{}.csv", "train", "val", "test"), _csv_rows),)},
        "clinc150": {
            name: (Layout({"*": f"data_{name}.json"}, _json_splits, ("data", ".")),)
            for name in ("full", "imbalanced", "small", "oos_plus")
        },
        "trec": {
            "trec": (Layout({"train": "train_5500.label", "test": "TREC_10.label"}, _label_first),)
        },
        "goemotions": {"goemotions": (Layout(_splits("{}.tsv"), _tab_separated, ("data", ".")),)},
        "sst5": {
            "sst5": (
                Layout(_splits("{}.txt"), _trees, ("trees",)),
                Layout(_splits("stsa.fine.{}"), _label_first, (".", "data")),
            )
        },
        **{
            f"tweeteval_{task.replace('/', '_')}": {"tweeteval": _tweets(task)}
            for task in (
                "emotion", "hate", "irony", "offensive", "sentiment", "stance/abortion",
                "stance/atheism", "stance/climate", "stance/feminist", "stance/hillary",
            )
        },
    }
)  # fmt: skip
"""The layouts of each set by variant, in the order in which they are looked for."""
