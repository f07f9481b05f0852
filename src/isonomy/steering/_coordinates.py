"""The coordinates in which a steerer solves: full rank, unit-free, as few as it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import bandwidth, blas, lapack

from isonomy.distributions import AffineMap, CellMoments
from isonomy.distributions._accumulate import mirror_upper
from isonomy.distributions._linalg import (
    constant_columns,
    correlation,
    invert_lower,
    rank_tolerance,
    sure_cholesky,
)
from isonomy.errors import InvalidInputError
from isonomy.steering._small_cells import cell_means

__all__ = ["Coordinates", "Subspace", "split_whitening", "whitening"]

Floats = NDArray[np.float64]
Subspace = Literal["full", "discriminant"]


@dataclass(frozen=True)
class Coordinates:
    """z = ahead' (x - centre), and the way back: x changes by ``back`` times the change of z.

    ``ahead`` and ``back`` are (n_features, r) with ``ahead' back`` the identity, so a
    map of z moves x within the span of ``back`` and leaves the rest of x as it is.
    """

    centre: Floats
    ahead: Floats
    back: Floats
    whitens_total: bool = field(default=False, kw_only=True)
    """Whether the total covariance of x becomes the identity, and z is all of x."""

    n_kept: int = field(default=0, kw_only=True)
    """How many coordinates, the first, tell of protected columns alone: no other does."""

    @property
    def n_dimensions(self) -> int:
        """How many coordinates there are."""
        return int(self.ahead.shape[1])

    @property
    def is_full(self) -> bool:
        """Whether x can be recovered from z alone."""
        return self.n_dimensions == len(self.centre)

    @classmethod
    def of(
        cls,
        moments: CellMoments,
        law: Floats,
        *,
        subspace: Subspace,
        axis_aligned: bool,
        protected: Sequence[int] = (),
    ) -> Self:
        """Choose coordinates from moments under the cell weights ``law`` (K, G).

        With positions of ``protected`` columns, those that only these decide come first.
        """
        centre = moments.total_mean()
        if protected:
            ahead, back, n_kept = split_whitening(moments.total_covariance(), centre, protected)
            return cls(centre, ahead, back, n_kept=n_kept)
        if axis_aligned:
            return cls._aligned(moments, centre)
        if subspace == "discriminant":
            return cls._discriminant(moments, law, centre)
        ahead, back = whitening(moments.total_covariance(), centre)
        return cls(centre, ahead, back, whitens_total=ahead.shape[1] == len(centre))

    @classmethod
    def _aligned(cls, moments: CellMoments, centre: Floats) -> Self:
        within = np.einsum("ya,yad->d", moments.counts, np.nan_to_num(moments.covariances))
        scale = np.sqrt(within / moments.counts.sum())
        kept = np.flatnonzero(~constant_columns(scale**2, centre))
        ahead, back = np.zeros((2, len(centre), len(kept)))
        ahead[kept, np.arange(len(kept))] = 1 / scale[kept]
        back[kept, np.arange(len(kept))] = scale[kept]
        return cls(centre, ahead, back)

    @classmethod
    def _discriminant(cls, moments: CellMoments, law: Floats, centre: Floats) -> Self:
        """Keep the at most K - 1 directions in which the reweighed class means differ."""
        ahead, back = whitening(moments.within_covariance(), centre)
        prior = law.sum(axis=1)
        means = np.einsum("ya,yad->yd", law, cell_means(moments)) / prior[:, None]
        whitened = (means - prior @ means / prior.sum()) @ ahead * np.sqrt(prior)[:, None]
        _, strengths, directions = np.linalg.svd(whitened, full_matrices=False)
        kept = directions[strengths > rank_tolerance(strengths)].T
        if kept.shape[1] == 0:
            raise InvalidInputError(
                '`subspace="discriminant"` of `IdealSteerer` needs classes whose means differ, '
                'got equal class means. Use `subspace="full"`.'
            )
        return cls(centre, ahead @ kept, back @ kept)

    @property
    def _factor(self) -> Floats | None:
        """``back`` by columns where it is a lower factor of full rank, else None."""
        if not self.is_full or bandwidth(self.back)[1] > 0:
            return None
        return np.asfortranarray(self.back)

    def whiten(self, covariances: Floats) -> Floats:
        """Return the covariances of z (m, r, r) from those of x (m, d, d)."""
        lower = self._factor
        if lower is None:
            return np.stack([self.ahead.T @ found @ self.ahead for found in covariances])
        white = np.empty_like(covariances)
        for found, into in zip(covariances, white, strict=True):
            # L^-1 S L^-T, at a quarter of the work of two products
            into.T[...], _ = lapack.dsygst(found.T, lower, itype=1, lower=1)
            mirror_upper(into)
        return white

    def lift(self, inner: AffineMap) -> AffineMap:
        """Return the map of x that moves z by ``inner`` and nothing else."""
        d = len(self.centre)
        if inner.is_identity:  # nothing to multiply
            return AffineMap(np.eye(d), np.zeros(d)) if self.is_full else AffineMap.identity(d)
        change = np.array(inner.matrix, order="F")
        np.fill_diagonal(change, np.diagonal(change) - 1.0)
        lower = self._factor
        if lower is not None:
            return self._lift_by_factor(lower, change, inner.offset)
        left = self.back @ change
        offset = self.back @ inner.offset - left @ (self.ahead.T @ self.centre)
        if 2 * self.n_dimensions < d:
            return AffineMap.low_rank(left, self.ahead, offset)
        return AffineMap(np.eye(d) + left @ self.ahead.T, offset)

    def _lift_by_factor(self, lower: Floats, change: Floats, shift: Floats) -> AffineMap:
        """Return ``x + L change L^-1 (x - centre) + L shift``, with triangles for products."""
        left = blas.dtrmm(1.0, lower, change, lower=1, overwrite_b=1)
        matrix = blas.dtrsm(1.0, lower, left, side=1, lower=1, overwrite_b=1)
        offset = lower @ shift - matrix @ self.centre
        np.fill_diagonal(matrix, np.diagonal(matrix) + 1.0)
        return AffineMap(matrix, offset)


def whitening(covariance: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Return (ahead, back): ``ahead' S ahead`` = I on the range of S, ``ahead' back`` = I.

    Rank is decided on the correlation matrix, so that units do not matter; constant
    columns are outside the range. Of full rank surely, it is whitened by its Cholesky
    factor, at a tenth of the cost of its eigenvectors, else by these.
    """
    varying = ~constant_columns(np.diagonal(covariance), mean)
    if not varying.any():
        raise InvalidInputError(
            "`X` passed to `IdealSteerer.fit` must have a column that varies, got only "
            "constant columns. There is nothing to steer."
        )
    every = bool(varying.all())
    matrix, scale = correlation(covariance if every else covariance[np.ix_(varying, varying)])
    there, back = _roots(matrix)
    there /= scale[:, None]
    back *= scale[:, None]
    if every:
        return there, back
    full = np.zeros((2, len(mean), there.shape[1]))
    full[:, varying] = there, back
    return full[0], full[1]


def split_whitening(
    covariance: Floats, mean: Floats, protected: Sequence[int]
) -> tuple[Floats, Floats, int]:
    """Return (ahead, back, n_kept): `whitening` in two parts, protected columns first.

    The first ``n_kept`` coordinates are those of the protected columns u, the others those of
    the rest w given u, that is of ``w - S_wu S_uu^+ u``. So ``back`` is exactly 0 in the rows
    of u behind the first ``n_kept`` columns: what moves the others alone leaves u as it is.
    """
    d = len(mean)
    kept = np.asarray(protected, dtype=np.intp)
    free = np.setdiff1d(np.arange(d, dtype=np.intp), kept)
    own = covariance[np.ix_(kept, kept)]
    there, home = np.zeros((2, len(kept), 0))
    if not constant_columns(np.diagonal(own), mean[kept]).all():
        there, home = whitening(own, mean[kept])
    slope = (covariance[np.ix_(free, kept)] @ there) @ there.T
    rest = covariance[np.ix_(free, free)] - slope @ covariance[np.ix_(kept, free)]
    before = np.diagonal(covariance)[free]
    # what u decides, or does not vary, has nothing left to move: rounding is no direction
    flat = np.diagonal(rest) <= np.finfo(float).eps * 16 * d * before
    flat |= constant_columns(before, mean[free])
    if flat.all():
        raise InvalidInputError(
            "`protected` of `IdealSteerer` must leave a column that varies once the protected ones "
            "are known, got none: they decide all others. Protect fewer columns."
        )
    alive = free[~flat]
    inner, outer = whitening(rest[np.ix_(~flat, ~flat)], np.zeros(len(alive)))
    n_kept, r = there.shape[1], there.shape[1] + inner.shape[1]
    ahead, back = np.zeros((2, d, r))
    ahead[kept, :n_kept], back[kept, :n_kept] = there, home
    ahead[np.ix_(alive, np.arange(n_kept, r))] = inner
    ahead[np.ix_(kept, np.arange(n_kept, r))] = -slope[~flat].T @ inner
    back[np.ix_(free, np.arange(n_kept))] = slope @ home
    back[np.ix_(alive, np.arange(n_kept, r))] = outer
    return ahead, back, n_kept


def _roots(matrix: Floats) -> tuple[Floats, Floats]:
    """Return (A, B) with ``A' matrix A = I``, ``A' B = I`` and ``B B' = matrix``."""
    lower = sure_cholesky(matrix)
    if lower is not None:
        return invert_lower(lower).T, lower
    values, vectors = np.linalg.eigh(matrix)
    kept = values > rank_tolerance(values)
    roots = np.sqrt(values[kept])
    return vectors[:, kept] / roots, vectors[:, kept] * roots
