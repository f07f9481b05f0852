"""Where the pictures of a set lie and what they show; no picture is opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice
from isonomy.datasets._image_bytes import image_bytes
from isonomy.errors import InvalidInputError

__all__ = ["ImageIndex"]


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """The pictures of a set: paths, labels, splits and boxes, one entry a picture.

    Made by `load_images`; `long_tail` thins it, `isonomy.adapters.ImageData` decodes it.

    Attributes
    ----------
    name : str
        Of the set.
    paths : tuple of str
        (n_samples,) files; ``archive.zip!/member`` where they lie in an archive.
    labels : ndarray
        (n_samples,) codes from 0 to K - 1 into ``classes``.
    split : ndarray
        (n_samples,) of "train", "validation" or "test".
    classes : tuple of str
        K names as people write them.
    original_classes : tuple of str
        The same as the set spells them.
    boxes : ndarray, optional
        (n_samples, 4) left, top, right and bottom edge of the object, in pixels from the
        upper left corner; right and bottom are the first outside.
    coarse : ndarray, optional
        (n_samples,) a coarser class where the set has one (the alphabet of a character).
    """

    name: str
    paths: tuple[str, ...]
    labels: NDArray[np.intp]
    split: NDArray[np.str_]
    classes: tuple[str, ...]
    original_classes: tuple[str, ...]
    boxes: NDArray[np.float64] | None = None
    coarse: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        columns = {
            "labels": self.labels,
            "split": self.split,
            "boxes": self.boxes,
            "coarse": self.coarse,
        }
        for name, column in columns.items():
            if column is not None and len(column) != n:
                raise InvalidInputError(
                    f"`{name}` of `ImageIndex` must have as many rows as `paths` ({n}), got "
                    f"{len(column)}."
                )
        if len(self.original_classes) != len(self.classes):
            raise InvalidInputError(
                f"`original_classes` of `ImageIndex` must name the same {len(self.classes)} "
                f"classes as `classes`, got {len(self.original_classes)}."
            )
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if len(bad):
            raise InvalidInputError(
                f"`labels` of `ImageIndex` must be codes from 0 to {len(self.classes) - 1}, got "
                f"{int(self.labels[bad[0]])} for {self.paths[bad[0]]!r}."
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, column: str) -> Any:
        """Return a column: "path", "label", "split", "box" or "coarse"."""
        check_choice("column", column, self.column_names, where="ImageIndex")
        return {
            "path": self.paths,
            "label": self.labels,
            "split": self.split,
            "box": self.boxes,
            "coarse": self.coarse,
        }[column]

    @property
    def column_names(self) -> list[str]:
        """Names of the columns, as a data set of the library ``datasets`` has them."""
        optional = {"box": self.boxes, "coarse": self.coarse}
        return ["path", "label", "split", *(k for k, v in optional.items() if v is not None)]

    def read(self, row: int) -> bytes:
        """Return the bytes of one picture, not decoded.

        Parameters
        ----------
        row : int
            Its place, from 0.

        Returns
        -------
        bytes
            The content of its file.

        Raises
        ------
        OSError
            If it is not there or cannot be read.
        """
        return image_bytes(self.paths[row])

    def select(self, indices: Iterable[int]) -> ImageIndex:
        """Return the index of some pictures only, in the order asked for.

        Parameters
        ----------
        indices : iterable of int
            Their places, from 0.

        Returns
        -------
        ImageIndex
            With the same classes.
        """
        rows = np.fromiter(indices, dtype=np.intp)
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows.tolist()),
            labels=self.labels[rows],
            split=self.split[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
            coarse=None if self.coarse is None else self.coarse[rows],
        )

    def of_split(self, split: str) -> ImageIndex:
        """Return the pictures of one split.

        Parameters
        ----------
        split : str
            "train", "validation" or "test".

        Returns
        -------
        ImageIndex
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
