"""Fine-grained picture sets in their official folders: an index, no picture is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from isonomy._validation import check_choice, check_random_state
from isonomy.datasets._annotation_files import Annotations, find_folder
from isonomy.datasets._cars_files import read_cars
from isonomy.datasets._carving import carve, check_share
from isonomy.datasets._image_index import ImageIndex
from isonomy.datasets._image_sets import read_cub200, read_food101, read_omniglot

__all__ = ["IMAGE_SETS", "ImageIndex", "load_images"]


@dataclass(frozen=True)
class _ImageSet:
    read: Callable[[Annotations], ImageIndex]
    inside: tuple[str, ...]
    mark: tuple[str, ...]
    source: str


_OMNIGLOT = ("images_background", "images_background_small1", "images_background_small2")
_SETS: Mapping[str, _ImageSet] = MappingProxyType(
    {
        "cub200": _ImageSet(
            read_cub200,
            ("CUB_200_2011", "cub200", "cub200/CUB_200_2011"),
            ("images.txt", "image_class_labels.txt", "classes.txt"),
            "https://www.vision.caltech.edu/datasets/cub_200_2011",
        ),
        "cars": _ImageSet(
            read_cars,
            ("stanford_cars", "cars"),
            ("devkit", "cars_annos.mat", "cars_meta.mat", "cars_train_annos.mat"),
            "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        ),
        "food101": _ImageSet(
            read_food101,
            ("food-101", "food101", "food101/food-101"),
            ("meta",),
            "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101",
        ),
        "omniglot": _ImageSet(
            read_omniglot,
            ("omniglot", "omniglot_small", "omniglot/python"),
            (*_OMNIGLOT, *(f"{name}.zip" for name in _OMNIGLOT), "images_evaluation"),
            "https://github.com/brendenlake/omniglot",
        ),
    }
)

IMAGE_SETS: tuple[str, ...] = tuple(_SETS)
"""The names that `load_images` knows."""


def load_images(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    validation_share: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> ImageIndex:
    """Read where the pictures of a set lie and what they show, from its official folder.

    Parameters
    ----------
    name : str
        One of `IMAGE_SETS`: "cub200" (CUB-200-2011), "cars" (Stanford Cars), "food101",
        "omniglot".
    folder : str or path-like, optional
        The folder as published, or the one around it; by default the environment variable
        ``ISONOMY_DATA`` names it. Omniglot's ``images_*.zip`` are read without unpacking.
    split : str, optional
        Keep one split only: "train", "validation" or "test".
    validation_share : float in [0, 1), optional
        Move this share of each class's training pictures into the split "validation"; no
        set has one of its own. Of a class of two pictures or more, one moves and one stays.
    random_state : int, RandomState or None
        Draws them; the same integer gives the same pictures.

    Returns
    -------
    ImageIndex
        Paths, labels, classes, splits, and boxes where the set has them (birds and cars).

    Raises
    ------
    DataFileError
        If a file of the set is missing or damaged, an annotation names a class that does
        not exist, or the files disagree about the pictures; the message names the file.
    InvalidInputError
        If an argument is unknown.

    Notes
    -----
    The splits are the publishers'. Omniglot's own (alphabets to learn from, others to be
    tested on) has no class in common: here its two parts are pooled, and of each character
    the last quarter of the drawers, in the order of the files' names, is "test". Whether the
    pictures themselves are there and open is seen when they are decoded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("meta", "images"):
    ...     (folder / name).mkdir()
    >>> for file, line in {"classes": "apple_pie", "train": "apple_pie/1", "test": ""}.items():
    ...     _ = (folder / "meta" / f"{file}.txt").write_text(line)
    >>> index = load_images("food101", folder)
    >>> index.classes, index.split.tolist()
    (('apple pie',), ['train'])
    """
    where = "load_images"
    check_choice("name", name, IMAGE_SETS, where=where)
    check_choice("split", split, (None, "train", "validation", "test"), where=where)
    share = check_share("validation_share", validation_share, where=where)
    rng = check_random_state(random_state)
    known = _SETS[name]
    root = find_folder(
        folder, inside=known.inside, mark=known.mark, source=known.source, where=where
    )
    index = known.read(Annotations(root, source=known.source, where=where))
    labels = index.labels.tolist()
    index = replace(
        index, split=carve(labels, index.split, share=share, into="validation", rng=rng)
    )
    return index if split is None else index.of_split(split)
