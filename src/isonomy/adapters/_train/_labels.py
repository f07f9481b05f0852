"""Read the label and group codes of a data set without building its inputs, and check them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError

__all__ = ["IGNORED", "LABEL_NAMES", "check_codes", "check_label_codes", "read_codes"]

WHERE = "BiasAwareTrainer"
LABEL_NAMES = ("labels", "label", "label_ids")
"""What a data set may call its labels; collators make ``labels`` of all three."""

IGNORED = -100
"""The label of a row that has none, as everywhere in PyTorch."""


def read_codes(dataset: Any, names: Sequence[str]) -> NDArray[Any] | None:
    """Return the column that bears one of ``names``, one entry a row; None if there is none.

    Looked for, in this order: a column of a ``datasets.Dataset``; an attribute with one entry
    a row, or the attributes of the data sets behind ``Subset`` and ``ConcatDataset``; the
    rows themselves, which must then be mappings. A stream has no codes that could be read.
    """
    if not isinstance(dataset, Sized) or not hasattr(dataset, "__getitem__"):
        return None
    if hasattr(dataset, "column_names") and hasattr(dataset, "with_format"):
        found = [name for name in names if name in dataset.column_names]
        return np.asarray(dataset.with_format("numpy")[found[0]][:]) if found else None
    for name in names:
        values = getattr(dataset, name, None)
        if isinstance(values, Sized) and len(values) == len(dataset):
            return np.asarray(values)
    return _of_parts(dataset, names)


def _of_parts(dataset: Any, names: Sequence[str]) -> NDArray[Any] | None:
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # torch's Subset
        whole = read_codes(dataset.dataset, names)
        return None if whole is None else whole[np.asarray(dataset.indices, dtype=np.intp)]
    if hasattr(dataset, "datasets"):  # torch's ConcatDataset
        parts = [read_codes(part, names) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    return _of_rows(dataset, names)


def _of_rows(dataset: Any, names: Sequence[str]) -> NDArray[Any] | None:
    first: Any = dataset[0] if len(dataset) else None
    if not isinstance(first, Mapping):  # tokenizers return a mapping of their own, a UserDict
        return None
    found = [name for name in names if name in first]
    if not found:
        return None
    rows: Iterable[Any] = (dataset[i] for i in range(len(dataset)))
    return np.asarray([np.asarray(row[found[0]]) for row in rows])


def check_codes(
    codes: NDArray[Any], n_codes: int | None, *, unknown: int, name: str, of: str
) -> NDArray[np.int64]:
    """Return integer codes (n,) from 0 to ``n_codes`` - 1 or ``unknown``, or name a wrong row."""
    if codes.ndim != 1 or codes.dtype.kind not in "iu":
        example = codes.reshape(-1)[:1].tolist()
        raise InvalidInputError(
            f"`{name}` in `{of}` passed to `{WHERE}` must be one integer code a row, got "
            f"{codes.dtype} of shape {codes.shape}{f' such as {example[0]!r}' if example else ''}. "
            "Encode them by their position in the list of names."
        )
    outside = (codes < 0) | (codes >= (np.inf if n_codes is None else n_codes))
    outside &= codes != unknown
    if outside.any():
        row = int(np.argmax(outside))
        among = "at least 0" if n_codes is None else f"codes from 0 to {n_codes - 1}"
        raise InvalidInputError(
            f"`{name}` in `{of}` passed to `{WHERE}` must be {among}, got {codes[row]} in row "
            f"{row} ({int(outside.sum())} of {len(codes)} rows are outside). Encode them by "
            "their position in the list of names; the head of the model must have that size."
        )
    return codes.astype(np.int64)


def check_label_codes(labels: NDArray[Any], n_classes: int, *, multi_label: bool, of: str) -> None:
    """Raise unless labels are codes (n,), or with ``multi_label`` 0 and 1 of shape (n, K)."""
    if not multi_label:
        check_codes(labels, n_classes, unknown=IGNORED, name="labels", of=of)
        return
    if labels.ndim != 2 or labels.shape[1] != n_classes or labels.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"`labels` in `{of}` passed to `{WHERE}` must be numbers of shape (n, {n_classes}) "
            f"for a multi-label objective, got {labels.dtype} of shape {labels.shape}. Encode "
            "each row as one 0 or 1 for every class."
        )
    outside = ~(np.isin(labels, (0, 1)) | (labels == IGNORED)).all(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidInputError(
            f"`labels` in `{of}` passed to `{WHERE}` must be 0 or 1 for every class, got "
            f"{labels[row].tolist()} in row {row}. Encode each row as one 0 or 1 for every class."
        )
