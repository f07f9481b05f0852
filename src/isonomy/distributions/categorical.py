"""A law on finitely many categories."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from isonomy._validation import check_random_state
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._joint_checks import label_array
from isonomy.distributions.normal import check_n_rows
from isonomy.errors import InvalidInputError

__all__ = ["Categorical", "finite_kl"]


class Categorical(Frozen):
    """The law of one category out of finitely many.

    Parameters
    ----------
    probabilities : (m,)
        At least 0, summing to 1.
    categories : sequence of m distinct labels, optional
        What the places mean; default 0 to m - 1.

    Raises
    ------
    InvalidInputError
        If probabilities are no distribution, or categories repeat or differ in number.

    Examples
    --------
    >>> law = Categorical([0.25, 0.75], ["red", "green"])
    >>> law.kl_divergence(law), law.probability("green")
    (0.0, 0.75)
    """

    __slots__ = ("categories", "probabilities")

    probabilities: NDArray[np.float64]
    categories: tuple[Hashable, ...]

    def __init__(
        self, probabilities: ArrayLike, categories: Sequence[Hashable] | None = None
    ) -> None:
        p = check_simplex(probabilities, where="Categorical")
        names = tuple(range(len(p))) if categories is None else plain_labels(categories)
        if len(names) != len(p) or len(set(names)) < len(names):
            raise InvalidInputError(
                f"`categories` of `Categorical` must be {len(p)} distinct labels, one a "
                f"probability, got {names!r}."
            )
        p.flags.writeable = False
        object.__setattr__(self, "probabilities", p)
        object.__setattr__(self, "categories", names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Categorical):
            return NotImplemented
        same = self.categories == other.categories
        return same and np.array_equal(self.probabilities, other.probabilities)

    def __hash__(self) -> int:
        return hash((self.categories, self.probabilities.tobytes()))

    def __repr__(self) -> str:
        return f"Categorical({self.probabilities.tolist()!r}, {list(self.categories)!r})"

    def probability(self, category: Hashable) -> float:
        """Return the probability of one category; 0 for one that the law does not know.

        Parameters
        ----------
        category : hashable
        """
        known = category in self.categories
        return float(self.probabilities[self.categories.index(category)]) if known else 0.0

    def sample(self, n: int, random_state: Any = None) -> NDArray[Any]:
        """Return ``n`` independent categories.

        Parameters
        ----------
        n : int
            At least 0.
        random_state : int, RandomState or None
            The same number gives the same categories.

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.
        """
        check_n_rows(n, where="Categorical.sample")
        rng = check_random_state(random_state)
        codes = rng.choice(len(self.probabilities), size=int(n), p=self.probabilities)
        values: NDArray[Any] = label_array(self.categories)[codes]
        return values

    def log_density(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return ln p of every value; minus infinity where the probability is 0.

        Parameters
        ----------
        values : (n,)
            Categories that the law knows.

        Raises
        ------
        InvalidInputError
            If a category is unknown.
        """
        listed = list(np.asarray(values, dtype=object))
        codes = category_codes(
            listed, self.categories, name="values", where="Categorical.log_density"
        )
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the answer
            logs: NDArray[np.float64] = np.log(self.probabilities)[codes]
        return logs

    def kl_divergence(self, other: Categorical) -> float:
        """Return KL(self || other) in nats; infinity where ``other`` lacks a category of self.

        Parameters
        ----------
        other : Categorical
            Over the same categories.

        Raises
        ------
        InvalidInputError
            If the categories differ.
        """
        if not isinstance(other, Categorical) or other.categories != self.categories:
            raise InvalidInputError(
                "`other` of `Categorical.kl_divergence` must be a Categorical of the same "
                f"categories, got {other!r}."
            )
        return float(finite_kl(self.probabilities, other.probabilities))


def finite_kl(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``sum_x p(x) ln(p(x) / q(x))`` over the last axis: 0 ln 0 = 0, p ln(p/0) = inf."""
    p, q = np.broadcast_arrays(p, q)
    lost = ((p > 0) & (q == 0)).any(axis=-1)
    safe = np.where(q > 0, q, 1.0)
    # sum p ln(p/q) - p + q, term by term at least 0: no negative rounding
    terms = xlogy(p, np.where(p > 0, p, 1.0)) - xlogy(p, safe) - p + q
    value: NDArray[np.float64] = np.where(lost, np.inf, np.maximum(terms, 0.0).sum(axis=-1))
    return value


def check_simplex(probabilities: ArrayLike, *, where: str) -> NDArray[np.float64]:
    """Return probabilities over the last axis, normalised beyond rounding."""
    p = np.array(probabilities, dtype=np.float64)
    if p.ndim < 1 or p.shape[-1] < 1 or not np.isfinite(p).all() or (p < 0).any():
        raise InvalidInputError(
            f"`probabilities` of `{where}` must be at least one number, each finite and at "
            f"least 0, got {probabilities!r}."
        )
    total = p.sum(axis=-1, keepdims=True)
    if (np.abs(total - 1.0) > np.sqrt(np.finfo(np.float64).eps) * p.shape[-1]).any():
        raise InvalidInputError(
            f"`probabilities` of `{where}` must sum to 1, got {float(total.ravel()[0]):.9g}. "
            "Divide by the sum."
        )
    exact = np.abs(total - 1.0) <= 4.0 * p.shape[-1] * np.finfo(np.float64).eps
    return np.where(exact, p, p / total)


def plain_labels(labels: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Return labels as plain Python values."""
    return tuple(v.item() if isinstance(v, np.generic) else v for v in labels)


def category_codes(
    values: list[Any], categories: Sequence[Hashable], *, name: str, where: str
) -> NDArray[np.intp]:
    """Return the place of every value among the categories, or raise naming the unknown."""
    place = {category: i for i, category in enumerate(categories)}
    unknown = [v for v in dict.fromkeys(values) if v not in place]
    if unknown:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold categories that the law knows "
            f"({', '.join(map(str, list(categories)[:20]))}), got also "
            f"{', '.join(map(str, unknown[:5]))}. Fit with rows that hold them, or pool them."
        )
    return np.fromiter((place[v] for v in values), np.intp, len(values))
