"""Tiny picture sets in the layouts in which the real ones are published."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import savemat

BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012")
FOODS = ("apple_pie", "baby_back_ribs")

DULL = b"not decoded in these tests"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cub200(folder: Path, n: int = 3, picture: bytes = DULL) -> Path:
    """Write n pictures of each of three birds; of each, the last is a test picture."""
    root = folder / "CUB_200_2011"
    lines: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    }
    for k, bird in enumerate(BIRDS):
        for i in range(n):
            key = k * n + i + 1
            file = f"{bird}/{bird[4:]}_{i:04d}.jpg"
            write(root / "images" / file, picture)
            lines["images"].append(f"{key} {file}")
            lines["image_class_labels"].append(f"{key} {k + 1}")
            lines["train_test_split"].append(f"{key} {int(i < n - 1)}")
            lines["bounding_boxes"].append(f"{key} {i}.0 2.0 10.0 {5 + k}.0")
    for name, found in lines.items():
        write(root / f"{name}.txt", "\n".join(found) + "\n")
    write(root / "classes.txt", "".join(f"{k + 1} {bird}\n" for k, bird in enumerate(BIRDS)))
    return root


def _cells(texts):
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


def _annotations(rows, **more):
    """A MATLAB structure array: fields of one (x1, y1, x2, y2, class, file) a row."""
    names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    fields = [(more.get(name, name), object) for name in names if more.get(name, name)]
    extra = "test" if "test" in more else None
    out = np.empty(len(rows), dtype=[*fields, *([(extra, object)] if extra else [])])
    for i, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            if more.get(name, name):
                out[i][more.get(name, name)] = value
        if extra:
            out[i][extra] = more["test"][i]
    return out


def cars(folder: Path, picture: bytes = DULL) -> Path:
    """Write the development kit: two training pictures and one for test."""
    root = folder / "stanford_cars"
    train = [(2, 3, 11, 13, 2, "00001.jpg"), (1, 1, 16, 16, 1, "00002.jpg")]
    test = [(5, 6, 7, 8, 2, "00001.jpg")]
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": _cells(CARS)})
    savemat(root / "devkit/cars_train_annos.mat", {"annotations": _annotations(train)})
    without = _annotations(test, **{"class": ""})
    savemat(root / "devkit/cars_test_annos.mat", {"annotations": without})
    savemat(root / "cars_test_annos_withlabels.mat", {"annotations": _annotations(test)})
    for split, rows in (("train", train), ("test", test)):
        for row in rows:
            write(root / f"cars_{split}" / row[-1], picture)
    return root


def cars_in_one_file(folder: Path, picture: bytes = DULL) -> Path:
    """Write the same pictures in the newer layout: cars_annos.mat and car_ims/."""
    root = folder / "cars"
    rows = [
        (2, 3, 11, 13, 2, "car_ims/000001.jpg"),
        (1, 1, 16, 16, 1, "car_ims/000002.jpg"),
        (5, 6, 7, 8, 2, "car_ims/000003.jpg"),
    ]
    root.mkdir(parents=True)
    found = _annotations(rows, fname="relative_im_path", test=[0, 0, 1])
    savemat(root / "cars_annos.mat", {"annotations": found, "class_names": _cells(CARS)})
    for row in rows:
        write(root / row[-1], picture)
    return root


def food101(folder: Path, picture: bytes = DULL, kind: str = "txt") -> Path:
    """Write three pictures of each of two dishes: two to train on, one to test on."""
    root = folder / "food-101"
    write(root / "meta/classes.txt", "\n".join(FOODS) + "\n")
    write(root / "meta/labels.txt", "Apple pie\nBaby back ribs\n")
    for split, numbers in (("train", (1005, 1011)), ("test", (99,))):
        found = {food: [f"{food}/{i}" for i in numbers] for food in FOODS}
        names = [name for of_food in found.values() for name in of_food]
        lines = json.dumps(found) if kind == "json" else "\n".join(names) + "\n"
        write(root / f"meta/{split}.{kind}", lines)
        for name in names:
            write(root / f"images/{name}.jpg", picture)
    return root


def omniglot(folder: Path, picture: bytes = DULL, *, packed: bool = False) -> Path:
    """Write two alphabets of two characters, eight drawers each; one is in both parts."""
    root = folder / "omniglot"
    root.mkdir(parents=True)
    parts = {"images_background_small1": ("Balinese", "Anglo-Saxon_Futhorc")}
    parts["images_background_small2"] = ("Balinese",)
    for part, alphabets in parts.items():
        members = [
            f"{part}/{alphabet}/character{c:02d}/{c:04d}_{i:02d}.png"
            for alphabet in alphabets
            for c in (1, 2)
            for i in range(1, 9)
        ]
        if packed:
            with zipfile.ZipFile(root / f"{part}.zip", "w") as archive:
                for member in members:
                    archive.writestr(member, picture)
        else:
            for member in members:
                write(root / member, picture)
    return root
