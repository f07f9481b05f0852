"""How many rows each class keeps: the arithmetic of an injected imbalance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError

__all__ = ["Profile", "Shortage", "Wanted", "depths", "tail_counts"]

Profile = Literal["exp", "step"]
Shortage = Literal["shrink", "keep", "error"]
Counts = NDArray[np.intp]


@dataclass(frozen=True)
class Wanted:
    """What was asked for: ``depth`` (n_classes,) in [0, 1], ratio and the rules of a shortage.

    Class k wants ``n_max * ratio ** -depth[k]`` rows, rounded, at least ``min_rows``.
    """

    depth: NDArray[np.float64]
    ratio: float
    min_rows: int
    shortage: Shortage
    n_max: int | None
    where: str

    def quota(self, n_max: float) -> Counts:
        """Return the rows that every class wants where the largest has ``n_max``."""
        return np.maximum(self.rounded(n_max), self.min_rows)

    def rounded(self, n_max: float) -> Counts:
        """Return the same before ``min_rows`` is granted; halves round up."""
        return np.floor(n_max * self.ratio**-self.depth + 0.5).astype(np.intp)


def depths(n_classes: int, profile: Profile, head_share: float) -> NDArray[np.float64]:
    """Return where each class lies between the most (0) and the least frequent (1)."""
    if n_classes == 1:
        return np.zeros(1)
    if profile == "exp":
        return np.arange(n_classes) / (n_classes - 1)
    n_head = min(max(int(np.floor(head_share * n_classes + 0.5)), 1), n_classes - 1)
    return (np.arange(n_classes) >= n_head).astype(np.float64)


def tail_counts(have: Counts, wanted: Wanted, names: Sequence[str]) -> tuple[Counts, bool]:
    """Return the rows to keep of each class, and whether these are the asked ratio's.

    ``have`` (n_classes,) and ``names`` follow the order from most to least frequent.

    Raises
    ------
    InvalidInputError
        If the classes lack the rows and ``wanted.shortage`` does not say what then.
    """
    if wanted.shortage != "keep" and not have.all():
        absent = [name for name, n in zip(names, have, strict=True) if n == 0]
        raise InvalidInputError(
            f"`dataset` passed to `{wanted.where}` must have rows of every class, but "
            f"{_listed(absent)} has none to keep. Drop it from the classes, or pass "
            "shortage='keep'."
        )
    if wanted.shortage == "shrink" and wanted.n_max is None:
        return _largest_that_fits(have, wanted)
    n_max = int(have[0] if wanted.shortage == "error" else have.max())
    n_max = wanted.n_max or n_max
    quota = wanted.quota(n_max)
    if wanted.shortage != "keep" and (quota > have).any():
        _raise_short(have, quota, wanted, names)
    kept = np.minimum(quota, have)
    return kept, bool((kept == wanted.rounded(n_max)).all())


def _largest_that_fits(have: Counts, wanted: Wanted) -> tuple[Counts, bool]:
    """Shrink all classes together until each can give its share.

    First over whole numbers m of rows of the rarest class, with ``n_max = m * ratio``: then
    largest / smallest IS the ratio. Where not even ``min_rows`` of it can be met that way,
    the largest ``n_max`` whose quotas all fit, and the ratio is missed.
    """
    top = int(have[wanted.depth == 1.0].min(initial=have.min()))
    m = _last_true(lambda m: bool((wanted.quota(m * wanted.ratio) <= have).all()), top)
    if m >= wanted.min_rows:
        return wanted.quota(m * wanted.ratio), True
    n_max = _last_true(lambda n: bool((wanted.quota(n) <= have).all()), int(have.max()))
    if n_max == 0:
        # some class has fewer than `min_rows`: it gives all that it has
        return np.minimum(wanted.quota(int(have.max())), have), False
    return wanted.quota(n_max), False


def _last_true(holds: object, top: int) -> int:
    """Return the largest n in 0..top that ``holds``, which falls from true to false."""
    assert callable(holds)
    low, high = 0, top
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _raise_short(have: Counts, quota: Counts, wanted: Wanted, names: Sequence[str]) -> None:
    short = [f"{name} ({n} of {q})" for name, n, q in zip(names, have, quota, strict=True) if q > n]
    cure = "n_max=None" if wanted.n_max is not None else "shortage='shrink'"
    raise InvalidInputError(
        f"`dataset` passed to `{wanted.where}` has too few rows of {_listed(short)} for "
        f"ratio={wanted.ratio:g} with {int(quota[0])} rows in the largest class. Pass {cure} to "
        "take fewer rows of every class, or shortage='keep' to keep what there is."
    )


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
