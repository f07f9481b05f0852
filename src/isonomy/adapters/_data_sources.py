"""Pictures with labels, wherever they are: files, arrays in memory, or a `datasets` data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import as_column, check_choice, check_same_length
from isonomy.datasets import ImageIndex
from isonomy.errors import InvalidInputError

__all__ = ["HubImages", "Pictures", "pictures_of"]


@dataclass(frozen=True, eq=False)
class HubImages:
    """The pictures of a `datasets` data set: undecoded, with labels, splits and class names.

    Made by `load_image_set`. It has what an `isonomy.datasets.ImageIndex` has, so that
    `long_tail`, `describe_classes` and `ImageData` take either.

    Attributes
    ----------
    name : str
        Of the data set.
    rows : datasets.Dataset
        Its rows, the column ``image`` cast to ``Image(decode=False)``.
    image : str
        The column of the pictures.
    labels : ndarray
        (n_samples,) codes from 0 to K - 1 into ``classes``.
    split : ndarray
        (n_samples,) of "train", "validation", "test" or what else the splits are called.
    classes : tuple of str
        K names as people write them.
    original_classes : tuple of str
        The same as the data set spells them.
    """

    name: str
    rows: Any
    image: str
    labels: NDArray[np.intp]
    split: NDArray[np.str_]
    classes: tuple[str, ...]
    original_classes: tuple[str, ...]

    boxes = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, column: str) -> Any:
        """Return a column: "label" or "split"."""
        check_choice("column", column, self.column_names, where="HubImages")
        return self.labels if column == "label" else self.split

    @property
    def column_names(self) -> list[str]:
        """Names of the columns that are in memory."""
        return ["label", "split"]

    def select(self, indices: Iterable[int]) -> HubImages:
        """Return some of the pictures, in the order asked for.

        Parameters
        ----------
        indices : iterable of int
            Their places, from 0.

        Returns
        -------
        HubImages
            With the same classes.
        """
        rows = np.fromiter(indices, dtype=np.intp)
        return replace(
            self,
            rows=self.rows.select(rows),
            labels=self.labels[rows],
            split=self.split[rows],
        )

    def of_split(self, split: str) -> HubImages:
        """Return the pictures of one split.

        Parameters
        ----------
        split : str
            "train", "validation", "test", or what else the data set has.

        Returns
        -------
        HubImages
            With the same classes.

        Raises
        ------
        InvalidInputError
            If there is none of that split.
        """
        rows = np.flatnonzero(self.split == split)
        if not len(rows):
            known = ", ".join(map(repr, np.unique(self.split).tolist())) or "none"
            raise InvalidInputError(
                f"`split` of {self.name!r} must be one of {known}, got {split!r}."
            )
        return self.select(rows)


@dataclass(frozen=True, eq=False)
class Pictures:
    """What `ImageData` reads: one value and one label a row, and what to call the row."""

    index: Any
    labels: NDArray[np.intp]
    classes: tuple[str, ...]
    boxes: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.labels)

    def value(self, row: int) -> Any:
        """Return the bytes, array or mapping that holds the picture of a row."""
        if isinstance(self.index, ImageIndex):
            return self.index.read(row)
        if isinstance(self.index, HubImages):
            return self.index.rows[row][self.index.image]
        return np.asarray(self.index["image"][row])

    def called(self, row: int) -> str:
        """Return the name of a row's picture for messages."""
        if isinstance(self.index, ImageIndex):
            return self.index.paths[row]
        if isinstance(self.index, HubImages):
            held = self.index.rows[row][self.index.image]
            path = held.get("path") if isinstance(held, Mapping) else None
            return f"row {row} of {self.index.name}" + (f" ({path})" if path else "")
        return f"row {row}"

    def select(self, rows: NDArray[np.intp]) -> Pictures:
        """Return some of the rows."""
        if isinstance(self.index, ImageIndex | HubImages):
            return pictures_of(self.index.select(rows.tolist()), where="ImageData")
        kept = {**self.index, "image": self.index["image"][rows], "label": self.labels[rows]}
        if "split" in kept:
            kept["split"] = np.asarray(kept["split"])[rows]
        return Pictures(kept, self.labels[rows], self.classes, None)


def pictures_of(index: Any, *, where: str) -> Pictures:
    """Return the pictures of an index or of a mapping with ``image``, ``label``, ``classes``.

    Raises
    ------
    InvalidInputError
        If it is of no such kind.
    """
    if isinstance(index, ImageIndex | HubImages):
        return Pictures(index, index.labels, index.classes, index.boxes)
    if isinstance(index, Mapping) and {"image", "label", "classes"} <= set(index):
        return _in_memory(index, where)
    raise InvalidInputError(
        f"`index` passed to `{where}` must be what `load_images`, `load_image_set` or `load_idx` "
        f"returns, got {type(index).__name__}."
    )


def _in_memory(index: Mapping[str, Any], where: str) -> Pictures:
    classes = tuple(map(str, index["classes"]))
    labels, image = as_column(index["label"]), _as_rows(index["image"])
    codes = labels.dtype.kind in "iu" and labels.ndim == 1
    if not codes or (labels < 0).any() or (labels >= len(classes)).any():
        raise InvalidInputError(
            f"`index` passed to `{where}` must have codes from 0 to {len(classes) - 1} as its "
            f"'label', one a picture, got {labels[:5].tolist()} and so on."
        )
    for name in {"label", "split"} & set(index):
        check_same_length(name, len(index[name]), len(image), where=where, of="image")
    return Pictures({**index, "image": image}, labels.astype(np.intp), classes, None)


def _as_rows(images: Any) -> Any:
    """Return an array of pictures; a list of them, of one size or of many, as objects."""
    if hasattr(images, "shape"):
        return images
    rows = np.empty(len(images), dtype=object)
    for i, picture in enumerate(images):
        rows[i] = picture
    return rows
