"""Images: characters of Omniglot and MNIST's digits, for a CLIP that is trained here.

The CLIP is trained from its configuration on half of Omniglot's alphabets, pictures against
captions; the long tails are of digits and of the characters of the other alphabets. Its image
tower with a classification head stands where the language model with its head stands for texts.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _adapters.data import Rows, Rule

__all__ = [
    "IMAGE_SETS", "PRETRAINED_ON", "load_image_rows", "read_omniglot", "vision_classifier",
]  # fmt: skip

IMAGE_SETS = {
    "digits": Rule(pooled=True, n_val=20, n_test=100, title="MNIST's digits"),
    "omniglot": Rule(pooled=True, n_val=3, n_test=6, title="Omniglot, alphabets held out"),
}
PRETRAINED_ON = ("Balinese", "Early Aramaic", "Greek", "Latin", "Tagalog")
SIDE = 28

Pixels = NDArray[np.float32]


@lru_cache(maxsize=2)
def load_image_rows(data: str, folder: str) -> tuple[Rows, tuple[str, ...], NDArray[Any]]:
    """Return all pictures of a set (n, 3, 28, 28), class names and splits."""
    if data == "digits":
        from isonomy.datasets import load_idx

        found = load_idx(folder)
        rows = Rows(as_pixels(np.asarray(found.image)), np.asarray(found.label, dtype=np.intp))
        return rows, tuple(f"digit {name}" for name in found.classes), np.asarray(found.split)
    pixels, y, names, alphabets = read_omniglot(folder)
    own = ~np.isin(alphabets[y], PRETRAINED_ON)
    kept = np.unique(y[own])
    code = np.full(len(names), -1)
    code[kept] = np.arange(len(kept))
    rows = Rows(pixels[own], code[y[own]].astype(np.intp))
    return rows, tuple(names[k] for k in kept), np.full(int(own.sum()), "train")


@lru_cache(maxsize=1)
def read_omniglot(
    folder: str,
) -> tuple[Pixels, NDArray[np.intp], tuple[str, ...], NDArray[np.str_]]:
    """Return pictures, codes, class names, and the alphabet of each class."""
    from isonomy.adapters import ImageData
    from isonomy.datasets import load_images

    root = Path(folder) / "omniglot_small"
    index = load_images("omniglot", root if root.is_dir() else folder)
    data = ImageData(index, _shrunk)
    grey = np.stack([data[i]["pixel_values"] for i in range(len(data))])
    names, coarse = tuple(data.classes), np.asarray(index.coarse)
    alphabets = np.empty(len(names), dtype="<U40")
    alphabets[data.labels] = [str(name) for name in coarse]
    return as_pixels(255 - grey), np.asarray(data.labels, dtype=np.intp), names, alphabets


def _shrunk(picture: Any) -> NDArray[np.uint8]:
    """Return grey pixels; strokes of one pixel must survive being shrunk."""
    from PIL import Image

    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    dark = 255.0 - np.asarray(grey, dtype=np.float32)
    return (255.0 - np.minimum(255.0, 2.0 * dark)).astype(np.uint8)


def as_pixels(grey: NDArray[np.uint8]) -> Pixels:
    """Return (n, 3, side, side) of about zero mean and unit size, light strokes on dark."""
    one = (grey.astype(np.float32) / 255 - 0.15) / 0.3
    return np.repeat(one[:, None], 3, axis=1)


def vision_classifier(folder: str, n_classes: int, *, seed: int) -> Any:
    """Return the image tower of the CLIP in ``folder`` with a new head."""
    import torch
    from transformers import CLIPForImageClassification

    torch.manual_seed(seed)
    model = CLIPForImageClassification.from_pretrained(
        folder, num_labels=n_classes, dtype=torch.float32
    )
    return model.eval()
