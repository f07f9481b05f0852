"""A strictly increasing function of one variable, with an exact inverse and derivative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions._frozen import Frozen
from isonomy.errors import InvalidInputError

__all__ = ["MonotoneSpline"]

_NAMES = ("knots", "values", "slopes")


class MonotoneSpline(Frozen):
    """A strictly increasing, once continuously differentiable spline with linear tails.

    Between knots it is a ratio of two quadratics, beyond the first and last knot a
    straight line of the slope there.

    Parameters
    ----------
    knots : (m,)
        Strictly increasing, m at least 2.
    values : (m,)
        The function at the knots, strictly increasing.
    slopes : (m,)
        Its derivative at the knots, above 0.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a value is not finite, knots or values do not increase, or a
        slope is not above 0.

    Notes
    -----
    On a bin of width h and rise r, with t in [0, 1] the place in the bin, s = r / h and
    the slopes d0, d1 at its ends in units of s (Gregory and Delbourgo 1982)::

        T  = v0 + r [t^2 + d0 t (1 - t)] / D,    D = 1 + (d0 + d1 - 2) t (1 - t)
        T' = s [d1 t^2 + 2 t (1 - t) + d0 (1 - t)^2] / D^2 > 0

    so that every choice of positive slopes increases. With d0 + d1 = 2 it is a
    quadratic, with d0 d1 = 1 a ratio of linear functions. The inverse is the root of a
    quadratic, written without cancellation: ``inverse`` is right to a few roundings of z,
    so what is left of ``inverse(forward(x)) - x`` is a few roundings of x and of
    T(x) / T'(x). Immutable.

    Examples
    --------
    >>> spline = MonotoneSpline([0.0, 1.0], [0.0, 2.0], [1.0, 3.0])
    >>> spline([-1.0, 0.5, 2.0])
    array([-1.  ,  0.75,  5.  ])
    >>> spline.inverse(spline([-1.0, 0.5, 2.0]))
    array([-1. ,  0.5,  2. ])
    """

    __slots__ = ("knots", "slopes", "values")

    knots: NDArray[np.float64]
    values: NDArray[np.float64]
    slopes: NDArray[np.float64]

    def __init__(self, knots: ArrayLike, values: ArrayLike, slopes: ArrayLike) -> None:
        arrays = [np.array(v, dtype=np.float64, ndmin=1) for v in (knots, values, slopes)]
        _check(*arrays)
        for name, array in zip(_NAMES, arrays, strict=True):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def linear(cls, slope: float = 1.0, offset: float = 0.0) -> Self:
        """Return the straight line ``slope * x + offset``.

        Parameters
        ----------
        slope : float
            Above 0.
        offset : float

        Examples
        --------
        >>> float(MonotoneSpline.linear(2.0, 1.0)(3.0))
        7.0
        """
        rise = max(1.0, abs(offset))  # a smaller one could vanish beside a large offset
        return cls([0.0, rise / slope], [offset, offset + rise], [slope, slope])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in _NAMES)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MonotoneSpline):
            return NotImplemented
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in _NAMES)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name).tobytes() for name in _NAMES))

    def __repr__(self) -> str:
        return f"MonotoneSpline(n_knots={len(self.knots)})"

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return ``forward(x)``."""
        return self.forward(x)

    def forward(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return T(x), in the shape of ``x``.

        Parameters
        ----------
        x : array of any shape

        Examples
        --------
        >>> float(MonotoneSpline.linear(2.0).forward(3.0))
        6.0
        """
        x = np.asarray(x, dtype=np.float64)
        inside = np.clip(x, self.knots[0], self.knots[-1])
        bins = _bins(self.knots, inside)
        t, rest, _, d0, d1 = self._place(inside, bins)
        share = t * (t + d0 * rest) / (1.0 + (d0 + d1 - 2.0) * t * rest)
        low, high = self.values[bins], self.values[bins + 1]
        # from the nearer end, so that the knots themselves come out exactly
        other = rest * (rest + d1 * t) / (1.0 + (d0 + d1 - 2.0) * t * rest)
        rise = high - low
        found = np.where(t <= 0.5, low + rise * share, high - rise * other)
        return self._beyond(x - inside, found, self.slopes[0], self.slopes[-1])

    def inverse(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return the x with T(x) = z, in the shape of ``z``.

        Parameters
        ----------
        z : array of any shape

        Examples
        --------
        >>> float(MonotoneSpline.linear(2.0).inverse(6.0))
        3.0
        """
        z = np.asarray(z, dtype=np.float64)
        inside = np.clip(z, self.values[0], self.values[-1])
        bins = _bins(self.values, inside)
        low, high = self.values[bins], self.values[bins + 1]
        left, right = self.knots[bins], self.knots[bins + 1]
        width, rise = right - left, high - low
        d0, d1 = self.slopes[bins] * width / rise, self.slopes[bins + 1] * width / rise
        lower = inside - low <= high - inside  # each half from its own end
        share = np.where(lower, inside - low, high - inside) / rise
        near, far = np.where(lower, d0, d1), np.where(lower, d1, d0)
        t = _root(share, near, far)
        found = np.where(lower, left + width * t, right - width * t)
        return self._beyond(z - inside, found, 1.0 / self.slopes[0], 1.0 / self.slopes[-1])

    def log_derivative(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return ln T'(x), in the shape of ``x``; the logarithm is natural.

        Parameters
        ----------
        x : array of any shape

        Examples
        --------
        >>> MonotoneSpline.linear(2.0).log_derivative([-5.0, 0.0]).round(6)
        array([0.693147, 0.693147])
        """
        x = np.asarray(x, dtype=np.float64)
        inside = np.clip(x, self.knots[0], self.knots[-1])
        t, rest, s, d0, d1 = self._place(inside, _bins(self.knots, inside))
        top = d1 * t * t + 2.0 * t * rest + d0 * rest * rest
        bottom = 1.0 + (d0 + d1 - 2.0) * t * rest
        found: NDArray[np.float64] = np.log(s) + np.log(top) - 2.0 * np.log(bottom)
        return found

    def rescaled(self, scale: float, offset: float) -> Self:
        """Return ``scale * T + offset``, exactly.

        Parameters
        ----------
        scale : float
            Above 0.
        offset : float

        Examples
        --------
        >>> float(MonotoneSpline.linear().rescaled(2.0, 1.0)(3.0))
        7.0
        """
        return type(self)(self.knots, scale * self.values + offset, scale * self.slopes)

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return ``{"knots", "values", "slopes"}``, each (m,).

        Examples
        --------
        >>> sorted(MonotoneSpline.linear().to_arrays())
        ['knots', 'slopes', 'values']
        """
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> Self:
        """Return the spline that ``to_arrays`` wrote.

        Parameters
        ----------
        arrays : mapping with the keys "knots", "values" and "slopes"

        Raises
        ------
        InvalidInputError
            If a key is missing or the arrays are not those of a spline.

        Examples
        --------
        >>> line = MonotoneSpline.linear(2.0)
        >>> MonotoneSpline.from_arrays(line.to_arrays()) == line
        True
        """
        missing = [name for name in _NAMES if name not in arrays]
        if missing:
            raise InvalidInputError(
                "`arrays` of `MonotoneSpline.from_arrays` must hold 'knots', 'values' and "
                f"'slopes', got none for {', '.join(missing)}."
            )
        return cls(*(arrays[name] for name in _NAMES))

    def _place(
        self, inside: NDArray[np.float64], bins: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], ...]:
        """Return the place in the bin from either end, its secant and its relative slopes."""
        left, right = self.knots[bins], self.knots[bins + 1]
        width = right - left
        s = (self.values[bins + 1] - self.values[bins]) / width
        d0, d1 = self.slopes[bins] / s, self.slopes[bins + 1] / s
        return (inside - left) / width, (right - inside) / width, s, d0, d1

    @staticmethod
    def _beyond(
        excess: NDArray[np.float64], found: NDArray[np.float64], low: float, high: float
    ) -> NDArray[np.float64]:
        """Return ``found`` plus the straight line past the first or the last knot."""
        out: NDArray[np.float64] = found + excess * np.where(excess < 0.0, low, high)
        return out


def _bins(edges: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which bin each clipped value is in; NaN goes to the last one and stays NaN."""
    found: NDArray[np.intp] = np.searchsorted(edges[1:-1], x, side="right")
    return found


def _root(
    share: NDArray[np.float64], near: NDArray[np.float64], far: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return t in [0, 1] with t^2 + near t (1 - t) = share D, for shares of at most 1/2."""
    b = near * (1.0 - share) - far * share + 2.0 * share
    # share <= 1/2 keeps the discriminant away from 0: (b - 1)^2 + 1 is its least for b > 1
    root = np.sqrt(b * b + 4.0 * (1.0 - b) * share)
    negative = b < 0.0
    # either form subtracts nothing for its sign of b; the other's divisor is never used
    t = np.where(
        negative,
        (root - b) / np.where(negative, 2.0 * (1.0 - b), 1.0),
        2.0 * share / np.where(negative, 1.0, b + root),
    )
    out: NDArray[np.float64] = np.clip(t, 0.0, 1.0)
    return out


def _check(
    knots: NDArray[np.float64], values: NDArray[np.float64], slopes: NDArray[np.float64]
) -> None:
    shapes = [knots.shape, values.shape, slopes.shape]
    if len(set(shapes)) > 1 or knots.ndim != 1 or len(knots) < 2:
        raise InvalidInputError(
            "`knots`, `values` and `slopes` of `MonotoneSpline` must have one shape (m,) with m "
            f"at least 2, got {', '.join(map(str, shapes))}."
        )
    for name, array in (("knots", knots), ("values", values)):
        if not (np.isfinite(array).all() and (np.diff(array) > 0.0).all()):
            raise InvalidInputError(
                f"`{name}` of `MonotoneSpline` must be finite and strictly increasing, got "
                f"{array[:8].tolist()}."
            )
    secants = np.diff(values) / np.diff(knots)
    usable = np.isfinite(slopes).all() and (slopes > 0.0).all()
    if not usable or not np.isfinite(secants).all() or not (secants > 0.0).all():
        raise InvalidInputError(
            "`slopes` of `MonotoneSpline` must be finite and above 0, and so must the rise "
            f"between knots over their distance, got {slopes[:8].tolist()}."
        )
