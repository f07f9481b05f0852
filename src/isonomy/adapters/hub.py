"""Picture sets from an official folder, a saved `datasets` data set, files, or the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isonomy._validation import check_random_state
from isonomy.adapters._data_sources import HubImages
from isonomy.adapters._hub_rows import SPLITS, as_splits, datasets_library, indexed
from isonomy.datasets import IMAGE_SETS, ImageIndex, load_images
from isonomy.datasets._carving import carve, check_share
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["HUB_NAMES", "load_image_set"]

HUB_NAMES: Mapping[str, str] = {
    "food101": "ethz/food101",
    "cars": "tanganke/stanford_cars",
    "cub200": "bentrevett/caltech-ucsd-birds-200-2011",
    "omniglot": "dpdl-benchmark/omniglot",
    "mnist": "ylecun/mnist",
}
"""Where these sets are on the hub, at the time of writing; pass the name on the right."""


def load_image_set(
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    image: str | None = None,
    label: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    validation_share: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> ImageIndex | HubImages:
    """Load a picture set for `ImageData`; no picture is decoded.

    Parameters
    ----------
    name : str or path-like
        "cub200", "cars", "food101" or "omniglot": the official folder, as
        `isonomy.datasets.load_images` reads it. Or a folder: one that ``save_to_disk`` wrote,
        one of Parquet files, or one of pictures (``class/file`` or ``split/class/file``). Or
        the name of a data set on the hub, such as "ethz/food101" (see `HUB_NAMES`).
    folder : str or path-like, optional
        Where the official folder lies; by default the environment variable
        ``ISONOMY_DATA`` names it.
    split : str, optional
        Keep one split only.
    image, label : str, optional
        Columns of the pictures and labels; by default the only column of pictures, and the
        only column of classes or the one called "label".
    config : str, optional
        Which of a data set's configurations.
    revision : str, optional
        Which version of a data set on the hub: a commit makes it reproducible.
    validation_share : float in [0, 1), optional
        Move this share of each class's training rows into the split "validation", where the
        set has none.
    random_state : int, RandomState or None
        Draws them; the same integer gives the same rows.

    Returns
    -------
    ImageIndex or HubImages
        The first for official folders. Both have ``labels``, ``split``, ``classes``,
        ``select`` and ``of_split``.

    Raises
    ------
    DataFileError
        If the folder, a file or the data set cannot be read, or there is no network.
    InvalidInputError
        If a column or split is missing, or labels are not whole numbers or names.
    MissingExtraError
        If the library ``datasets`` is not installed.

    Notes
    -----
    "dev", "val" and "valid" are called "validation" here. ``ethz/food101`` publishes the
    official test pictures as "validation": they are "test" here. Splits of other names (copies
    with noise, for instance) are left out unless ``split`` names one.

    Examples
    --------
    >>> import datasets, numpy as np, tempfile
    >>> features = datasets.Features(
    ...     image=datasets.Image(), label=datasets.ClassLabel(names=["apple_pie", "ramen"])
    ... )
    >>> picture = np.zeros((2, 2, 3), np.uint8)
    >>> rows = datasets.Dataset.from_dict({"image": [picture], "label": [1]}, features=features)
    >>> folder = tempfile.mkdtemp()
    >>> rows.save_to_disk(folder, num_proc=1)
    >>> load_image_set(folder).classes
    ('apple pie', 'ramen')
    """
    where = "load_image_set"
    share = check_share("validation_share", validation_share, where=where)
    if name in IMAGE_SETS:
        return load_images(
            str(name),
            folder,
            split=split,
            validation_share=validation_share,
            random_state=random_state,
        )
    if folder is not None:
        raise InvalidInputError(
            f"`folder` of `{where}` goes with one of {', '.join(IMAGE_SETS)}, got the name "
            f"{str(name)!r}. Pass a folder, or a name of the hub, as `name` alone."
        )
    found = as_splits(_load(str(name), config, revision, where))
    index = indexed(str(name), found, split, image, label, where)
    if share:
        if (index.split == "validation").any():
            raise InvalidInputError(
                f"`validation_share` of `{where}` is for sets without a validation split, but "
                f"{str(name)!r} has one. Leave it out."
            )
        rng = check_random_state(random_state)
        parts = carve(index.labels.tolist(), index.split, share=share, into="validation", rng=rng)
        index = replace(index, split=parts)
    return index if split is None else index.of_split(SPLITS.get(split, split))


def _load(name: str, config: str | None, revision: str | None, where: str) -> Any:
    datasets = datasets_library(where)
    path = Path(name)
    local = path.is_dir()
    if not local and (path.is_absolute() or name.startswith(".") or len(path.parts) > 2):
        raise DataFileError(f"`name` passed to `{where}` must be a folder, but {name!r} is none.")
    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            return datasets.load_from_disk(name)
        if local:
            kind = "parquet" if any(path.rglob("*.parquet")) else "imagefolder"
            files = _parquet_files(path) if kind == "parquet" else None
            return datasets.load_dataset(
                kind, **({"data_files": files} if files else {"data_dir": name})
            )
        return datasets.load_dataset(name, config, revision=revision)
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        what = "folder" if local else "data set"
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataFileError(
            f"`name` passed to `{where}`: the {what} {name!r} could not be loaded: {said}. "
            + (
                "It must be what `save_to_disk` wrote, Parquet files, or pictures in a folder for "
                "each class."
                if local
                else f"It must be a folder, one of {', '.join(IMAGE_SETS)}, or the name of a data "
                "set that can be reached on the hub."
            )
        ) from error


def _parquet_files(path: Path) -> dict[str, list[str]]:
    """Return the files by split: "train-00000-of-00001.parquet", or "default/train/0.parquet"."""
    found: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.parquet")):
        inside = file.relative_to(path).parts
        named = len(inside) > 1 and inside[-2] != "data"
        words = inside[-2] if named else inside[-1].split("-")[0].removesuffix(".parquet")
        found.setdefault(words, []).append(str(file))
    return found
