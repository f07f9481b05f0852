"""The divergences that mixtures pay under affine maps, by fixed quasi-Monte-Carlo points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.distributions.mixture import NormalMixture, sobol_rows
from isonomy.ideal._cells import Array, Direction
from isonomy.ideal._student.programme import Frame

__all__ = ["MixtureCells", "MixturePoint", "MixtureProgramme", "mixture_kl"]

_LOG2_POINTS = 8


@dataclass(frozen=True, eq=False)
class MixtureCells:
    """Mixtures of one group in its white coordinates."""

    frame: Frame
    laws: list[NormalMixture]

    @classmethod
    def of(cls, laws: list[NormalMixture], weights: Array) -> MixtureCells:
        """Whiten mixtures by their moments, with class weights (K,)."""
        lowers = np.linalg.cholesky(np.stack([law.covariance for law in laws]))
        frame = Frame(np.stack([law.mean for law in laws]), lowers, weights, False)
        inverse = solve_triangular(frame.lower, np.eye(len(frame.middle)), lower=True)
        white = [law._affine_image(inverse, -inverse @ frame.middle) for law in laws]
        return cls(frame, white)


@dataclass(frozen=True, eq=False)
class MixturePoint:
    """Maps (G, d, d) and offsets of the groups, images (K, d, d) and shifts of the base's cells.

    Information: the canonical cell of class y is ``images_y # base_y`` and the maps carry it
    to the groups. Moment: the maps carry the groups' cells to the canonical ones, and the
    images carry those to the base's.
    """

    maps: Array
    offsets: Array
    images: Array
    shifts: Array

    def flat(self, free: tuple[int, ...], canonical: bool) -> Array:
        """Return the free numbers: the maps of groups ``free``, images if ``canonical``."""
        parts = [self.maps[list(free)].ravel(), self.offsets[list(free)].ravel()]
        if canonical:
            parts += [self.images.ravel(), self.shifts.ravel()]
        return np.concatenate(parts)

    def at(self, x: Array, free: tuple[int, ...], canonical: bool) -> MixturePoint:
        """Return the point with its free numbers replaced."""
        n, d = len(free), self.maps.shape[1]
        maps, offsets = self.maps.copy(), self.offsets.copy()
        maps[list(free)] = x[: n * d * d].reshape(n, d, d)
        offsets[list(free)] = x[n * d * d : n * (d * d + d)].reshape(n, d)
        if not canonical:
            return MixturePoint(maps, offsets, self.images, self.shifts)
        rest = x[n * (d * d + d) :]
        cut = self.images.size
        images, shifts = rest[:cut].reshape(self.images.shape), rest[cut:].reshape(-1, d)
        return MixturePoint(maps, offsets, images, shifts)


class MixtureProgramme:
    """``sum_ya q_ya KL`` with the base's mixtures as the shapes of the ideal's cells.

    Everything in white coordinates; ``free`` are the groups whose maps move, ``canonical``
    says whether the base's cells may be moved class by class too (all groups move).
    """

    def __init__(
        self,
        groups: list[MixtureCells],
        base: int,
        weights: Array,
        direction: Direction,
        free: tuple[int, ...],
        canonical: bool,
    ) -> None:
        self.groups, self.base, self.direction = groups, base, direction
        self.free, self.canonical = free, canonical
        self.q = weights / weights[:, self._counted()].sum()
        n_classes = len(groups[0].laws)
        sources = [base] if direction == "information" else self._counted()
        self.points = {
            (y, a): _Points.of(groups[a].laws[y]) for y in range(n_classes) for a in sources
        }

    def _counted(self) -> list[int]:
        return list(range(len(self.groups))) if self.canonical else list(self.free)

    def value_and_gradient(self, x: Array, point: MixturePoint) -> tuple[float, Array]:
        """Return the value and its gradient in the free numbers ``x``."""
        at = point.at(x, self.free, self.canonical)
        slope = MixturePoint(
            *(np.zeros_like(p) for p in (at.maps, at.offsets, at.images, at.shifts))
        )
        value = 0.0
        for a in self._counted():
            for y in range(len(self.groups[0].laws)):
                source, target = self._pair(y, a)
                outer, inner = self._factors(at, y, a)
                matrix = outer[0] @ inner[0]
                offset = outer[0] @ inner[1] + outer[1]
                found, by_matrix, by_offset = source.pushed(matrix, offset, target)
                q = self.q[y, a]
                value += q * found
                by_matrix, by_offset = q * by_matrix, q * by_offset
                by_outer = by_matrix @ inner[0].T + np.outer(by_offset, inner[1])
                by_inner = outer[0].T @ by_matrix, outer[0].T @ by_offset
                parts = (by_outer, by_offset), by_inner
                of_map, of_image = parts if self.direction == "information" else parts[::-1]
                slope.maps[a] += of_map[0]
                slope.offsets[a] += of_map[1]
                slope.images[y] += of_image[0]
                slope.shifts[y] += of_image[1]
        return value, slope.flat(self.free, self.canonical)

    def _pair(self, y: int, a: int) -> tuple[_Points, NormalMixture]:
        if self.direction == "information":
            return self.points[y, self.base], self.groups[a].laws[y]
        return self.points[y, a], self.groups[self.base].laws[y]

    def _factors(
        self, at: MixturePoint, y: int, a: int
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        group, image = (at.maps[a], at.offsets[a]), (at.images[y], at.shifts[y])
        return (group, image) if self.direction == "information" else (image, group)


@dataclass(frozen=True, eq=False)
class _Points:
    """Points of a law (n, d), their weights, and the mean of its log-density over them."""

    rows: Array
    weight: Array
    mean_log: float

    @classmethod
    def of(cls, law: NormalMixture) -> _Points:
        rows, weight = sobol_rows(law, _LOG2_POINTS, 1, seed=12345)
        return cls(rows[0], weight, float(weight @ law.log_density(rows[0])))

    def pushed(
        self, matrix: Array, offset: Array, target: NormalMixture
    ) -> tuple[float, Array, Array]:
        """Return KL(image of the law || target) and its gradients in matrix and offset."""
        sign, log_size = np.linalg.slogdet(matrix)
        if sign == 0 or not np.isfinite(log_size):
            return np.inf, np.zeros_like(matrix), np.zeros_like(offset)
        logs, scores = target._log_density_and_score(self.rows @ matrix.T + offset)
        pull = self.weight[:, None] * scores
        value = self.mean_log - log_size - float(self.weight @ logs)
        return value, -np.linalg.inv(matrix).T - pull.T @ self.rows, -pull.sum(axis=0)


def mixture_kl(p: NormalMixture, q: NormalMixture) -> tuple[float, float]:
    """Return KL(p || q) and its standard error, by points that no search has seen."""
    return p.kl_with_error(q)
