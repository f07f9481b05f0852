"""A folder with one folder of pictures for each class, with or without one for each split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from isonomy.datasets import ImageIndex
from isonomy.hidden_states._collect._files import kind_of

__all__ = ["SPELLINGS", "PictureRow", "picture_rows"]

SPELLINGS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | {
    name: "validation" for name in ("validation", "valid", "val", "dev", "development", "eval")
}
"""How data sets spell their splits."""

PictureRow = tuple[str, str, str]
"""Path, class and split ("" where the folder says none)."""

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)


def picture_rows(dataset: Any) -> list[PictureRow] | None:
    """Return the pictures of an index, or of a folder with a folder a class; None of other data.

    ``CLASS/picture.jpg`` and ``SPLIT/CLASS/picture.jpg`` are read, in the order of the names.
    A folder that also holds a table is read by that table, and so is no matter of ours.
    """
    if isinstance(dataset, ImageIndex):
        names = [dataset.classes[k] for k in dataset.labels]
        return list(zip(dataset.paths, names, map(str, dataset.split), strict=True))
    if not isinstance(dataset, str | os.PathLike) or not Path(dataset).is_dir():
        return None
    root = Path(dataset)
    if any(path.is_file() and (kind_of(path) or path.suffix == ".json") for path in root.iterdir()):
        return None
    within = _folders(root)
    if within and all(path.name.lower() in SPELLINGS for path in within):
        found = [
            (str(picture), own.name, SPELLINGS[part.name.lower()])
            for part in within
            for own in _folders(part)
            for picture in _pictures(own)
        ]
    else:
        found = [(str(picture), own.name, "") for own in within for picture in _pictures(own)]
    return found or None


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))


def _pictures(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    return sorted(p for p in found if p.suffix.lower() in _SUFFIXES)
