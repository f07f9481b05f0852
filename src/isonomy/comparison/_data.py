"""What a result says about its data: sizes, names, cells, and a fingerprint; no row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isonomy._fingerprint import data_fingerprint
from isonomy._validation import check_labels, check_same_length
from isonomy.groups import encode_groups

__all__ = ["Split", "describe_data"]


@dataclass(frozen=True)
class Split:
    """Rows to fit on and rows to judge on."""

    X_train: Any
    y_train: Any
    groups_train: Any
    X_test: Any
    y_test: Any
    groups_test: Any


def describe_data(split: Split, *, min_cell: int, where: str) -> dict[str, Any]:
    """Return the part ``data`` of a comparison; counts under ``min_cell`` are None.

    Raises
    ------
    InvalidInputError
        If labels, groups and rows of a part differ in number, or values are missing.
    """
    counts: dict[str, dict[tuple[str, str], int]] = {}
    sizes: dict[str, int] = {}
    for part in ("train", "test"):
        y = getattr(split, f"y_{part}")
        labels = check_labels(y, where=where, name=f"y_{part}")
        n = sizes[part] = len(labels)
        check_same_length(
            f"X_{part}", _n_rows(getattr(split, f"X_{part}")), n, where=where, of=f"y_{part}"
        )
        groups = encode_groups(getattr(split, f"groups_{part}"), n_samples=n, where=where)
        names = [str(g) for g in groups.labels]
        counts[part] = {}
        for label, code in zip(labels.tolist(), groups.codes.tolist(), strict=True):
            cell = (str(label), names[code])
            counts[part][cell] = counts[part].get(cell, 0) + 1
    cells = sorted(counts["train"].keys() | counts["test"].keys())
    classes, groups_seen = sorted({c for c, _ in cells}), sorted({g for _, g in cells})
    return {
        "name": "",
        "n_train": sizes["train"],
        "n_test": sizes["test"],
        "n_features": _n_columns(split.X_train),
        "classes": classes,
        "groups": groups_seen,
        "cells": [
            {"class": c, "group": g}
            | {
                f"n_{part}": _withheld(counts[part].get((c, g), 0), min_cell)
                for part in ("train", "test")
            }
            for c in classes
            for g in groups_seen
        ],
        "fingerprint": data_fingerprint(split.X_train, split.y_train, split.X_test, split.y_test),
        "description": "",
    }


def _withheld(n: int, min_cell: int) -> int | None:
    return n if n >= min_cell else None


def _n_rows(X: Any) -> int:
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape else len(X)


def _n_columns(X: Any) -> int:
    shape = getattr(X, "shape", None)
    return int(shape[1] if shape is not None else np.asarray(X).shape[1])
