"""A data set for PyTorch whose pictures are decoded when they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed
from torch.utils.data import Dataset

from isonomy._validation import check_choice, check_count, check_real
from isonomy.adapters._data_sources import HubImages, Pictures, pictures_of
from isonomy.adapters._image_processing import UnreadableImage, as_function, nothing, said
from isonomy.errors import InvalidInputError, UnreadableImageError, UnreadableImageWarning
from isonomy.hidden_states._collect._images import UNREADABLE, open_picture

__all__ = ["HubImages", "ImageData", "UnreadableImage"]

_BLOCK = 64
"""Pictures that are decoded between two reports of progress."""

_NAMED = 5
"""Pictures that a message names."""


class ImageData(Dataset[dict[str, Any]]):
    """Rows of ``{"pixel_values", "labels"}``, each picture decoded when it is asked for.

    Parameters
    ----------
    index : ImageIndex, HubImages or Bunch
        From `isonomy.datasets.load_images`, `load_image_set` or `isonomy.datasets.load_idx`,
        thinned or not.
    processor : object
        A Hugging Face image processor (or a processor that holds one, such as CLIP's), or any
        function of a PIL picture in RGB; what it returns is ``pixel_values``.
    split : str, optional
        Keep one split only.
    max_bad_share : float in [0, 1]
        `check` drops pictures that do not open up to this share of all.
    crop : bool
        Whether pictures are cut to the box of the object, where the index has boxes.

    Attributes
    ----------
    labels : ndarray
        (n_samples,) codes.
    classes : tuple of str
        K names.
    unreadable : tuple of UnreadableImage
        What `check` has dropped.

    Notes
    -----
    A picture that does not open raises when its row is read; `check` finds all of them
    beforehand. Grey, palette and CMYK pictures become RGB, of an animation the first frame is
    taken, transparent parts become white. The object can be sent to other processes, as
    ``DataLoader(num_workers=...)`` does.

    Examples
    --------
    >>> import numpy as np
    >>> digits = {"image": np.zeros((2, 4, 4), np.uint8), "label": [1, 0], "classes": ["0", "1"]}
    >>> data = ImageData(digits, lambda picture: np.asarray(picture).mean())
    >>> len(data), data[0]
    (2, {'pixel_values': np.float64(0.0), 'labels': 1})
    """

    def __init__(
        self,
        index: Any,
        processor: Any,
        *,
        split: str | None = None,
        max_bad_share: float = 0.01,
        crop: bool = False,
    ) -> None:
        where = "ImageData"
        check_real("max_bad_share", max_bad_share, where=where, low=0.0, high=1.0)
        check_choice("crop", crop, (True, False), where=where)
        pictures = pictures_of(index, where=where)
        if split is not None:
            pictures = _of_split(pictures, split, where)
        if crop and pictures.boxes is None:
            raise InvalidInputError(
                f"`crop` of `{where}` needs boxes, which `index` does not have. Leave it out."
            )
        if not len(pictures):
            raise InvalidInputError(f"`index` passed to `{where}` must hold pictures, got none.")
        self._pictures = pictures
        self._process = as_function(processor, where)
        self.processor = processor
        self.max_bad_share = max_bad_share
        self.crop = crop
        self.unreadable: tuple[UnreadableImage, ...] = ()

    @property
    def labels(self) -> NDArray[np.intp]:
        """Codes (n_samples,) into ``classes``."""
        return self._pictures.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self._pictures.classes

    @property
    def class_counts(self) -> dict[str, int]:
        """``{class name: number of rows}``, in the order of the codes."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, counts, strict=True))

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return ``{"pixel_values", "labels"}`` of one row.

        Raises
        ------
        UnreadableImageError
            If its picture does not open.
        """
        row = range(len(self))[row]  # counts from the end, and says where the end is
        return {"pixel_values": self._process(self.picture(row)), "labels": int(self.labels[row])}

    def picture(self, row: int) -> Any:
        """Return one picture before it is processed: PIL's, in RGB, cropped if asked for.

        Parameters
        ----------
        row : int
            Its place, from 0.

        Returns
        -------
        PIL.Image.Image
            In RGB.

        Raises
        ------
        UnreadableImageError
            If it does not open.
        """
        try:
            return self._decoded(row)
        except UNREADABLE as error:
            raise UnreadableImageError(
                f"Row {row} of `ImageData` cannot be read: {self._pictures.called(row)}: "
                f"{said(error)}. Call `data = data.check()` first: it drops up to "
                f"max_bad_share={self.max_bad_share:g} of the pictures and lists them."
            ) from error

    def check(
        self,
        *,
        n_jobs: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImageData:
        """Decode every picture once, and return the data without those that do not open.

        Parameters
        ----------
        n_jobs : int, optional
            Threads that decode (Pillow lets others run meanwhile); -1 for one a core, by
            default one.
        progress : callable, optional
            Called as ``progress(done, total)`` with numbers of pictures.

        Returns
        -------
        ImageData
            Its ``unreadable`` lists what was dropped.

        Raises
        ------
        UnreadableImageError
            If more than ``max_bad_share`` of the pictures do not open, or all of a class; the
            message names the first ones.

        Warns
        -----
        UnreadableImageWarning
            If pictures are dropped.
        """
        if n_jobs is not None and n_jobs != -1:
            check_count("n_jobs", n_jobs, where="ImageData.check")
        bad = self._scan(n_jobs, progress)
        if not bad:
            return self
        shown = "; ".join(f"{b.path}: {b.reason}" for b in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        found = f"{len(bad)} of {len(self)} pictures do not open: {shown}{more}"
        if len(bad) > self.max_bad_share * len(self):
            raise UnreadableImageError(
                f"{found}. That is above max_bad_share={self.max_bad_share:g} of `ImageData`: "
                "fetch them again, or allow for a larger share."
            )
        kept = np.setdiff1d(np.arange(len(self)), [b.row for b in bad])
        lost = np.setdiff1d(self.labels, self.labels[kept])
        if len(lost):
            raise UnreadableImageError(
                f"{found}. No picture of the class {self.classes[lost[0]]!r} is left: fetch "
                "them again."
            )
        warnings.warn(f"{found}. They are left out.", UnreadableImageWarning, stacklevel=2)
        return self._with(self._pictures.select(kept), bad)

    def _with(self, pictures: Pictures, bad: Sequence[UnreadableImage]) -> ImageData:
        new = ImageData(
            pictures.index, self.processor, max_bad_share=self.max_bad_share, crop=self.crop
        )
        new.unreadable = (*self.unreadable, *bad)
        return new

    def _scan(
        self, n_jobs: int | None, progress: Callable[[int, int], None] | None
    ) -> list[UnreadableImage]:
        n = len(self)
        blocks = [range(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)]
        # decoding alone: the processor may be large, and is not what is being checked
        bare = ImageData(self._pictures.index, nothing, crop=self.crop)
        results = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
            delayed(_bad_rows)(bare, block) for block in blocks
        )
        bad: list[UnreadableImage] = []
        done = 0
        for block, found in zip(blocks, results, strict=True):
            bad.extend(found)
            done += len(block)
            if progress is not None:
                progress(done, n)
        return bad

    def _decoded(self, row: int) -> Any:
        picture = open_picture(self._pictures.value(row), where="ImageData")
        boxes = self._pictures.boxes
        if not self.crop or boxes is None:
            return picture
        left, top, right, bottom = boxes[row].tolist()
        # a box may reach over the edge by a pixel; one outside of the picture cuts nothing
        edges = (
            max(int(left), 0),
            max(int(top), 0),
            min(int(np.ceil(right)), picture.width),
            min(int(np.ceil(bottom)), picture.height),
        )
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            raise ValueError(f"its box {edges} is outside of the picture {picture.size}")
        return picture.crop(edges)


def _of_split(pictures: Pictures, split: str, where: str) -> Pictures:
    splits = np.asarray(pictures.index["split"])
    rows = np.flatnonzero(splits == split)
    if not len(rows):
        known = ", ".join(map(repr, np.unique(splits).tolist()))
        raise InvalidInputError(f"`split` of `{where}` must be one of {known}, got {split!r}.")
    return pictures.select(rows)


def _bad_rows(data: ImageData, rows: range) -> list[UnreadableImage]:
    bad = []
    for row in rows:
        try:
            data._decoded(row)
        except UNREADABLE as error:
            bad.append(UnreadableImage(row, data._pictures.called(row), said(error)))
    return bad
