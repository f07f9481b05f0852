"""Intervals of rates, of gaps and of the largest difference.

Single rates: Wilson (``wilson_interval``) where coverage on average is wanted,
Clopper-Pearson (``clopper_pearson_interval``) where it is guaranteed. Gaps: resampled
counts. Drawing the counts of a cell from one binomial (or multinomial) is the same law as
resampling its rows, and does not touch the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from isonomy._validation import check_real
from isonomy.metrics._gap_statistics import (
    MIN_ROWS,
    CellRates,
    Pair,
    Weighting,
    class_weights,
    corrected_mean_square,
    mean_square,
    signed_root,
)

__all__ = [
    "GapInterval",
    "clopper_pearson_interval",
    "difference_band",
    "newcombe_interval",
    "rms_gap_interval",
    "wilson_interval",
]

Floats = NDArray[np.float64]
Draw = Callable[[int], Floats]

CHUNK_NUMBERS = 4_000_000
"""Numbers held at once while replicates are drawn: 32 MB."""


@dataclass(frozen=True)
class GapInterval:
    """A gap with its interval; all NaN where no class can be used.

    ``value`` is the plug-in, ``corrected`` the signed root of the corrected mean square
    (NaN for other statistics), ``low`` and ``high`` the bounds, ``pair`` the two groups.
    """

    value: float
    corrected: float
    low: float
    high: float
    pair: Pair


def wilson_interval(
    rate: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return Wilson's score interval of rates.

    Parameters
    ----------
    rate : array
        Observed rates in [0, 1]; NaN gives NaN.
    n : array
        Rows each rate comes from (effective rows when weighted), at least 0.
    confidence : float
        In (0, 1). Coverage is near it on average over rates, and for some rates below.

    Returns
    -------
    low, high : arrays
        In [0, 1].

    Notes
    -----
    With z the normal quantile at (1 + confidence) / 2::

        (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)

    Source: Wilson, Probable inference, the law of succession, and statistical inference
    (1927).

    Examples
    --------
    >>> low, high = wilson_interval(0.5, 10)
    >>> round(float(low), 4), round(float(high), 4)
    (0.2366, 0.7634)
    """
    check_real("confidence", confidence, where="wilson_interval", low=0, high=1)
    p, size = np.asarray(rate, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = special.ndtri((1 + confidence) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (p * size + z**2 / 2) / (size + z**2)
        half = z * np.sqrt(p * (1 - p) * size + z**2 / 4) / (size + z**2)
    low = np.where(p <= 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(p >= 1, 1.0, np.minimum(centre + half, 1.0))
    absent = np.isnan(p) | (size <= 0)
    return np.where(absent, np.nan, low), np.where(absent, np.nan, high)


def clopper_pearson_interval(
    rate: ArrayLike, n: ArrayLike, confidence: float = 0.95, *, n_rates: int = 1
) -> tuple[Floats, Floats]:
    """Return Clopper and Pearson's interval of rates, simultaneous over ``n_rates``.

    Parameters
    ----------
    rate : array
        Observed rates in [0, 1]; NaN gives NaN.
    n : array
        Rows each rate comes from (effective rows when weighted), at least 0.
    confidence : float
        In (0, 1); at least the probability that all ``n_rates`` intervals hold at once.
    n_rates : int
        How many rates are to hold at once, by the union bound: K classes and two groups
        are 2 K rates.

    Returns
    -------
    low, high : arrays
        In [0, 1].

    Notes
    -----
    With k = n rate and alpha = (1 - confidence) / n_rates, the bounds are the quantiles
    alpha/2 of Beta(k, n - k + 1) and 1 - alpha/2 of Beta(k + 1, n - k). Source: Clopper and
    Pearson, The use of confidence or fiducial limits (1934).

    Examples
    --------
    >>> low, high = clopper_pearson_interval(0.0, 10)
    >>> float(low), round(float(high), 4)
    (0.0, 0.3085)
    """
    check_real("confidence", confidence, where="clopper_pearson_interval", low=0, high=1)
    p, size = np.asarray(rate, dtype=np.float64), np.asarray(n, dtype=np.float64)
    k = np.clip(p * size, 0.0, size)
    tail = (1 - confidence) / (2 * n_rates)
    absent = np.isnan(p) | (size <= 0)
    with np.errstate(invalid="ignore"):
        low = np.where(k <= 0, 0.0, special.betaincinv(np.maximum(k, 1e-12), size - k + 1, tail))
        rest = np.maximum(size - k, 1e-12)
        high = np.where(size - k <= 0, 1.0, special.betaincinv(k + 1, rest, 1 - tail))
    return np.where(absent, np.nan, low), np.where(absent, np.nan, high)


def newcombe_interval(
    rate: ArrayLike,
    n: ArrayLike,
    rate_reference: ArrayLike,
    n_reference: ArrayLike,
    confidence: float = 0.95,
) -> tuple[Floats, Floats]:
    """Return Newcombe's hybrid score interval of ``rate - rate_reference``.

    Parameters
    ----------
    rate, rate_reference : arrays
        Observed rates in [0, 1]; NaN gives NaN.
    n, n_reference : arrays
        Rows (effective rows when weighted) behind them.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : arrays
        In [-1, 1].

    Notes
    -----
    With d the difference and (l, u) Wilson's bounds of each rate::

        d - sqrt((p - l)^2 + (u_r - p_r)^2),  d + sqrt((u - p)^2 + (p_r - l_r)^2)

    Source: Newcombe, Interval estimation for the difference between independent
    proportions (1998), method 10.

    Examples
    --------
    >>> low, high = newcombe_interval(56 / 70, 70, 48 / 80, 80)
    >>> round(float(low), 3), round(float(high), 3)
    (0.052, 0.334)
    """
    p, r = np.asarray(rate, dtype=np.float64), np.asarray(rate_reference, dtype=np.float64)
    low, high = wilson_interval(p, n, confidence)
    low_r, high_r = wilson_interval(r, n_reference, confidence)
    return (
        p - r - np.sqrt((p - low) ** 2 + (high_r - r) ** 2),
        p - r + np.sqrt((high - p) ** 2 + (r - low_r) ** 2),
    )


def rms_gap_interval(
    cells: CellRates,
    pairs: list[Pair],
    *,
    weighting: Weighting = "equal",
    n_boot: int = 10_000,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> GapInterval:
    """Return the rms gap in true-positive rate of the largest pair, with its interval.

    The rows of each (label, group) cell are resampled: the right predictions of a cell are
    one binomial draw. Resampling adds the sampling noise a second time, so percentiles of
    the resampled gap cover a true gap of 0 almost never. With T the corrected mean square,
    T* its replicates with quantiles q*, and S the mean square that the replicates are drawn
    from, T* - S has the law of T - truth, and::

        [ T - (q*_hi - S),  T - (q*_lo - S) ]

    then the root, cut at 0. Replicates are drawn from (k + 1/2) / (n + 1) instead of k / n:
    a cell without an error in five rows is not known to make none. An upper bound that
    falls below 0 is taken from T = 0 instead, so that it never claims exactness. Of several
    pairs, each interval is widened by the union bound, and the largest bounds are taken.

    Classes need two (effective) rows in both groups. Weighted cells are drawn with their
    effective size, rounded.
    """
    tail = (1 - confidence) / (2 * len(pairs))
    n = np.round(cells.n)
    smooth = (np.nan_to_num(cells.rates) * n + 0.5) / (n + 1)
    weights = [class_weights(cells, p, weighting, MIN_ROWS) for p in pairs]
    usable = [i for i, w in enumerate(weights) if w.any()]
    if not usable:
        nan = float("nan")
        return GapInterval(nan, nan, nan, nan, (-1, -1))
    draw = _binomial_draws(n, smooth, rng)
    replicates: list[list[Floats]] = [[] for _ in usable]
    for rates in _chunks(draw, n_boot, n.size):
        for kept, i in zip(replicates, usable, strict=True):
            kept.append(corrected_mean_square(rates, n, weights[i], pairs[i]))
    bounds = []
    for kept, i in zip(replicates, usable, strict=True):
        centre = float(mean_square(smooth, weights[i], pairs[i]))
        below, above = np.quantile(np.concatenate(kept), [tail, 1 - tail]) - centre
        t = float(corrected_mean_square(cells.rates, cells.n, weights[i], pairs[i]))
        high = t - below if t > below else -below
        plug_in = float(mean_square(cells.rates, weights[i], pairs[i]))
        bounds.append((t, plug_in, max(t - above, 0.0), max(high, 0.0), pairs[i]))
    top = max(bounds)
    return GapInterval(
        value=float(np.sqrt(top[1])),
        corrected=signed_root(top[0]),
        low=float(np.sqrt(max(b[2] for b in bounds))),
        high=min(1.0, float(np.sqrt(max(b[3] for b in bounds)))),
        pair=top[4],
    )


def difference_band(
    rates: Floats,
    n: Floats,
    draws: Callable[[int], Iterator[Floats]],
    pairs: list[Pair],
    *,
    n_boot: int = 10_000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return bounds of the largest difference max_j max_{a,b} |p_ja - p_jb|.

    ``rates`` and ``n`` are ``(n_rates, n_groups)``; ``draws(n_boot)`` yields chunks of
    resampled rates ``(..., n_rates, n_groups)``. With d_j the differences, s_j their
    standard errors and q the quantile of max_j |d*_j - d_j| / s_j over replicates, all
    |d_j| lie within q s_j of their estimates at once, hence the largest between
    max_j (|d_j| - q s_j) and max_j (|d_j| + q s_j). The standard errors use
    (k + 1) / (n + 2), so that a rate of 0 or 1 from few rows keeps an honest width.
    """
    defined = ~np.isnan(rates)
    smooth = (np.where(defined, rates, 0.0) * n + 1) / (n + 2)
    variance = smooth * (1 - smooth) / np.maximum(n, 1)
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    usable = defined[:, first] & defined[:, second]
    if not usable.any():
        return float("nan"), float("nan")
    observed = np.where(usable, np.nan_to_num(rates)[:, first] - np.nan_to_num(rates)[:, second], 0)
    error = np.sqrt(variance[:, first] + variance[:, second])
    scale = np.where(usable, 1 / error, 0.0)
    largest = [_largest_deviation(c, observed, scale, pairs) for c in draws(n_boot)]
    q = float(np.quantile(np.concatenate(largest), confidence))
    low = np.where(usable, np.abs(observed) - q * error, 0.0).max()
    high = np.where(usable, np.abs(observed) + q * error, 0.0).max()
    return max(float(low), 0.0), min(float(high), 1.0)


def _largest_deviation(drawn: Floats, observed: Floats, scale: Floats, pairs: list[Pair]) -> Floats:
    """Max over rates and pairs of |d* - d| / s, pair by pair to hold less at once."""
    top = np.zeros(len(drawn))
    for j, (a, b) in enumerate(pairs):
        deviation = np.abs(drawn[..., a] - drawn[..., b] - observed[:, j]) * scale[:, j]
        np.maximum(top, deviation.max(axis=-1), out=top)
    return top


def binomial_rates(
    n: Floats, rates: Floats, rng: np.random.Generator
) -> Callable[[int], Iterator[Floats]]:
    """Return a maker of chunks of rates, each drawn as Binomial(n, p) / n."""
    sizes = np.round(n)
    draw = _binomial_draws(sizes, np.nan_to_num(rates), rng)
    return lambda n_boot: _chunks(draw, n_boot, sizes.size)


def multinomial_rates(
    n: Floats, rates: Floats, rng: np.random.Generator
) -> Callable[[int], Iterator[Floats]]:
    """Return a maker of chunks of shares drawn from multinomials.

    ``rates`` is ``(n_draws, n_outcomes, n_groups)``: for every draw and group the shares of
    the outcomes, drawn together from ``n`` ``(n_draws, n_groups)`` rows; chunks are
    ``(size, n_draws * n_outcomes, n_groups)``.
    """
    sizes = np.round(n).astype(np.int64)
    shares = np.nan_to_num(rates)

    def draw(size: int) -> Floats:
        out = np.zeros((size, *shares.shape))
        for y, a in np.argwhere(sizes > 0):
            seen = np.flatnonzero(shares[y, :, a])  # impossible outcomes cost nothing
            p = shares[y, seen, a] / shares[y, seen, a].sum()
            out[:, y, seen, a] = rng.multinomial(sizes[y, a], p, size=size) / sizes[y, a]
        return out.reshape(size, -1, shares.shape[2])

    return lambda n_boot: _chunks(draw, n_boot, shares.size)


def _binomial_draws(n: Floats, rates: Floats, rng: np.random.Generator) -> Draw:
    """Draw cell by cell: NumPy reuses its set-up while n and p stay the same."""

    def draw(size: int) -> Floats:
        out = np.zeros((*n.shape, size))
        for cell in np.argwhere(n > 0):
            at = tuple(cell)
            out[at] = rng.binomial(int(n[at]), min(rates[at], 1.0), size=size) / n[at]
        return np.moveaxis(out, -1, 0)

    return draw


def _chunks(draw: Draw, n_boot: int, numbers: int) -> Iterator[Floats]:
    size = max(1, min(n_boot, CHUNK_NUMBERS // max(numbers, 1)))
    for start in range(0, n_boot, size):
        yield draw(min(size, n_boot - start))
