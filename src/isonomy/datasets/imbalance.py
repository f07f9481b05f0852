"""Thin the classes of a data set to a long tail of exactly the asked ratio."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_count, check_random_state, check_real
from isonomy.datasets._rows_of import rows_of
from isonomy.datasets._tail_counts import Profile, Shortage, Wanted, depths, tail_counts
from isonomy.datasets._training_rows import (
    VALIDATION,
    class_codes,
    rows_of_split,
    training_rows,
)
from isonomy.errors import InvalidInputError, RatioNotReachedWarning

__all__ = ["count_classes", "long_tail"]

Order = Literal["count", "random"] | Sequence[Any]


def long_tail(
    dataset: Any,
    ratio: float,
    *,
    profile: Profile = "exp",
    label: str = "label",
    split: str | None = "split",
    keep_test: bool = True,
    min_rows: int = 1,
    order: Order = "count",
    head_share: float = 0.5,
    n_max: int | None = None,
    shortage: Shortage = "shrink",
    random_state: int | np.random.RandomState | None = None,
) -> Any:
    """Return the data set with an injected imbalance: a long tail of classes.

    Parameters
    ----------
    dataset : Bunch, dict of columns, data frame, ImageIndex, datasets.Dataset, dict or tuple
        What to thin. A frame is of pandas, polars or pyarrow. A dict of frames or of data
        sets (a ``DatasetDict``) has its splits as keys. A tuple is ``(X, y)`` or
        ``(X, y, sensitive_features)`` and has no splits.
    ratio : float
        Rows of the most frequent class over rows of the rarest, at least 1.
    profile : {"exp", "step"}
        How the classes fall off in between; see Notes.
    label : str
        Column of the classes: names or codes, one a row.
    split : str or None
        Column of the splits. Without such a column, or with None, all rows are training
        rows.
    keep_test : bool
        If true, only rows of "train" are thinned. If false, rows of "validation" (or "val",
        "valid", "dev") are thinned to the same profile too. A test split, or one of any
        other name, is never thinned.
    min_rows : int
        Every class keeps at least as many training rows.
    order : {"count", "random"} or sequence of classes
        Which class is how frequent: as in the training rows (equal counts by name), drawn,
        or all classes from the most to the least frequent.
    head_share : float in (0, 1)
        For "step": the share of classes that are frequent.
    n_max : int, optional
        Rows of the largest class. Default: as many as ``shortage`` leaves. Give it where
        several ratios are to be compared: the rows kept at a larger ratio are then some of
        those kept at a smaller one.
    shortage : {"shrink", "keep", "error"}
        What where a class has fewer rows than its share. "shrink": all classes shrink
        together. "keep": it keeps what it has. "error": raise.
    random_state : int, RandomState or None
        Draws the rows that stay (and ``order="random"``). An integer gives the same rows
        every time.

    Returns
    -------
    object
        Of the same kind as ``dataset``; rows that stay keep their order.

    Raises
    ------
    InvalidInputError
        If an argument is unusable, a class has no training rows, or there are too few
        rows and ``shortage`` (or a given ``n_max``) does not allow for it.

    Warns
    -----
    RatioNotReachedWarning
        If the ratio is missed for want of rows; the message says what it is instead.

    Notes
    -----
    With K classes in the order k = 0, ..., K - 1, class k keeps::

        exp    n_k = round(n_max ratio^(-k / (K - 1)))
        step   n_k = n_max for the first round(head_share K), else round(n_max / ratio)

    rows (halves round up), as Cui et al. (2019, "Class-balanced loss") and Cao et al.
    (2019, "LDAM") thin their images. Where ``n_max`` is not given and ``shortage`` is
    "shrink", the rarest class keeps the largest whole number m of rows for which every
    class has its share of ``n_max = m ratio``: for a whole ratio, largest / rarest is then
    the ratio exactly. What it does not promise: that a class is easy or hard because of
    its place; with ``order="count"`` frequency keeps what it had to do with difficulty.

    Examples
    --------
    >>> y = np.repeat(["crow", "kite", "wren"], 100)
    >>> _, kept = long_tail((np.arange(300), y), 4, random_state=0)
    >>> np.unique(kept, return_counts=True)[1].tolist()
    [100, 50, 25]
    """
    where = "long_tail"
    check_real("ratio", ratio, where=where, low=1.0, high=1e9)
    check_choice("profile", profile, ("exp", "step"), where=where)
    check_choice("keep_test", keep_test, (True, False), where=where)
    check_count("min_rows", min_rows, where=where)
    _check_head_share(head_share, where)
    check_choice("shortage", shortage, ("shrink", "keep", "error"), where=where)
    if n_max is not None:
        check_count("n_max", n_max, where=where)
    rng = check_random_state(random_state)
    rows = rows_of(dataset, label=label, split=split, where=where)
    codes, names = class_codes(rows, where)
    train = training_rows(rows, where)
    ranked = _ranked(order, codes[train], names, rng, where)
    if len(names) == 1 and ratio > 1:
        raise InvalidInputError(
            f"`dataset` passed to `{where}` must have at least two classes for a ratio of "
            f"{ratio:g}, got only {names[0]!r}."
        )
    depth = depths(len(names), profile, head_share)
    wanted = Wanted(depth, float(ratio), min_rows, shortage, n_max, where)
    keep = np.ones(len(codes), dtype=bool)
    keep[train] = _kept(codes[train], ranked, wanted, names, "training", rng)
    if not keep_test:
        validation = rows_of_split(rows, VALIDATION)
        if validation.any():
            own = Wanted(depth, float(ratio), min_rows, shortage, None, where)
            keep[validation] = _kept(codes[validation], ranked, own, names, "validation", rng)
    return rows.take(np.flatnonzero(keep))


def count_classes(
    dataset: Any, *, label: str = "label", split: str | None = "split"
) -> dict[str, int]:
    """Count the training rows of each class, in the order of the codes.

    Parameters
    ----------
    dataset : object
        Of any kind that `long_tail` takes.
    label : str
        Column of the classes.
    split : str or None
        Column of the splits; without it all rows are training rows.

    Returns
    -------
    dict
        ``{class name: number of rows}``; a class that the data names but does not have
        counts 0.

    Raises
    ------
    InvalidInputError
        If there is no such column, or a label outside the class list.

    Examples
    --------
    >>> count_classes({"label": ["b", "a", "b"], "split": ["train", "train", "test"]})
    {'a': 1, 'b': 1}
    """
    where = "count_classes"
    rows = rows_of(dataset, label=label, split=split, where=where)
    codes, names = class_codes(rows, where)
    counts = np.bincount(codes[training_rows(rows, where)], minlength=len(names))
    return {name: int(n) for name, n in zip(names, counts, strict=True)}


def _check_head_share(head_share: float, where: str) -> None:
    if not 0.0 < check_real("head_share", head_share, where=where) < 1.0:
        raise InvalidInputError(
            f"`head_share` of `{where}` must lie between 0 and 1, both excluded, got "
            f"{head_share!r}."
        )


def _ranked(
    order: Order,
    codes: NDArray[np.intp],
    names: Sequence[str],
    rng: np.random.RandomState,
    where: str,
) -> NDArray[np.intp]:
    """Return the codes of the classes from the most to the least frequent."""
    counts = np.bincount(codes, minlength=len(names))
    drawn = rng.permutation(len(names))  # drawn in every case: the rows that stay are the same
    if isinstance(order, str):
        check_choice("order", order, ("count", "random"), where=where)
        return drawn if order == "random" else np.argsort(-counts, kind="stable")
    asked = [str(name) for name in order]
    if sorted(asked) != sorted(names):
        wrong = sorted(set(asked) ^ set(names)) or sorted({a for a in asked if asked.count(a) > 1})
        raise InvalidInputError(
            f"`order` of `{where}` must be 'count', 'random' or all {len(names)} classes, each "
            f"once, got {len(asked)}; wrong or missing: {', '.join(map(repr, wrong[:5]))}."
        )
    return np.array([names.index(name) for name in asked], dtype=np.intp)


def _kept(
    codes: NDArray[np.intp],
    ranked: NDArray[np.intp],
    wanted: Wanted,
    names: Sequence[str],
    part: str,
    rng: np.random.RandomState,
) -> NDArray[np.bool_]:
    """Return which rows stay; the rows of each class leave in one drawn order."""
    have = np.bincount(codes, minlength=len(names))[ranked]
    counts, exact = tail_counts(have, wanted, [names[code] for code in ranked])
    if not exact:
        warnings.warn(_missed(counts, wanted, part), RatioNotReachedWarning, stacklevel=3)
    n_kept = np.zeros(len(names), dtype=np.intp)
    n_kept[ranked] = counts
    keep = np.zeros(len(codes), dtype=bool)
    for code in range(len(names)):
        mine = np.flatnonzero(codes == code)
        keep[rng.permutation(mine)[: n_kept[code]]] = True
    return keep


def _missed(counts: NDArray[np.intp], wanted: Wanted, part: str) -> str:
    smallest = int(counts.min())
    reached = f"{counts.max() / smallest:g}" if smallest else "infinite"
    return (
        f"`{wanted.where}` could not keep to ratio={wanted.ratio:g} for want of {part} rows: the "
        f"largest class keeps {int(counts.max())} rows and the smallest {smallest}, a ratio of "
        f"{reached}. Ask for a smaller ratio, or lower `min_rows`."
    )
