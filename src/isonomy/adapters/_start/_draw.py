"""Read a loader once and keep a few rows of every class, whatever its batches."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError

__all__ = ["Draw", "Progress", "Row", "draw_rows", "rows_per_class"]

Progress = Callable[[str, int, int | None], Any]
Row = dict[str, torch.Tensor]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Draw:
    """The rows that were kept, by class and then in the order of the loader.

    Attributes
    ----------
    rows : list of dict of tensors
        One row each, without padding.
    labels : (n,) int
    rank : (n,) int
        Place within the class's draw: the rows of rank below m are a draw of m rows.
    n_read : (K,) int
        Rows of each class in the loader.
    batch_size : int
        The largest batch that was read.
    """

    rows: list[Row]
    labels: Codes
    rank: Codes
    n_read: Codes
    batch_size: int


def rows_per_class(counts: NDArray[np.float64], n_per_class: int, max_rows: int | None) -> int:
    """Return the largest n up to ``n_per_class`` of which all classes together fit ``max_rows``.

    Classes with fewer rows than n give what they have. At least 2 (or ``n_per_class``): one
    row says nothing about the spread within its class.
    """
    least = min(2, n_per_class)
    if max_rows is None:
        return n_per_class
    return next(
        (
            n
            for n in range(n_per_class, least, -1)
            if float(np.minimum(counts, n).sum()) <= max_rows
        ),
        least,
    )


def draw_rows(
    dataloader: Iterable[Any],
    n_classes: int,
    n_per_class: int,
    *,
    main_input: str,
    accepted: frozenset[str],
    random_state: int,
    progress: Progress | None,
    where: str,
) -> Draw:
    """Return at most ``n_per_class`` rows of every class, each row as likely as any other.

    Every row gets a random key from its class's own stream, and those with the smallest keys
    stay: what is kept depends on the order of the rows and not on how they are batched, and
    a smaller draw is part of a larger one.

    Parameters
    ----------
    dataloader : iterable of batches
        Dicts with "labels", or (inputs, labels) pairs.
    n_classes, n_per_class : int
    main_input : str
        What the model calls its inputs where a batch gives a bare tensor.
    accepted : frozenset of str
        Names that the model takes; others (a group column) are left out.
    random_state : int
    progress : callable, optional
    where : str
        The caller, for messages.

    Raises
    ------
    InvalidInputError
        If the loader is empty, or a batch has no labels or labels that are no codes.
    """
    streams = [np.random.default_rng([random_state, k]) for k in range(n_classes)]
    heaps: list[list[tuple[float, int, Row]]] = [[] for _ in range(n_classes)]
    n_read = np.zeros(n_classes, dtype=np.intp)
    largest = n_done = 0
    for batch in dataloader:
        inputs, labels = _parts(batch, main_input, accepted, n_classes, where)
        for i, k in enumerate(labels):
            key = float(streams[k].random())
            if len(heaps[k]) < n_per_class or -key > heaps[k][0][0]:
                # the largest key on top: it is the first to go
                item = (-key, n_done + i, _row(inputs, i, where))
                push = heapq.heappush if len(heaps[k]) < n_per_class else heapq.heapreplace
                push(heaps[k], item)
        n_read += np.bincount(labels, minlength=n_classes)
        n_done += len(labels)
        largest = max(largest, len(labels))
        if progress is not None:
            progress("reading rows", n_done, None)
    if n_done == 0:
        raise InvalidInputError(
            f"`dataloader` passed to `{where}` must yield batches, got none. An iterator that "
            "was read before is empty: pass the loader itself."
        )
    return _sorted(heaps, n_read, largest)


def _sorted(heaps: Sequence[list[tuple[float, int, Row]]], n_read: Codes, largest: int) -> Draw:
    rows, labels, rank = [], [], []
    for k, heap in enumerate(heaps):
        by_key = {item[1]: j for j, item in enumerate(sorted(heap, reverse=True, key=_key))}
        for _, place, row in sorted(heap, key=lambda item: item[1]):
            rows.append(row)
            labels.append(k)
            rank.append(by_key[place])
    codes, ranks = np.array(labels, dtype=np.intp), np.array(rank, dtype=np.intp)
    return Draw(rows, codes, ranks, n_read, largest)


def _key(item: tuple[float, int, Row]) -> tuple[float, int]:
    return item[0], -item[1]


def _parts(
    batch: Any, main_input: str, accepted: frozenset[str], n_classes: int, where: str
) -> tuple[Row, Codes]:
    if isinstance(batch, Mapping):
        if "labels" not in batch:
            raise InvalidInputError(
                f'`dataloader` passed to `{where}` must yield batches with "labels", got the '
                f"keys {sorted(map(str, batch))}. Rename the column, or yield (inputs, labels) "
                "pairs."
            )
        inputs, labels = {k: v for k, v in batch.items() if k != "labels"}, batch["labels"]
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, labels = batch
    else:
        raise InvalidInputError(
            f'`dataloader` passed to `{where}` must yield dicts with "labels" or (inputs, '
            f"labels) pairs, got {type(batch).__name__}."
        )
    codes = _codes(labels, n_classes, where)
    if not isinstance(inputs, Mapping):
        inputs = {main_input: inputs}
    kept = {
        str(name): value
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor) and name in accepted
    }
    wrong = {name: tuple(v.shape) for name, v in kept.items() if v.shape[:1] != (len(codes),)}
    if wrong or not kept:
        raise InvalidInputError(
            f"`dataloader` passed to `{where}` must yield tensors with one row for each of the "
            f"{len(codes)} labels, under names that the model takes ({sorted(accepted)}), got "
            f"{wrong or sorted(map(str, inputs))}."
        )
    return kept, codes


def _codes(labels: Any, n_classes: int, where: str) -> Codes:
    found = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise InvalidInputError(
            f"The labels that `dataloader` yields to `{where}` must be one whole number a row, "
            f"got shape {found.shape} of {found.dtype}. Several labels a row, or tokens as "
            "labels, are not supported here."
        )
    if len(found) and not 0 <= found.min() <= found.max() < n_classes:
        raise InvalidInputError(
            f"The labels that `dataloader` yields to `{where}` must be codes 0 to "
            f"{n_classes - 1} as `class_counts` has {n_classes} classes, got {found.min()} to "
            f"{found.max()}."
        )
    return found.astype(np.intp)


def _row(inputs: Row, i: int, where: str) -> Row:
    """Return a copy of one row, from its first real token to its last."""
    mask = inputs.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return {name: value[i].detach().clone() for name, value in inputs.items()}
    if not bool(mask[i].any()):
        raise InvalidInputError(
            f"Every row that `dataloader` yields to `{where}` must have a real token, got one "
            "whose attention mask is all 0. Drop empty texts first."
        )
    real = mask[i].nonzero()
    # on the left too: models that count positions would read a row by its batch's padding
    start, end = int(real[0]), int(real[-1]) + 1
    return {
        name: (value[i, start:end] if _follows(value, mask) else value[i]).detach().clone()
        for name, value in inputs.items()
    }


def _follows(value: torch.Tensor, mask: torch.Tensor) -> bool:
    """Whether the second dimension counts tokens."""
    return value.ndim == 2 and value.shape == mask.shape
