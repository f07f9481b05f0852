"""Which rows are for training, and the classes as codes into their names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.datasets._rows_of import RowsOf
from isonomy.errors import InvalidInputError

__all__ = ["VALIDATION", "class_codes", "rows_of_split", "training_rows"]

_TRAIN = frozenset({"train", "training"})
VALIDATION = frozenset({"val", "valid", "validation", "dev", "development"})


def class_codes(rows: RowsOf, where: str) -> tuple[NDArray[np.intp], list[str]]:
    """Return codes (n_samples,) into the names of the classes; -1 is none of them."""
    train = training_rows(rows, where)
    found: list[Any] = np.unique(rows.labels[train]).tolist()
    names = found if rows.classes is None else list(rows.classes)
    if rows.classes is not None:
        # whole numbers beside names of classes are codes into these names
        coded = rows.labels.dtype.kind in "iu" and all(isinstance(c, str) for c in names)
        found = list(range(len(names))) if coded else names
    place = {value: code for code, value in enumerate(found)}
    codes = np.array([place.get(value, -1) for value in rows.labels.tolist()], dtype=np.intp)
    if (codes[train] < 0).any():
        strange = rows.labels[train][codes[train] < 0][:1].tolist()[0]
        raise InvalidInputError(
            f"`dataset` passed to `{where}` holds the label {strange!r}, which is not among its "
            f"{len(names)} classes."
        )
    return codes, [str(name) for name in names]


def training_rows(rows: RowsOf, where: str) -> NDArray[np.bool_]:
    """Return which rows are for training: (n_samples,)."""
    if rows.split is None:
        return np.ones(len(rows.labels), dtype=bool)
    train = rows_of_split(rows, _TRAIN)
    if not train.any():
        seen = ", ".join(sorted({repr(str(s)) for s in rows.split.tolist()})[:10])
        raise InvalidInputError(
            f"`dataset` passed to `{where}` must have rows whose split is 'train', got {seen}. "
            "Pass split=None if all rows are training rows."
        )
    return train


def rows_of_split(rows: RowsOf, names: frozenset[str]) -> NDArray[np.bool_]:
    """Return which rows are of a split of these names: (n_samples,)."""
    if rows.split is None:
        return np.zeros(len(rows.labels), dtype=bool)
    return np.array([str(value).lower() in names for value in rows.split.tolist()], dtype=bool)
