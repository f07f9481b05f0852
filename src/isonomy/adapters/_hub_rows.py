"""Pictures and labels out of the splits of a `datasets` data set; no picture is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._data_sources import HubImages
from isonomy.datasets.class_prompts import distinct_names
from isonomy.errors import InvalidInputError, MissingExtraError

__all__ = ["SPLITS", "as_splits", "datasets_library", "indexed"]

SPLITS = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train"}
_USUAL = ("train", "validation", "test")
_NO_TEST = frozenset({"ethz/food101", "food101"})
"""Sets that publish their test split under the name "validation"."""

_UNLABELLED = -1
_LABELS = ("label", "labels", "class", "fine_label", "target")


def datasets_library(where: str) -> Any:
    """Return the library `datasets`, or raise naming the extra."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`{where}` needs the extra 'llm'. Install it with: pip install 'isonomy[llm]'"
        ) from error
    return datasets


def as_splits(data: Any) -> dict[str, Any]:
    """Return the splits by name; a single data set is its own split, or training rows."""
    if isinstance(data, Mapping):
        return dict(data)
    return {str(data.split) if data.split is not None else "train": data}


def indexed(
    name: str,
    found: dict[str, Any],
    split: str | None,
    image: str | None,
    label: str | None,
    where: str,
) -> HubImages:
    """Return the pictures of all splits that are wanted, with labels as codes."""
    datasets = datasets_library(where)
    found = _renamed(name, found)
    wanted = SPLITS.get(split, split) if split is not None else None
    parts = {key: rows for key, rows in found.items() if key == wanted or key in _USUAL}
    parts = parts or found
    first = next(iter(parts.values()))
    image, label = _columns(first, image, label, where)
    kept = {
        key: rows.select_columns([image, label])
        .with_format(None)
        .cast_column(image, datasets.Image(decode=False))
        for key, rows in parts.items()
    }
    written = {key: list(rows[label]) for key, rows in kept.items()}
    if wanted in written:  # a test split without labels is no hindrance to training
        written = {k: v for k, v in written.items() if k == wanted or set(v) != {_UNLABELLED}}
        kept = {key: kept[key] for key in written}
    original = getattr(first.features[label], "names", None)
    codes, original = _codes([v for values in written.values() for v in values], original, where)
    return HubImages(
        name=name,
        rows=datasets.concatenate_datasets(list(kept.values())),
        image=image,
        labels=codes,
        split=np.repeat(list(kept), [len(values) for values in written.values()]),
        classes=distinct_names(original),
        original_classes=tuple(original),
    )


def _renamed(name: str, found: dict[str, Any]) -> dict[str, Any]:
    renamed = {SPLITS.get(key, key): rows for key, rows in found.items()}
    if name in _NO_TEST and "test" not in renamed and "validation" in renamed:
        renamed["test"] = renamed.pop("validation")
    return renamed


def _columns(rows: Any, image: str | None, label: str | None, where: str) -> tuple[str, str]:
    features = rows.features
    pictures = [key for key, kind in features.items() if type(kind).__name__ == "Image"]
    classes = [key for key, kind in features.items() if hasattr(kind, "str2int")]
    named = [key for key in _LABELS if key in features]
    guessed = classes if len(classes) == 1 else (named or classes)[:1]
    for argument, asked, options in (("image", image, pictures), ("label", label, guessed)):
        chosen = asked if asked is not None else (options[0] if len(options) == 1 else None)
        if chosen is None or chosen not in features:
            raise InvalidInputError(
                f"`{argument}` of `{where}` must name a column of the data set, got {asked!r}; it "
                f"has {', '.join(map(repr, features))}."
            )
    return image or pictures[0], label or guessed[0]


def _codes(
    values: Sequence[Any], names: Sequence[str] | None, where: str
) -> tuple[NDArray[np.intp], list[str]]:
    """Return codes into the names of the classes."""
    kinds = {type(value) for value in values}
    if not kinds <= {int, str} or len(kinds) != 1:
        raise InvalidInputError(
            f"`label` of `{where}` must hold whole numbers or names, one a row, got "
            f"{', '.join(sorted(kind.__name__ for kind in kinds)) or 'no rows'}."
        )
    if kinds == {str}:
        classes, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.intp), classes.tolist()
    codes = np.array(values, dtype=np.intp)
    known = [str(i) for i in range(int(codes.max()) + 1)] if names is None else list(names)
    if codes.min() < 0 or codes.max() >= len(known):
        outside = codes[(codes < 0) | (codes >= len(known))][0]
        raise InvalidInputError(
            f"`label` of `{where}` must hold codes from 0 to {len(known) - 1}, got {outside}. Drop "
            "the rows without a label, or pass `split` if it is another split that has none."
        )
    return codes, known
