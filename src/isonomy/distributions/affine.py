"""Affine maps x -> matrix @ x + offset, dense or identity plus low rank."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lu_factor, lu_solve

from isonomy._validation import check_real
from isonomy.distributions._affine_checks import check_invertible, finite
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._paths import partial_matrix
from isonomy.distributions.normal import GaussianFamily, as_rows
from isonomy.errors import InvalidInputError

__all__ = ["AffineMap"]

Law = TypeVar("Law", bound=GaussianFamily)

_BLOCK_VALUES = 1 << 20  # rows are mapped in blocks of so many numbers: 8 MiB of float64

Factors = tuple[NDArray[np.float64], NDArray[np.float64]]


class AffineMap(Frozen):
    """The map x -> matrix @ x + offset of R^d into itself, immutable.

    Parameters
    ----------
    matrix : (d, d)
    offset : (d,)

    Attributes
    ----------
    factors : (U, V) or None
        Both (d, r), where the map is kept as ``x + U (V' x) + offset``.

    Raises
    ------
    InvalidInputError
        If shapes disagree or a value is not finite.

    Notes
    -----
    Laws, to rounding: ``f.compose(g).apply(X)`` equals ``f.apply(g.apply(X))`` and
    ``f.inverse().compose(f)`` is the identity.

    Examples
    --------
    >>> f = AffineMap([[2.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    >>> f.apply([[1.0, 1.0]])
    array([[3., 1.]])
    >>> f.inverse().apply([[3.0, 1.0]])
    array([[1., 1.]])
    """

    __slots__ = ("_matrix", "factors", "offset")

    offset: NDArray[np.float64]
    factors: Factors | None
    _matrix: NDArray[np.float64] | None

    def __init__(self, matrix: ArrayLike, offset: ArrayLike) -> None:
        b = finite("offset", offset, 1)
        m = finite("matrix", matrix, 2)
        if m.shape != (len(b), len(b)):
            raise InvalidInputError(
                f"`matrix` of `AffineMap` must have shape ({len(b)}, {len(b)}) to match "
                f"`offset`, got {m.shape}."
            )
        self._set(b, matrix=m)

    def _set(
        self,
        offset: NDArray[np.float64],
        *,
        matrix: NDArray[np.float64] | None = None,
        factors: Factors | None = None,
    ) -> None:
        for array in (offset, matrix, *(factors or ())):
            if array is not None:
                array.flags.writeable = False
        object.__setattr__(self, "offset", offset)
        object.__setattr__(self, "_matrix", matrix)
        object.__setattr__(self, "factors", factors)

    @classmethod
    def _trusted(
        cls,
        offset: NDArray[np.float64],
        *,
        matrix: NDArray[np.float64] | None = None,
        factors: Factors | None = None,
    ) -> Self:
        new = object.__new__(cls)
        new._set(offset, matrix=matrix, factors=factors)
        return new

    @classmethod
    def low_rank(cls, U: ArrayLike, V: ArrayLike, b: ArrayLike) -> Self:
        """Return the map ``x -> x + U (V' x) + b``, kept factored.

        Parameters
        ----------
        U, V : (d, r)
        b : (d,)

        Raises
        ------
        InvalidInputError
            If shapes disagree or a value is not finite.

        Examples
        --------
        >>> f = AffineMap.low_rank([[1.0], [0.0]], [[0.0], [2.0]], [0.0, 0.0])
        >>> f.matrix
        array([[1., 2.],
               [0., 1.]])
        """
        offset = finite("b", b, 1)
        left, right = finite("U", U, 2), finite("V", V, 2)
        if left.shape != right.shape or len(left) != len(offset):
            raise InvalidInputError(
                "`U` and `V` of `AffineMap.low_rank` must both have shape "
                f"({len(offset)}, r) to match `b`, got {left.shape} and {right.shape}."
            )
        return cls._trusted(offset, factors=(left, right))

    @classmethod
    def identity(cls, d: int) -> Self:
        """Return the map that leaves all of R^d in place, with factors of rank 0.

        Parameters
        ----------
        d : int

        Examples
        --------
        >>> AffineMap.identity(3)
        AffineMap(n_features=3, rank=0)
        """
        return cls._trusted(np.zeros(d), factors=(np.zeros((d, 0)), np.zeros((d, 0))))

    def __reduce__(self) -> tuple[Any, ...]:
        if self.factors is not None:
            return type(self).low_rank, (*self.factors, self.offset)
        return type(self), (self.matrix, self.offset)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineMap):
            return NotImplemented
        return np.array_equal(self.offset, other.offset) and np.array_equal(
            self.matrix, other.matrix
        )

    def __hash__(self) -> int:
        return hash((self.offset.tobytes(), self.matrix.tobytes()))

    def __repr__(self) -> str:
        if self.factors is not None and self.factors[0].shape[1] < self.n_features:
            return f"AffineMap(n_features={self.n_features}, rank={self.factors[0].shape[1]})"
        if self.n_features > 4:
            return f"AffineMap(n_features={self.n_features})"
        return f"AffineMap(matrix={self.matrix.tolist()}, offset={self.offset.tolist()})"

    @property
    def n_features(self) -> int:
        """Number of variables, d."""
        return len(self.offset)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The linear part, ``(d, d)``; built from the factors on first use."""
        if self._matrix is None:
            assert self.factors is not None
            left, right = self.factors
            dense = np.eye(self.n_features) + left @ right.T
            dense.flags.writeable = False
            object.__setattr__(self, "_matrix", dense)
        assert self._matrix is not None
        return self._matrix

    @property
    def is_identity(self) -> bool:
        """Whether every point stays exactly where it is."""
        if self.offset.any():
            return False
        if self.factors is not None and self.factors[0].shape[1] == 0:
            return True
        return np.array_equal(self.matrix, np.eye(self.n_features))

    def apply(self, X: ArrayLike) -> NDArray[Any]:
        """Return the image of every row.

        Parameters
        ----------
        X : (n_samples, n_features)
            Left as it is.

        Returns
        -------
        (n_samples, n_features) array
            In the caller's dtype if that is float32 or float64, else float64. Computed
            in float64, by blocks of rows.

        Raises
        ------
        InvalidInputError
            If the number of columns is wrong.

        Examples
        --------
        >>> AffineMap.identity(2).apply(np.ones((1, 2), dtype=np.float32)).dtype
        dtype('float32')
        """
        rows = as_rows(X, self.n_features, where="AffineMap.apply")
        dtype = rows.dtype if rows.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        out: NDArray[Any] = np.empty(rows.shape, dtype=dtype)
        self._apply_at(rows, None, out)
        return out

    def _apply_at(
        self, rows: NDArray[Any], chosen: NDArray[np.intp] | None, out: NDArray[Any]
    ) -> None:
        """Write the images of the chosen rows (None: of all) into the same rows of ``out``."""
        n = len(rows) if chosen is None else len(chosen)
        step = max(1, _BLOCK_VALUES // self.n_features)
        # one block serves all: fresh memory costs as much as the arithmetic of a low rank
        room = np.empty((2, min(step, n), self.n_features))
        for start in range(0, n, step):
            part = slice(start, start + step)
            at = part if chosen is None else chosen[part]
            block, image = room[:, : min(step, n - start)]
            block[...] = rows[at]
            out[at] = self._image(block, image)

    def _image(self, block: NDArray[np.float64], image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the image of ``block``; either array may be overwritten."""
        if self.factors is None:
            np.matmul(block, self.matrix.T, out=image)
            image += self.offset
            return image
        left, right = self.factors
        np.matmul(block @ right, left.T, out=image)
        image += self.offset
        block += image
        return block

    def _linear_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.factors is not None:
            left, right = self.factors
            return rows + (rows @ right) @ left.T
        return rows @ self.matrix.T

    def compose(self, other: AffineMap) -> AffineMap:
        """Return ``self`` after ``other``: x -> self(other(x)).

        Two low-rank maps give a low-rank map while the sum of the ranks is below d.

        Parameters
        ----------
        other : AffineMap
            Of the same number of features.

        Returns
        -------
        AffineMap

        Raises
        ------
        InvalidInputError
            If numbers of features differ.

        Examples
        --------
        >>> double, shift = AffineMap([[2.0]], [0.0]), AffineMap([[1.0]], [3.0])
        >>> double.compose(shift).apply([[1.0]])
        array([[8.]])
        """
        if not isinstance(other, AffineMap) or other.n_features != self.n_features:
            raise InvalidInputError(
                f"`other` of `AffineMap.compose` must be an AffineMap of {self.n_features} "
                f"features, got {other!r}."
            )
        offset = self._linear_rows(other.offset[None, :])[0] + self.offset
        if self.factors is not None and other.factors is not None:
            (u1, v1), (u2, v2) = self.factors, other.factors
            if u1.shape[1] + u2.shape[1] < self.n_features:
                left = np.hstack([u1, u2 + u1 @ (v1.T @ u2)])
                return AffineMap._trusted(offset, factors=(left, np.hstack([v1, v2])))
        # columns of the other matrix are rows of its transpose
        matrix = self._linear_rows(other.matrix.T).T
        return AffineMap._trusted(offset, matrix=np.ascontiguousarray(matrix))

    def inverse(self) -> AffineMap:
        """Return the map that undoes this one.

        Raises
        ------
        SingularCovarianceError
            If the matrix is singular at ``rank_tolerance``, rows and columns scaled first.

        Notes
        -----
        Low rank: ``(I + U V')^-1 = I - U (I + V' U)^-1 V'`` (Woodbury).

        Examples
        --------
        >>> AffineMap([[4.0]], [1.0]).inverse()
        AffineMap(matrix=[[0.25]], offset=[-0.25])
        """
        if self.factors is not None and self.factors[0].shape[1] < self.n_features:
            left, right = self.factors
            core = np.eye(left.shape[1]) + right.T @ left
            check_invertible(core, size=self.n_features)
            turned = np.asarray(-np.linalg.solve(core.T, left.T).T, dtype=np.float64)
            factors = (turned, right.copy())
            undone = AffineMap._trusted(np.zeros(self.n_features), factors=factors)
            offset = -undone._linear_rows(self.offset[None, :])[0]
            return AffineMap._trusted(offset, factors=factors)
        check_invertible(self.matrix, size=self.n_features)
        inverse = lu_solve(lu_factor(self.matrix), np.eye(self.n_features))
        return AffineMap._trusted(-inverse @ self.offset, matrix=inverse)

    def partial(
        self,
        strength: float,
        *,
        about: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
    ) -> AffineMap:
        """Return the map that goes ``strength`` of the way, invertible all along.

        Parameters
        ----------
        strength : float
            s in [0, 1]: 0 gives the identity, 1 this map.
        about : (d,), optional
            The point that moves on a straight line to its image; default: the origin.
        covariance : (d, d), optional
            In whose units lengths and angles are measured; default: those of the columns.

        Raises
        ------
        InvalidInputError
            If ``strength`` is outside [0, 1], or the map turns space inside out (a negative
            determinant): no path of invertible maps leads there.
        SingularCovarianceError
            If the map is singular.

        Notes
        -----
        With LL' the covariance, m the point and ``L^-1 V L = R P`` the polar form::

            x -> m + s (f(m) - m) + L R^s P^s L^-1 (x - m)

        of determinant ``det(V)^s > 0``. An affine change of coordinates that carries point
        and covariance along changes nothing else. Source: docs/theory.md 17.3.

        Examples
        --------
        >>> AffineMap([[4.0]], [1.0]).partial(0.5)
        AffineMap(matrix=[[2.0]], offset=[0.5])
        """
        s = check_real("strength", strength, where="AffineMap.partial", low=0.0, high=1.0)
        centre = np.zeros(self.n_features) if about is None else finite("about", about, 1)
        units = None if covariance is None else finite("covariance", covariance, 2)
        matrix = partial_matrix(self.matrix, s, units)
        moved = centre + s * (self.matrix @ centre + self.offset - centre)
        return AffineMap._trusted(moved - matrix @ centre, matrix=matrix)

    def push(self, normal: Law) -> Law:
        """Return the law of the image of a random point.

        Parameters
        ----------
        normal : Normal or LogNormal
            For a LogNormal the map acts on ln X.

        Raises
        ------
        SingularCovarianceError
            If the map is singular, so that the image has no density.

        Examples
        --------
        >>> from isonomy.distributions import Normal
        >>> AffineMap([[2.0]], [1.0]).push(Normal([3.0], [[1.0]]))
        Normal(mean=[7.0], covariance=[[4.0]])
        """
        if not isinstance(normal, GaussianFamily) or normal.n_features != self.n_features:
            raise InvalidInputError(
                f"`normal` of `AffineMap.push` must be a Normal or LogNormal of "
                f"{self.n_features} features, got {normal!r}."
            )
        return normal._affine_image(self.matrix, self.offset)
