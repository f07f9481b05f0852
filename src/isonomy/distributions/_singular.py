"""Naming the direction in which one group does not vary and another does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._linalg import correlation, rank_tolerance
from isonomy.errors import SingularCovarianceError

__all__ = ["explain_singular"]

_VARIES = 1e-8
"""A share of variance above this is no rounding: the square root of the machine's epsilon."""

_N_SHOWN = 4


def explain_singular(
    error: SingularCovarianceError,
    covariances: NDArray[np.float64],
    cell: tuple[int, ...],
    name: Callable[[Sequence[int]], str],
    columns: Sequence[str],
    size: int,
) -> SingularCovarianceError:
    """Return the error, with another group that varies where this cell does not, if any.

    Parameters
    ----------
    error : SingularCovarianceError
        Of the covariance at ``cell``.
    covariances : (..., G, d, d), or variances (..., G, d)
    cell : position of the singular one; the last index is the group
    name : names a cell from its position
    columns : names of the d columns
    size : rows behind the covariance
    """
    null, scale = _null_space(_matrix(covariances[cell]), size)
    if null.shape[1] == 0:
        return error
    for group in range(covariances.shape[len(cell) - 1]):
        other = (*cell[:-1], group)
        if group == cell[-1]:
            continue
        theirs = _matrix(covariances[other])
        direction, share = _most_varied(theirs, null, scale)
        if share > _VARIES:
            spread = np.sqrt(np.maximum(np.diagonal(theirs), 0.0))
            return SingularCovarianceError(
                f"{error} Along {_in_words(direction * spread, columns)} (in standard deviations "
                f"of {name(other)}) {name(cell)} has no variance and {name(other)} has: no "
                "invertible map carries one onto the other."
            )
    return error


def _matrix(found: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diag(found) if found.ndim == 1 else found


def _null_space(
    covariance: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return null vectors (d, r) of the correlation matrix, and its scale (d,)."""
    scaled, scale = correlation(covariance)
    values, vectors = np.linalg.eigh(scaled)
    return vectors[:, values <= rank_tolerance(values, size=size)], scale


def _most_varied(
    covariance: NDArray[np.float64], null: NDArray[np.float64], scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return the direction w in the null space of most variance here, and its share of what
    the columns it is made of would give alone, w' S w / sum w_i^2 S_ii.
    """
    basis = null / scale[:, None]
    _, vectors = np.linalg.eigh(basis.T @ covariance @ basis)
    direction: NDArray[np.float64] = basis @ vectors[:, -1]
    alone = float(direction**2 @ np.maximum(np.diagonal(covariance), 0.0))
    own = float(direction @ covariance @ direction)
    return direction, own / alone if alone > 0 else 0.0


def _in_words(weights: NDArray[np.float64], columns: Sequence[str]) -> str:
    """Return the largest terms of a direction of length 1, its largest weight positive."""
    order = np.argsort(-np.abs(weights), kind="stable")
    unit = weights / np.linalg.norm(weights) * np.sign(weights[order[0]])
    # a column outside the dependency has a weight of rounding size
    kept = [j for j in order if abs(unit[j]) > np.sqrt(np.finfo(np.float64).eps)]
    terms = [f"{'-' if unit[j] < 0 else '+'} {abs(unit[j]):.2f} {columns[j]}" for j in kept]
    more = " + ..." if len(terms) > _N_SHOWN else ""
    return " ".join(terms[:_N_SHOWN]).removeprefix("+ ") + more
