"""How many rows it takes to see a gap, or to show that there is none of that size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from isonomy._validation import check_choice, check_count, check_real
from isonomy.errors import InvalidInputError
from isonomy.metrics._verdict_odds import bound_holds, bound_shows, fisher_shows

__all__ = ["RowsNeeded", "TestMethod", "rows_needed"]

TestMethod = Literal["exact", "arcsine", "bounds"]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_WHERE = "rows_needed"
_MAX_ROWS = 10**8
_MAX_FISHER = 200_000
"""Rows a cell beyond which Fisher's test takes seconds a size, and arcsine is as good."""

_STEPS = 60
"""Sizes tried beyond a first success: exact probabilities are saw-toothed."""


@dataclass(frozen=True, eq=False)
class RowsNeeded:
    """Rows that show a gap of this size, and rows that show there is none.

    Attributes
    ----------
    gap, confidence, power : float
        What was asked for.
    method : str
        Of the test that tells the gap from none.
    rates : (K,) array
        True rate of every class, about which the gap was laid.
    n_rates : int
        K classes times G groups: what simultaneous bounds are taken over.
    cells_to_detect : (K, G) array
        Rows in every (label, group) cell to tell a gap of this size from none.
    cells_to_bound : (K, G) array
        Rows in every cell to bound all gaps below this size where all are 0.
    power_to_detect, power_to_bound : float
        What is reached with these rows; at least ``power``.
    """

    gap: float
    confidence: float
    power: float
    method: TestMethod
    rates: Floats
    n_rates: int
    cells_to_detect: Integers
    cells_to_bound: Integers
    power_to_detect: float
    power_to_bound: float

    @property
    def to_detect(self) -> int:
        """Rows in all cells together to tell a gap of this size from none."""
        return int(self.cells_to_detect.sum())

    @property
    def to_bound(self) -> int:
        """Rows in all cells together to show that no gap is as large as this."""
        return int(self.cells_to_bound.sum())

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values for JSON."""
        return {
            "schema": 1,
            "kind": "rows-needed",
            "gap": self.gap,
            "confidence": self.confidence,
            "power": self.power,
            "method": self.method,
            "rates": self.rates.tolist(),
            "n_rates": self.n_rates,
            "to_detect": self.to_detect,
            "to_bound": self.to_bound,
            "cells_to_detect": self.cells_to_detect.tolist(),
            "cells_to_bound": self.cells_to_bound.tolist(),
            "power_to_detect": self.power_to_detect,
            "power_to_bound": self.power_to_bound,
        }

    def __str__(self) -> str:
        k, g = self.cells_to_bound.shape
        over = f"{k} class(es) and {g} groups"
        return (
            f"To tell a gap of {self.gap:g} in a class from none: {self.to_detect} rows in all, "
            f"{_span(self.cells_to_detect)} in a (label, group) cell.\n"
            f"To show that no gap reaches {self.gap:g} where all are 0: {self.to_bound} rows in "
            f"all, {_span(self.cells_to_bound)} in a cell.\n"
            f"Each with {100 * self.confidence:.12g}% confidence over {over} and a chance of "
            f"{100 * self.power:.12g}% to succeed."
        )


def rows_needed(
    gap: float,
    confidence: float = 0.95,
    *,
    power: float = 0.9,
    rate: float | ArrayLike = 0.5,
    share: float | ArrayLike | None = None,
    n_classes: int | None = None,
    method: TestMethod = "exact",
) -> RowsNeeded:
    """Compute how many rows it takes to see a gap of a size, or to rule it out.

    Parameters
    ----------
    gap : float
        Size of the gap between two groups' rates, in (0, 1].
    confidence : float
        In (0, 1), for all classes and groups at once.
    power : float
        In (0, 1): probability of success with that many rows.
    rate : number or (K,)
        True rate of every class. To detect a gap the two groups' rates are laid
        symmetrically about it, moved where they would leave [0, 1]; rates near 1/2 need
        the most rows.
    share : None, number, (G,) or (K, G)
        How rows fall into cells: all alike; this share of every class in the first of two
        groups; shares of the groups in every class; or of the cells in all rows. Need not
        sum to 1.
    n_classes : int, optional
        K; by default what ``rate`` or ``share`` imply, else 1.
    method : "exact", "arcsine" or "bounds"
        How a gap is told from none: Fisher's exact test, its size split over classes and
        pairs of groups; the arcsine approximation of a test of two proportions; or by
        bounds of ``simultaneous_gap_bounds`` that exclude 0.

    Returns
    -------
    RowsNeeded
        ``.to_detect`` and ``.to_bound`` rows in all, and per (label, group) cell.

    Raises
    ------
    InvalidInputError
        If an argument lies outside its range, shapes disagree, or more rows a cell are
        needed than 1e8 (200,000 for ``method="exact"``).

    Notes
    -----
    To detect: the least rows with which a gap of this size *in one class* is called a gap
    with probability at least ``power``, whichever class and pair of groups it is. With two
    rates p, q and n_0, n_1 rows the arcsine power is::

        Phi(|h| sqrt(n_0 n_1 / (n_0 + n_1)) - z),  h = 2 asin sqrt p - 2 asin sqrt q

    with z the normal quantile at 1 - alpha / 2, alpha = (1 - confidence) / (classes * pairs).
    To bound: the least rows with which, all true gaps being 0, *every* bound of
    ``simultaneous_gap_bounds`` lies below ``gap`` with probability at least ``power``:
    exact for two groups, by the union bound over pairs for more. Classes are taken to be
    independent, which true-positive rates are. Exact probabilities are saw-toothed: the
    number returned holds at sizes beyond it too, as far as 4 sqrt(n) rows, tried one by one
    up to about 150 rows a cell and 60 of them above. Rows drawn at random
    leave some cells a little short of their share.

    Examples
    --------
    >>> print(rows_needed(0.2, n_classes=2))
    To tell a gap of 0.2 in a class from none: 660 rows in all, 165 in a (label, group) cell.
    To show that no gap reaches 0.2 where all are 0: 1520 rows in all, 380 in a cell.
    Each with 95% confidence over 2 class(es) and 2 groups and a chance of 90% to succeed.
    """
    for name, value in (("gap", gap), ("confidence", confidence), ("power", power)):
        _check_share(name, value, closed=name == "gap")
    check_choice("method", method, get_args(TestMethod), where=_WHERE)
    rates, shares = _shapes(rate, share, n_classes)
    k, g = shares.shape
    pairs = list(combinations(range(g), 2))
    bound_level = (1 - confidence) / (k * g)
    shows = _test(method, bound_level, (1 - confidence) / (k * len(pairs)))
    sides = [_apart(float(r), gap) for r in rates]

    def detects(cells: Integers) -> float:
        return min(
            min(shows(_pair(cells[y], a, b), sides[y]), shows(_pair(cells[y], b, a), sides[y]))
            for y in range(k)
            for a, b in pairs
        )

    def bounds(cells: Integers) -> float:
        return _all_bounded(cells, rates, pairs, gap, bound_level)

    most = _MAX_FISHER if method == "exact" else _MAX_ROWS
    detect, reached = _least_rows(detects, shares, power, most)
    bound, bounded = _least_rows(bounds, shares, power, _MAX_ROWS)
    found = (detect, bound, reached, bounded)
    return RowsNeeded(float(gap), confidence, power, method, rates, k * g, *found)


def _test(
    method: TestMethod, bound_level: float, level: float
) -> Callable[[tuple[int, int], tuple[float, float]], float]:
    """Return the power of the test, remembered: most cells are alike."""

    def arcsine(n: tuple[int, int], rates: tuple[float, float]) -> float:
        h = 2 * np.arcsin(np.sqrt(rates[0])) - 2 * np.arcsin(np.sqrt(rates[1]))
        return float(ndtr(abs(h) * np.sqrt(n[0] / (n[0] + n[1]) * n[1]) - ndtri(1 - level / 2)))

    if method == "arcsine":
        return arcsine
    if method == "bounds":
        return cache(lambda n, rates: bound_shows(n, rates, bound_level))
    return cache(lambda n, rates: fisher_shows(n, rates, level))


def _all_bounded(
    cells: Integers, rates: Floats, pairs: list[tuple[int, int]], gap: float, level: float
) -> float:
    """Return the probability that the bounds of all classes and pairs lie below ``gap``."""
    one = cache(lambda n, rate: bound_holds(n, rate, gap, level))
    total = 1.0
    for y, rate in enumerate(rates):
        missed = sum(1.0 - one(_pair(cells[y], a, b), float(rate)) for a, b in pairs)
        total *= max(1.0 - missed, 0.0)
    return total


def _least_rows(
    probability: Callable[[Integers], float], shares: Floats, power: float, most: int
) -> tuple[Integers, float]:
    """Return the fewest rows (K, G) in these shares that reach ``power``, and what they reach."""

    def cells(rows: int) -> Integers:
        # the smallest cell has `rows`; a rounding of a whole number up must not add a row
        found: Integers = np.ceil(rows * (shares / shares.min()) * (1 - 1e-12)).astype(np.int64)
        return found

    high = 1
    while probability(cells(high)) < power:
        high *= 2
        if high > 2 * most:
            hint = ', or `method="arcsine"`' if most == _MAX_FISHER else ""
            raise InvalidInputError(
                f"`gap` of `{_WHERE}` must be large enough to be seen in {most} rows a cell. "
                f"Ask for a larger gap, or a lower confidence or power{hint}."
            )
    low = high // 2  # fails, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if probability(cells(middle)) >= power else (middle, high)
    reach = int(4 * np.sqrt(high)) + 10
    step = -(-reach // _STEPS)
    tried = range(high + reach - reach % step, high, -step)
    last_miss = next((m for m in tried if probability(cells(m)) < power), None)
    if last_miss is not None:
        high = last_miss + step
    return cells(high), probability(cells(high))


def _shapes(rate: Any, share: Any, n_classes: int | None) -> tuple[Floats, Floats]:
    """Return rates (K,) and shares (K, G) of matching shapes."""
    rates = np.atleast_1d(np.asarray(rate, dtype=np.float64))
    given = np.atleast_1d(np.asarray(0.5 if share is None else share, dtype=np.float64))
    if np.ndim(share if share is not None else 0.5) == 0:
        _check_share("share", float(given[0]))
        given = np.array([given[0], 1.0 - given[0]])
    sizes = {len(rates)} if np.ndim(rate) else set()
    sizes |= {len(given)} if given.ndim == 2 else set()
    sizes |= {check_count("n_classes", n_classes, where=_WHERE)} if n_classes is not None else set()
    if rates.ndim != 1 or given.ndim > 2 or len(sizes) > 1:
        raise InvalidInputError(
            f"`rate`, `share` and `n_classes` of `{_WHERE}` must speak of one number of classes, "
            f"got shapes {rates.shape} and {given.shape}, and n_classes={n_classes!r}."
        )
    if given.shape[-1] < 2 or not (np.isfinite(given).all() and (given > 0).all()):
        raise InvalidInputError(
            f"`share` of `{_WHERE}` must be positive shares of at least two groups, got {share!r}."
        )
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InvalidInputError(f"`rate` of `{_WHERE}` must lie in [0, 1], got {rate!r}.")
    k = sizes.pop() if sizes else 1
    shares = np.broadcast_to(given, (k, given.shape[-1]))
    return np.broadcast_to(rates, (k,)).copy(), shares / shares.sum()


def _apart(rate: float, gap: float) -> tuple[float, float]:
    """Return two rates ``gap`` apart, about ``rate`` where [0, 1] allows it."""
    low = min(max(rate - gap / 2, 0.0), 1.0 - gap)
    return low, min(low + gap, 1.0)


def _pair(cells: Integers, a: int, b: int) -> tuple[int, int]:
    return int(cells[a]), int(cells[b])


def _check_share(name: str, value: Any, *, closed: bool = False) -> None:
    number = check_real(name, value, where=_WHERE, low=0.0, high=1.0)
    if number == 0 or (number == 1 and not closed):
        raise InvalidInputError(
            f"`{name}` of `{_WHERE}` must lie in (0, 1{']' if closed else ')'}, got {value!r}."
        )


def _span(cells: Integers) -> str:
    low, high = int(cells.min()), int(cells.max())
    return str(low) if low == high else f"{low} to {high}"
