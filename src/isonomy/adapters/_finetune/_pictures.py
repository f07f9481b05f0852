"""Pictures that do not open: found before the training, listed, left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from isonomy.adapters._finetune._options import WHERE
from isonomy.adapters._finetune._rows import LabelledRows, some_of
from isonomy.adapters._image_processing import UnreadableImage, said
from isonomy.errors import UnreadableImageError
from isonomy.hidden_states._collect._images import UNREADABLE, open_picture

__all__ = ["without_unreadable"]

Progress = Callable[[str, int, int], None]

_BLOCK = 64


def without_unreadable(
    rows: LabelledRows, *, max_bad_share: float, progress: Progress
) -> LabelledRows:
    """Open every picture once; leave out those that do not open, up to a share of all.

    Raises
    ------
    UnreadableImageError
        If more than ``max_bad_share`` do not open, or all of a class; the first are named.
    """
    n = len(rows)
    blocks = [range(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)]
    results = Parallel(n_jobs=min(8, os.cpu_count() or 1), prefer="threads", return_as="generator")(
        delayed(_bad_among)(rows, block) for block in blocks
    )
    bad: list[tuple[int, UnreadableImage]] = []
    for block, found in zip(blocks, results, strict=True):
        bad += found
        progress("opening the pictures", block[-1] + 1, n)
    if not bad:
        return rows
    listed = [f"{b.path} ({b.reason})" for _, b in bad]
    sentence = f"{len(bad)} of the {n} pictures passed to `{WHERE}` do not open"
    if len(bad) > max_bad_share * n:
        raise UnreadableImageError(
            f"{sentence}, more than the share of {max_bad_share:g} that may be left out "
            f"(`max_bad_share`, --max-bad-share): {some_of(listed, 3)}."
        )
    kept = np.setdiff1d(np.arange(n), [i for i, _ in bad])
    found_rows = rows.select(kept, unreadable=tuple(b for _, b in bad))
    lost = np.setdiff1d(rows.labels, found_rows.labels)
    if len(lost):
        raise UnreadableImageError(
            f"{sentence}, among them all of the class {rows.classes[lost[0]]!r}: "
            f"{some_of(listed, 3)}. Fetch them again."
        )
    return found_rows


def _bad_among(rows: LabelledRows, block: range) -> list[tuple[int, UnreadableImage]]:
    bad = []
    for i in block:
        try:
            open_picture(rows.inputs[i], where=WHERE)
        except UNREADABLE as error:
            bad.append((i, _record(rows.inputs[i], rows.number(i), said(error))))
    return bad


def _record(value: Any, row: int, reason: str) -> UnreadableImage:
    """Return the record without the place of the folder: a report travels."""
    if not isinstance(value, str):
        return UnreadableImage(row, f"row {row}", reason)
    name = Path(value).name
    return UnreadableImage(row, f"row {row}, {name}", reason.replace(value, name))
