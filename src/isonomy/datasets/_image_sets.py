"""Readers of the official folders of CUB-200-2011, Food-101 and Omniglot."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isonomy.datasets._annotation_files import Annotations
from isonomy.datasets._image_bytes import INSIDE
from isonomy.datasets._image_index import ImageIndex
from isonomy.datasets.class_prompts import distinct_names

__all__ = ["read_cub200", "read_food101", "read_omniglot"]


def read_cub200(files: Annotations) -> ImageIndex:
    """Read images.txt, image_class_labels.txt, train_test_split.txt and classes.txt."""
    images = files.by_id("images.txt")
    labels = files.by_id("image_class_labels.txt")
    splits = files.by_id("train_test_split.txt")
    classes = files.by_id("classes.txt")
    boxes = files.by_id("bounding_boxes.txt", 4) if files.has("bounding_boxes.txt") else None
    others = {"image_class_labels.txt": labels, "train_test_split.txt": splits}
    if boxes is not None:
        others["bounding_boxes.txt"] = boxes
    for name, found in others.items():
        _check_same_images(files, name, found.keys(), images.keys())
    place = {key: code for code, key in enumerate(classes)}
    codes = []
    for key, (label,) in labels.items():
        if label not in place:
            raise files.error(
                "image_class_labels.txt",
                f"gives image {key} the class {label}, which 'classes.txt' does not name",
            )
        codes.append((key, place[label]))
    code_of = dict(codes)
    for key, (value,) in splits.items():
        if value not in {"0", "1"}:
            raise files.error("train_test_split.txt", f"must say 0 or 1 of image {key}: {value}")
    original = tuple(name for (name,) in classes.values())
    root = files.root / "images"
    _check_folder(files, "images")
    return ImageIndex(
        name="cub200",
        paths=tuple(str(root / name) for (name,) in images.values()),
        labels=np.array([code_of[key] for key in images], dtype=np.intp),
        split=np.array(["train" if splits[key][0] == "1" else "test" for key in images]),
        classes=distinct_names(original),
        original_classes=original,
        boxes=None if boxes is None else _corners(files, [boxes[key] for key in images]),
    )


def _corners(files: Annotations, boxes: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Turn left, top, width and height into left, top, right and bottom."""
    try:
        values = np.array([" ".join(box).split() for box in boxes], dtype=np.float64)
    except ValueError as error:
        raise files.error(
            "bounding_boxes.txt", f"must hold four numbers a line: {error}"
        ) from error
    values[:, 2:] += values[:, :2]
    return values


def read_food101(files: Annotations) -> ImageIndex:
    """Read meta/classes.txt and meta/train.txt and test.txt (or .json)."""
    original = tuple(files.lines("meta/classes.txt"))
    if files.has("meta/labels.txt"):
        n = len(files.lines("meta/labels.txt"))
        if n != len(original):
            raise files.error(
                "meta/labels.txt", f"has {n} lines where 'meta/classes.txt' has {len(original)}"
            )
    _check_folder(files, "images")
    place = {name: code for code, name in enumerate(original)}
    names: list[str] = []
    splits: list[str] = []
    for split in ("train", "test"):
        kinds = [f"meta/{split}.txt", f"meta/{split}.json"]
        file = next((name for name in kinds if files.has(name)), kinds[0])
        found = files.lines(file) if file.endswith(".txt") else _of_json(files, file)
        for name in found:
            if name.partition("/")[0] not in place:
                raise files.error(
                    file,
                    f"names {name!r}, whose class is not among the {len(original)} of "
                    "'meta/classes.txt'",
                )
        names.extend(found)
        splits.extend([split] * len(found))
    twice = len(names) - len(set(names))
    if twice:
        raise files.error("meta/test.txt", f"and the training list share {twice} image(s)")
    return ImageIndex(
        name="food101",
        paths=tuple(str(files.root / "images" / f"{name}.jpg") for name in names),
        labels=np.array([place[name.partition("/")[0]] for name in names], dtype=np.intp),
        split=np.array(splits),
        classes=distinct_names(original),
        original_classes=original,
    )


def _of_json(files: Annotations, file: str) -> list[str]:
    content = files.json(file)
    if not isinstance(content, dict):
        raise files.error(file, "must hold a list of images for each class")
    return [str(name) for names in content.values() for name in names]


_OMNIGLOT = re.compile(r"^images_(background|evaluation)(_small[12])?$")
_PICTURE = re.compile(r"\.png$", re.IGNORECASE)
_CHARACTER = re.compile(r"^character0*(\d+)$")


def read_omniglot(files: Annotations) -> ImageIndex:
    """Read alphabet/character/*.png of every images_* folder or zip archive."""
    found: dict[tuple[str, str], str] = {}
    for path, alphabet, character, picture in _omniglot_pictures(files):
        # the two small sets share alphabets: a picture is taken once
        found.setdefault((f"{alphabet}/{character}", picture), path)
    if not found:
        raise files.error("images_background", "holds no picture alphabet/character/*.png")
    keys = sorted(found)
    original = tuple(sorted({name for name, _ in keys}))
    place = {name: code for code, name in enumerate(original)}
    labels = np.array([place[name] for name, _ in keys], dtype=np.intp)
    return ImageIndex(
        name="omniglot",
        paths=tuple(found[key] for key in keys),
        labels=labels,
        split=_by_drawer(labels),
        classes=tuple(map(_spelled, original)),
        original_classes=original,
        coarse=np.array([name.partition("/")[0].replace("_", " ") for name, _ in keys]),
    )


def _by_drawer(labels: NDArray[np.intp]) -> NDArray[np.str_]:
    """Mark the last quarter of every character's drawers, in the order of names, as test."""
    split = np.full(len(labels), "train", dtype="<U10")
    for code in np.unique(labels):
        rows = np.flatnonzero(labels == code)
        split[rows[len(rows) - len(rows) // 4 :]] = "test"
    return split


def _spelled(name: str) -> str:
    alphabet, _, character = name.partition("/")
    number = _CHARACTER.match(character)
    readable = f"character {number[1]}" if number else character.replace("_", " ")
    return f"{alphabet.replace('_', ' ')} {readable}"


def _omniglot_pictures(files: Annotations) -> Iterator[tuple[str, str, str, str]]:
    """Yield (path, alphabet, character, name of the picture)."""
    root = files.root
    if _OMNIGLOT.match(root.name):
        yield from _in_folder(root)
        return
    for place in sorted(root.iterdir()):
        if place.is_dir() and _OMNIGLOT.match(place.name):
            yield from _in_folder(place)
        elif place.suffix == ".zip" and _OMNIGLOT.match(place.stem):
            yield from _in_archive(place, files)


def _in_folder(place: Path) -> Iterator[tuple[str, str, str, str]]:
    for folder, _, pictures in os.walk(place):
        parts = Path(folder).relative_to(place).parts
        if len(parts) == 2:
            for picture in pictures:
                if _PICTURE.search(picture):
                    yield str(Path(folder) / picture), parts[0], parts[1], picture


def _in_archive(place: Path, files: Annotations) -> Iterator[tuple[str, str, str, str]]:
    try:
        with zipfile.ZipFile(place) as archive:
            members = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise files.error(place.name, f"could not be read: {error}") from error
    for member in members:
        parts = member.split("/")
        if len(parts) == 4 and _PICTURE.search(parts[3]) and _OMNIGLOT.match(parts[0]):
            yield f"{place}{INSIDE}{member}", parts[1], parts[2], parts[3]


def _check_same_images(
    files: Annotations, name: str, found: Iterable[str], images: Iterable[str]
) -> None:
    ours, theirs = set(found), set(images)
    if ours != theirs:
        example = sorted(ours ^ theirs)[0]
        raise files.error(
            name,
            f"lists {len(ours)} images where 'images.txt' lists {len(theirs)}; image {example} is "
            "in one of them only",
        )


def _check_folder(files: Annotations, name: str) -> None:
    if not (files.root / name).is_dir():
        raise files.error(name, "is missing")
