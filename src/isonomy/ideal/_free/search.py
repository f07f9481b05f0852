"""The search for one affine map between cells of free covariances: starts, screening, polish."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from isonomy.ideal._cells import Array
from isonomy.ideal._free.one_map import MapProgramme
from isonomy.ideal._free.relative import RelativeSteps
from isonomy.ideal._numerics.quasi_newton import Descents, descend
from isonomy.ideal._tied.closed_form import singular_gains

__all__ = [
    "GRADIENT_TOLERANCE",
    "SCREENING_WORK",
    "FoundMap",
    "best_free_map",
    "distinct",
    "final_tolerance",
    "flipped",
    "promising_maps",
    "total_root",
]

GRADIENT_TOLERANCE = 1e-6
"""In white coordinates and weights that sum to 1: the value is within about its square."""

_ALL_SIGNS_UP_TO = 6
_N_SIGNS, _N_ROTATIONS, _N_MATCHED = 64, 16, 16
SCREENING_WORK = 3e10
"""Multiplications that screening may take: fewer starts where matrices are large and many."""

_COARSE_WORK, _POLISH_WORK = 2e12, 8e11
"""Multiplications that the polish of one large map may take, in single and double precision,
beyond `_LEAST_STEPS` evaluations."""

_LEAST_STEPS = 100
_COARSE_TOLERANCE, _COARSE_NOISE = 2e-5, 3e-8
"""Gradient at which single precision has done its part, and the error of its values."""

_N_SCREENING, _N_CLOSER, _N_POLISH = 40, 100, 4000
_N_KEPT, _N_FLIPS, _N_ROUNDS = 8, 4, 4


Cells = tuple[Array, Array, Array, Array, Array]
"""Source means and factors, target means and factors, weights."""


@dataclass(frozen=True, eq=False)
class FoundMap:
    """The best map found: matrix, offset, its value (weights summing to 1), and how."""

    matrix: Array
    offset: Array
    value: float
    converged: bool
    n_iter: int
    history: tuple[float, ...]
    others: Array
    """Matrices (n, d, d) of other local minima, lowest first, the best one included."""


def best_free_map(
    source_means: Array,
    source_lowers: Array,
    target_means: Array,
    target_lowers: Array,
    weights: Array,
    start: Array | None = None,
) -> FoundMap:
    """Return the best affine map that a search from many starts finds.

    Parameters
    ----------
    source_means, target_means : (K, d)
    source_lowers, target_lowers : (K, d, d)
        Lower factors of the covariances.
    weights : (K,)
        Positive; only their ratios matter.
    start : (n, d, d), optional
        Search from these matrices alone, such as the ``others`` of an earlier result.

    Notes
    -----
    Starts: the map of 3.3 for pooled covariances with the signs of its singular values
    changed (all 2^d while d <= 6, of the class directions beyond); the maps that match
    eigenvectors of combinations of the cells in order; random rotations of either
    orientation, for no descent crosses det V = 0. All go a few steps together; the lowest
    go on, and what is lower after turning one singular direction round replaces them; the
    lowest is polished. Nothing proves that it is the global minimum.
    """
    cells = source_means, source_lowers, target_means, target_lowers, weights
    programme = MapProgramme(*cells)
    heavy = _is_heavy(programme)
    if start is None:
        kept = _candidates(programme, cells)
    else:
        kept = programme.to_white(start)
        if len(kept) > 1:
            kept = _closer(programme, kept)
    if heavy:
        run, before = _polish_large(programme, kept[:1])
    else:
        run = _descend(programme, kept[:2], _N_POLISH, final_tolerance(heavy))
        before = run.trace[:0]
    best = run.best
    # single precision may have seen a value a little below what the next stage began with
    earlier = np.maximum(before, run.trace[0]).ravel()
    trace = np.concatenate([earlier, run.trace[:, best]])
    matrix, offset = programme.from_white(run.points[best].reshape(programme.upper_p.shape))
    others = [programme.from_white(w)[0] for w in kept[1:]]
    return FoundMap(
        matrix,
        offset,
        float(run.values[best]),
        bool(run.steepness[best] < GRADIENT_TOLERANCE),
        len(trace) - 1,
        tuple(np.minimum.accumulate(trace).tolist()),
        np.stack([matrix, *others]),
    )


def _descend(
    programme: MapProgramme, maps: Array, n_steps: int, tolerance: float, noise: float = 0.0
) -> Descents:
    """Descend from white maps (n, d, d) or (n, d d)."""
    n, d = len(maps), programme.shape[1]
    return descend(
        programme.value_and_gradient,
        maps.reshape(n, d * d),
        n_steps=n_steps,
        tolerance=tolerance,
        along=RelativeSteps(n, d),
        noise=noise,
    )


def _polish_large(programme: MapProgramme, maps: Array) -> tuple[Descents, Array]:
    """Descend in single precision as far as it reaches, then in double; return also the trace."""
    work = _work(programme)
    n_coarse, n_fine = (int(w / work) + _LEAST_STEPS for w in (_COARSE_WORK, _POLISH_WORK))
    coarse = programme.coarse()
    first = _descend(coarse, maps, n_coarse, _COARSE_TOLERANCE, noise=_COARSE_NOISE)
    last = _descend(programme, first.points, n_fine, final_tolerance(True))
    return last, first.trace[:-1]


def promising_maps(
    source_means: Array,
    source_lowers: Array,
    target_means: Array,
    target_lowers: Array,
    weights: Array,
) -> list[tuple[Array, Array]]:
    """Return matrices and offsets of the lowest local minima that screening finds, unpolished.

    Parameters are those of :func:`best_free_map`.
    """
    cells = source_means, source_lowers, target_means, target_lowers, weights
    programme = MapProgramme(*cells)
    return [programme.from_white(white) for white in _candidates(programme, cells)]


def final_tolerance(heavy: bool) -> float:
    """Return the gradient at which a polish ends.

    Far below what counts as converged where steps are cheap: the divergences of single
    cells, which the search for priors reads, are only stationary together.
    """
    return GRADIENT_TOLERANCE * (0.3 if heavy else 1e-2)


def _work(programme: MapProgramme) -> float:
    """Return the multiplications of one evaluation."""
    n_classes, d = programme.shape
    return float(4.0 * n_classes * d**3)


def _is_heavy(programme: MapProgramme) -> bool:
    """Return whether evaluations are so dear that few starts go far."""
    return _work(programme) * _N_KEPT * _N_CLOSER > SCREENING_WORK


def _candidates(programme: MapProgramme, cells: Cells) -> Array:
    rng = np.random.default_rng(0)
    n_most = int(np.clip(SCREENING_WORK / (_work(programme) * _N_SCREENING), 2, 256))
    return _screened(programme, _starts(programme, cells, rng)[:n_most], rng)


def _closer(programme: MapProgramme, maps: Array) -> Array:
    """Return white maps (n, d, d) after some descent, the lowest first."""
    d = maps.shape[1]
    run = _descend(programme, maps, _N_CLOSER, 1e-4)
    return run.points[distinct(run.values, _N_KEPT)].reshape(-1, d, d)


def _screened(programme: MapProgramme, starts: Array, rng: np.random.Generator) -> Array:
    """Return the lowest local minima (n, d, d) that starts and turned directions lead to."""
    d, heavy = starts.shape[1], _is_heavy(programme)
    quick = programme.coarse() if heavy else programme
    go = partial(_descend, quick, noise=_COARSE_NOISE if heavy else 0.0)
    run = go(starts, _N_SCREENING, 1e-4)
    points = run.points[distinct(run.values, _N_KEPT)].reshape(-1, d, d)
    if heavy:
        return points
    run = go(points, _N_CLOSER, 1e-4)
    order = np.argsort(run.values)
    points, values = run.points[order].reshape(-1, d, d), run.values[order]
    # few features: every pattern of signs has been tried
    for _ in range(_N_ROUNDS if d > _ALL_SIGNS_UP_TO else 0):
        chosen = np.argsort(values)[:_N_KEPT]
        points, values = points[chosen], values[chosen]
        run = go(flipped(np.repeat(points, _N_FLIPS, axis=0), rng), _N_CLOSER, 1e-4)
        lowest = values.min()
        points = np.concatenate([points, run.points.reshape(-1, d, d)])
        values = np.concatenate([values, run.values])
        chosen = distinct(values, _N_KEPT)
        points, values = points[chosen], values[chosen]
        if values.min() >= lowest - 1e-6 * (1.0 + abs(lowest)):
            break
    return points


def distinct(values: Array, n: int) -> NDArray[np.intp]:
    """Return the positions of the ``n`` lowest values that differ, rising."""
    chosen: list[int] = []
    for i in np.argsort(values):
        size = 1e-5 * (1.0 + abs(values[i]))
        if np.isfinite(values[i]) and (not chosen or values[i] - values[chosen[-1]] > size):
            chosen.append(int(i))
        if len(chosen) == n:
            break
    return np.array(chosen, dtype=np.intp)


def flipped(matrices: Array, rng: np.random.Generator) -> Array:
    """Return matrices (n, d, d) with one singular direction of each turned round."""
    left, sizes, right = np.linalg.svd(matrices)
    n, d = sizes.shape
    sizes[np.arange(n), rng.integers(d, size=n)] *= -1.0
    found: Array = (left * sizes[:, None, :]) @ right
    return found


def _random_rotations(n: int, d: int, rng: np.random.Generator) -> Array:
    """Return orthogonal matrices (n, d, d), of either orientation in turn."""
    found = np.linalg.qr(rng.normal(size=(n, d, d)))[0]
    wanted = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    found[:, :, 0] *= (wanted * np.sign(np.linalg.det(found)))[:, None]
    return found


def _starts(programme: MapProgramme, cells: Cells, rng: np.random.Generator) -> Array:
    """Return white maps to start from, the most promising kinds first."""
    d = programme.shape[1]
    signs = _sign_patterns(programme, rng)
    matched = _matched(programme, cells, rng)
    turns = _random_rotations(2 * min(_N_ROTATIONS, 2 * d), d, rng)
    return np.concatenate([signs[:1], matched[:2], turns[1:2], signs[1:], matched[2:], turns])


def _sign_patterns(programme: MapProgramme, rng: np.random.Generator) -> Array:
    """Return 3.3's white map for pooled covariances, its singular values' signs changed."""
    n_classes, d = programme.shape
    left, h, right = np.linalg.svd(programme.pooled_pull())
    if d <= _ALL_SIGNS_UP_TO:
        signs = np.array(list(product((1.0, -1.0), repeat=d)))
    else:
        rank = min(n_classes - 1, d)
        some = rng.choice([1.0, -1.0], size=(_N_SIGNS, d))
        some[: _N_SIGNS // 2, :rank] = 1.0  # the classes' own directions as the means ask
        signs = np.concatenate([np.ones((1, d)), some])
    found: Array = (left * (signs * singular_gains(h))[:, None, :]) @ right
    return found


def _matched(programme: MapProgramme, cells: Cells, rng: np.random.Generator) -> Array:
    """Return white maps that match eigenvectors of combinations of the cells, in order.

    Exact where one side is an affine image of the other: both are whitened alike.
    """
    source_means, source_lowers, target_means, target_lowers, _ = cells
    q, d = programme.q, programme.shape[1]
    sides = [
        _own_white(means, lowers, q)
        for means, lowers in ((source_means, source_lowers), (target_means, target_lowers))
    ]
    found = []
    for i in range(min(_N_MATCHED, 2 * d)):
        mix = rng.uniform(-1.0, 1.0, len(q))
        lean = rng.normal(size=len(q))
        bases, points = [], []
        for _, means, covs in sides:
            middle = lean @ (q[:, None] * means)
            combined = np.einsum("k,kij->ij", mix * q, covs) + np.outer(middle, middle)
            bases.append(np.linalg.eigh(combined)[1])
            points.append(means @ bases[-1])
        agree = np.einsum("k,ki,ki->i", q, *points)
        signs = np.where(agree < 0, -1.0, 1.0)
        if i % 2:
            # where means say little about a direction, either sign may be the better one
            weak = np.abs(agree) < 0.1 * np.abs(agree).max()
            signs = np.where(weak, rng.choice([1.0, -1.0], size=d), signs)
        turn = (bases[1] * signs) @ bases[0].T
        into = solve_triangular(sides[0][0], np.eye(d))  # R^-1: rows x R^-1 are white
        found.append(sides[1][0].T @ turn @ into.T)
    return programme.to_white(np.array(found))


def _own_white(means: Array, lowers: Array, q: Array) -> tuple[Array, Array, Array]:
    """Return R with R'R the total second moment, and white means and covariances."""
    d = means.shape[1]
    upper, middle = total_root(means, lowers, q)
    halves = solve_triangular(upper, lowers.transpose(1, 0, 2).reshape(d, -1), trans="T")
    halves = halves.reshape(d, len(q), d).swapaxes(0, 1)
    white = solve_triangular(upper, (means - middle).T, trans="T").T
    return upper, white, halves @ np.swapaxes(halves, 1, 2)


def total_root(means: Array, lowers: Array, q: Array) -> tuple[Array, Array]:
    """Return R, upper triangular, with R'R the covariance of the mixture, and its mean.

    Means (K, d), lower factors (K, d, d), weights (K,) that sum to 1.
    """
    d = means.shape[1]
    middle = q @ means
    root = np.sqrt(q)[:, None, None]
    between = root * (means - middle)[:, None, :]
    rows = np.concatenate([root * np.swapaxes(lowers, 1, 2), between], axis=1)
    (upper,) = qr(rows.reshape(-1, d), mode="r", check_finite=False)
    return upper[:d], middle
