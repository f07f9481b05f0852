"""Random flips of categories: the fewest that carry one law, or several at once, onto others."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linprog

from isonomy._validation import check_random_state
from isonomy.distributions._categorical_cells import draw
from isonomy.distributions.categorical import category_codes, check_simplex
from isonomy.errors import ConvergenceError, InvalidInputError
from isonomy.ideal._cells import Array

__all__ = ["FlipMap", "fewest_flips", "label_free_flips", "total_variation"]

_FEASIBILITY = 1e-9
_SLACK = 1e-8
"""What an earlier aim may lose to rounding when the next one is pursued."""

_SAME = 1e-14
"""Laws nearer than this are one law, rounded twice."""


@dataclass(frozen=True, eq=False)
class FlipMap:
    """A random map of categories: row j holds the law of what category j becomes.

    Parameters
    ----------
    matrix : (m, m)
        At least 0, rows summing to 1; the diagonal is the probability to stay.
    categories : sequence of m distinct labels

    Raises
    ------
    InvalidInputError
        If the matrix is no such matrix, or categories differ in number.

    Examples
    --------
    >>> flips = FlipMap([[0.9, 0.1], [0.0, 1.0]], ["red", "green"])
    >>> flips.flip_probability["red"].round(3), flips.push([0.5, 0.5])
    (np.float64(0.1), array([0.45, 0.55]))
    """

    matrix: Array
    categories: tuple[Hashable, ...]

    def __init__(self, matrix: ArrayLike, categories: Sequence[Hashable]) -> None:
        checked = check_simplex(matrix, where="FlipMap")
        names = tuple(categories)
        if checked.shape != (len(names), len(names)) or len(set(names)) < len(names):
            raise InvalidInputError(
                f"`matrix` of `FlipMap` must be square with one row a distinct category, got "
                f"shape {checked.shape} and {len(names)} categories."
            )
        checked.flags.writeable = False
        object.__setattr__(self, "matrix", checked)
        object.__setattr__(self, "categories", names)

    @property
    def flip_probability(self) -> dict[Hashable, float]:
        """Probability that a row of each category changes."""
        return dict(zip(self.categories, 1.0 - np.diagonal(self.matrix), strict=True))

    @property
    def is_identity(self) -> bool:
        """Whether no row ever changes."""
        return bool((np.diagonal(self.matrix) == 1.0).all())

    def push(self, probabilities: ArrayLike) -> Array:
        """Return the law of the image of a category with these probabilities.

        Parameters
        ----------
        probabilities : (..., m)
        """
        pushed: Array = np.asarray(probabilities, dtype=np.float64) @ self.matrix
        return pushed

    def apply(self, values: Sequence[Any], random_state: Any = 0) -> list[Any]:
        """Return every value, kept or flipped.

        Parameters
        ----------
        values : (n,)
            Categories of the map.
        random_state : int, RandomState or None
            The same number flips the same rows.

        Raises
        ------
        InvalidInputError
            If a category is unknown.
        """
        listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
        codes = category_codes(listed, self.categories, name="values", where="FlipMap.apply")
        moved = self._moved(codes, check_random_state(random_state))
        return [self.categories[i] for i in moved]

    def _moved(self, codes: NDArray[np.intp], rng: np.random.RandomState) -> NDArray[np.intp]:
        return draw(self.matrix[codes], rng)

    def to_arrays(self) -> dict[str, Any]:
        """Return what `from_arrays` takes: the matrix and the categories."""
        return {"matrix": np.array(self.matrix), "categories": list(self.categories)}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from what `to_arrays` returned.

        Parameters
        ----------
        stored : mapping

        Raises
        ------
        InvalidInputError
            If the matrix is no matrix of flips.
        """
        return cls(stored["matrix"], stored["categories"])


def total_variation(p: Array, q: Array) -> Array:
    """Return half the sum of absolute differences, over the last axis."""
    distance: Array = 0.5 * np.abs(p - q).sum(axis=-1)
    return distance


def fewest_flips(p: Array, q: Array) -> Array:
    """Return the matrix of flips that carries p (m,) to q (m,) and changes fewest rows.

    Notes
    -----
    Stay with probability ``min(1, q_j / p_j)``, else go to category i with probability
    proportional to ``(q_i - p_i)_+``. The chance to flip is then the total variation
    between p and q; no coupling does with less, for the rows that stay at i are at most
    ``min(p_i, q_i)``.
    """
    stay = np.divide(np.minimum(p, q), p, out=np.ones_like(p), where=p > 0)
    lacking = np.maximum(q - p, 0.0)
    total = lacking.sum()
    matrix = np.diag(stay)
    if total > 0:
        matrix += np.outer(1.0 - stay, lacking / total)
    else:
        matrix = np.eye(len(p))
    flips: Array = matrix / matrix.sum(axis=1, keepdims=True)
    return flips


def label_free_flips(sources: Array, targets: Array, weights: Array) -> Array:
    """Return one matrix of flips that brings the law of every class near to its target.

    Parameters
    ----------
    sources, targets : (K, m)
        Laws of one group's rows, by class, and what they should become.
    weights : (K,)
        P(class | group).

    Raises
    ------
    ConvergenceError
        If the linear programme fails.

    Notes
    -----
    Three linear programmes in turn, each keeping what the earlier reached (to 1e-8): least
    largest total variation over classes; least weighted sum of it; fewest expected flips.
    """
    used = np.flatnonzero(np.vstack([sources, targets]).sum(axis=0) > 0)
    p, q = sources[:, used], targets[:, used]
    flips = np.eye(sources.shape[1])
    if total_variation(p, q).max() > _SAME:
        flips[np.ix_(used, used)] = _solve(p, q, weights / weights.sum())
    return flips


def _solve(p: Array, q: Array, weights: Array) -> Array:
    """Variables: the matrix by rows, the slack of every (class, category), the largest TV."""
    n_classes, m = p.shape
    n_flips, n_slack = m * m, n_classes * m
    push = sparse.kron(sparse.csr_array(p), sparse.eye_array(m))  # (y, i) <- (j, i)
    slack, last = sparse.eye_array(n_slack), sparse.csr_array((n_slack, 1))
    sums = sparse.kron(sparse.eye_array(n_classes), np.full((1, m), 0.5))
    zero = sparse.csr_array((n_classes, n_flips))
    above = sparse.block_array(
        [[push, -slack, last], [-push, -slack, last], [zero, sums, -np.ones((n_classes, 1))]],
        format="csr",
    )
    bounds = np.concatenate([q.ravel(), -q.ravel(), np.zeros(n_classes)])
    rows = sparse.block_array(
        [[sparse.kron(sparse.eye_array(m), np.ones((1, m))), sparse.csr_array((m, n_slack + 1))]],
        format="csr",
    )
    largest = np.zeros(n_flips + n_slack + 1)
    largest[-1] = 1.0
    summed = np.zeros_like(largest)
    summed[n_flips:-1] = 0.5 * np.repeat(weights, m)
    flipped = np.zeros_like(largest)
    flipped[:n_flips] = ((weights @ p)[:, None] * (1.0 - np.eye(m))).ravel()
    for aim in (largest, summed, flipped):
        found = linprog(
            aim,
            above,
            bounds,
            rows,
            np.ones(m),
            method="highs",
            options={"primal_feasibility_tolerance": _FEASIBILITY},
        )
        if found.status != 0:
            raise ConvergenceError(
                "`nearest_ideal` could not find flips of categories that need no label: the linear "
                f"programme of {m} categories failed ({found.message}). Pool rare categories."
            )
        above = sparse.vstack([above, sparse.csr_array(aim[None])], format="csr")
        bounds = np.append(bounds, found.fun + _SLACK)
    matrix = np.maximum(found.x[:n_flips].reshape(m, m), 0.0)
    solved: Array = matrix / matrix.sum(axis=1, keepdims=True)
    return solved
