"""Reader of Stanford Cars: the development kit's .mat files, in both published layouts."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from isonomy.datasets._annotation_files import Annotations
from isonomy.datasets._image_index import ImageIndex
from isonomy.datasets.class_prompts import distinct_names

__all__ = ["read_cars"]

_BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
_META = ("devkit/cars_meta.mat", "cars_meta.mat")
_TRAIN = ("devkit/cars_train_annos.mat", "cars_train_annos.mat")
_TEST = ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")

# a damaged .mat file fails in the reader in any of these ways
_DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    MatReadError,
    zlib.error,
)


def read_cars(files: Annotations) -> ImageIndex:
    """Read cars_annos.mat with car_ims/, or the development kit with cars_train/ and cars_test/."""
    if files.has("cars_annos.mat"):
        return _single_file(files)
    meta = _load(files, _first(files, _META))
    names = _class_names(files, _first(files, _META), meta)
    parts = {"train": _first(files, _TRAIN), "test": _first(files, _TEST)}
    rows = {split: _annotations(files, name) for split, name in parts.items()}
    for split in rows:
        if not files.has(f"cars_{split}"):
            raise files.error(f"cars_{split}", "is missing")
    return _index(
        [
            str(files.root / f"cars_{split}" / file)
            for split, found in rows.items()
            for file in _texts(files, parts[split], found, "fname")
        ],
        np.concatenate([_codes(files, parts[s], found, len(names)) for s, found in rows.items()]),
        np.repeat(list(rows), [len(found) for found in rows.values()]),
        names,
        np.concatenate([_boxes(files, parts[s], found) for s, found in rows.items()]),
    )


def _single_file(files: Annotations) -> ImageIndex:
    name = "cars_annos.mat"
    content = _load(files, name)
    names = _class_names(files, name, content)
    found = _annotations(files, name, content)
    if not files.has("car_ims"):
        raise files.error("car_ims", "is missing")
    is_test = _numbers(files, name, found, "test")
    return _index(
        [str(files.root / file) for file in _texts(files, name, found, "relative_im_path")],
        _codes(files, name, found, len(names)),
        np.where(is_test == 1, "test", "train"),
        names,
        _boxes(files, name, found),
    )


def _index(
    paths: Sequence[str],
    labels: NDArray[np.intp],
    split: NDArray[np.str_],
    names: tuple[str, ...],
    boxes: NDArray[np.float64],
) -> ImageIndex:
    return ImageIndex("cars", tuple(paths), labels, split, distinct_names(names), names, boxes)


def _first(files: Annotations, names: Sequence[str]) -> str:
    """Return the first name that is there; the first of all where none is, for the message."""
    return next((name for name in names if files.has(name)), names[0])


def _load(files: Annotations, name: str) -> dict[str, Any]:
    if not files.has(name):
        raise files.error(name, "is missing")
    try:
        return dict(loadmat(str(files.root / name), squeeze_me=True))
    except _DAMAGED as error:
        raise files.error(name, f"could not be read as a .mat file: {error}") from error


def _class_names(files: Annotations, name: str, content: dict[str, Any]) -> tuple[str, ...]:
    if "class_names" not in content:
        raise files.error(name, "has no 'class_names'")
    return tuple(str(c) for c in np.atleast_1d(content["class_names"]).tolist())


def _annotations(
    files: Annotations, name: str, content: dict[str, Any] | None = None
) -> NDArray[Any]:
    content = _load(files, name) if content is None else content
    found = content.get("annotations")
    if found is None or np.asarray(found).dtype.names is None:
        raise files.error(name, "has no 'annotations'")
    return np.atleast_1d(found)


def _column(files: Annotations, name: str, found: NDArray[Any], field: str) -> list[Any]:
    if field not in (found.dtype.names or ()):
        hint = " (the test labels are in a file of their own: 'cars_test_annos_withlabels.mat')"
        raise files.error(name, f"has no {field!r}{hint if field == 'class' else ''}")
    return [np.asarray(value).item() for value in found[field]]


def _texts(files: Annotations, name: str, found: NDArray[Any], field: str) -> list[str]:
    return [str(value) for value in _column(files, name, found, field)]


def _numbers(files: Annotations, name: str, found: NDArray[Any], field: str) -> NDArray[np.float64]:
    return np.array(_column(files, name, found, field), dtype=np.float64)


def _codes(files: Annotations, name: str, found: NDArray[Any], n_classes: int) -> NDArray[np.intp]:
    """Return codes from 0: the file counts classes from 1."""
    codes = _numbers(files, name, found, "class").astype(np.intp)
    wrong = np.flatnonzero((codes < 1) | (codes > n_classes))
    if len(wrong):
        raise files.error(
            name,
            f"gives row {wrong[0]} the class {codes[wrong[0]]}, but there are classes 1 to "
            f"{n_classes}",
        )
    return codes - 1


def _boxes(files: Annotations, name: str, found: NDArray[Any]) -> NDArray[np.float64]:
    boxes = np.stack([_numbers(files, name, found, field) for field in _BOX], axis=1)
    # the file counts pixels from 1 and includes the last one
    boxes[:, :2] -= 1.0
    return boxes
