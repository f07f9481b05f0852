"""All groups move, one covariance a group: the canonical cells of the nearest ideal.

Whitening every group and rotating its class means into the first r = min(K - 1, d)
axes loses nothing, so the search is over K canonical points in r dimensions.

Convexity. Write the programme in the K x K Gram matrix X of the canonical points
(moment), or T = A A' (I + A A')^-1 with A the weighted centred points (information).
Every group enters through the sum of phi(sqrt(s)) over the eigenvalues s of a matrix
that is LINEAR in X (in T), with phi(h) = min_v v^2/2 - v h - ln v - 1/2. The slope of
phi(sqrt(s)) in s is -(1 + sqrt(1 + 4/s))/4, which rises with s: the sum is convex. What
is left is linear in X, or -1/2 ln det(I - T), convex too. So with K - 1 <= d, where the
rank is free, a local minimum is the global optimum; with K - 1 > d the rank is bounded,
convexity is lost and several starts are tried. In the moment direction this is the
optimum among laws with one covariance a group. Proof: docs/decisions/0005.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, center
from isonomy.ideal._tied.closed_form import best_affine_map, class_coordinates, singular_gains
from isonomy.ideal._tied.frames import CanonicalFrame, assemble, frames_of, inner_map

__all__ = ["CanonicalPoints", "canonical_points", "group_coordinates", "solve_all_tied"]

_MAX_ITERATIONS = 20_000
_GRADIENT_TOLERANCE = 1e-6
"""The value is within about the square of this of the stationary value."""


@dataclass(frozen=True, eq=False)
class CanonicalPoints:
    """The canonical class means (K, r), covariance identity, and how they were found."""

    means: Array
    value: float
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]


def group_coordinates(means: Array, covariances: Array) -> Array:
    """Return whitened class coordinates (K, G, r) of means (K, G, d), covariances (G, d, d)."""
    return np.stack(
        [class_coordinates(means[:, a], covariances[a]) for a in range(means.shape[1])], axis=1
    )


def canonical_points(
    coordinates: Array, weights: Array, direction: Direction, start: Array | None = None
) -> CanonicalPoints:
    """Return the canonical class means nearest to all groups.

    Parameters
    ----------
    coordinates : (K, G, r)
        From :func:`group_coordinates`.
    weights : (K, G)
        The ideal priors (information) or the fitted priors (moment).
    direction : "information" or "moment"
    start : (K, r), optional
        Search from here alone.

    Notes
    -----
    K = 2: the stationarity equation in the canonical distance delta has exactly one
    root (its two sides divided by delta, or by t = delta sqrt(k / (1 + k delta^2)), are
    monotone in opposite directions), found to machine precision.
    Otherwise: L-BFGS over the points, with the maps profiled out by 3.3.
    """
    n_classes = coordinates.shape[0]
    if coordinates.shape[2] == 1 and n_classes == 2:
        return _two_classes(coordinates, weights, direction)
    convex = n_classes - 1 <= coordinates.shape[2]  # r = min(K - 1, d), so: K - 1 <= d
    starts = [_average_gram(coordinates, weights) if start is None else start]
    if not convex and start is None:
        starts += [coordinates[:, a] for a in range(coordinates.shape[1])]
        turns = np.random.default_rng(0).normal(size=(6, *starts[0].shape))
        starts += [starts[0] + 0.5 * np.std(starts[0]) * turn for turn in turns]
    runs = [_descend(start, coordinates, weights, direction) for start in starts]
    best = min(runs, key=lambda run: run.value)
    return CanonicalPoints(
        best.means, best.value, best.converged, convex and best.converged, best.n_iter, best.history
    )


def _two_classes(coordinates: Array, weights: Array, direction: Direction) -> CanonicalPoints:
    distance = np.abs(coordinates[1, :, 0] - coordinates[0, :, 0])
    total = weights.sum(axis=0)
    kappa = weights[0] * weights[1] / total**2
    if not distance.any():
        return _as_points(0.0, coordinates, weights, direction)
    if direction == "moment":
        pull = kappa * distance / np.sqrt(1.0 + kappa * distance**2)

        def slope(delta: float) -> float:
            return float(total @ (kappa * delta - pull * singular_gains(pull * delta)))

        high = 2.0 * distance.max()
        while slope(high) <= 0.0:
            high *= 2.0
        return _as_points(_root(slope, high), coordinates, weights, direction)

    # information: the weights factorise, so kappa is one number; t = sin of an angle
    common = float(kappa.mean())
    reach = np.sqrt(common) * distance

    def slope_angle(delta: float) -> float:
        t = np.sqrt(common) * delta / np.sqrt(1.0 + common * delta**2)
        return float(
            total.sum() * np.sqrt(common) * delta * np.sqrt(1.0 + common * delta**2)
            - total @ (reach * singular_gains(reach * t))
        )

    high = 2.0 * distance.max()
    while slope_angle(high) <= 0.0:
        high *= 2.0
    return _as_points(_root(slope_angle, high), coordinates, weights, direction)


def _root(slope: Callable[[float], float], high: float) -> float:
    return float(brentq(slope, 0.0, high, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=500))


def _as_points(
    delta: float, coordinates: Array, weights: Array, direction: Direction
) -> CanonicalPoints:
    means = np.array([[0.0], [delta]])
    value, _ = _value_and_gradient(means, coordinates, weights, direction)
    return CanonicalPoints(means, value, True, True, 1, (value,))


def _average_gram(coordinates: Array, weights: Array) -> Array:
    """Return points (K, r) whose Gram matrix is nearest to the groups' average."""
    share = weights.sum(axis=0)
    grams = np.zeros((len(coordinates), len(coordinates)))
    for a, part in enumerate(share / share.sum()):
        centred = coordinates[:, a] - coordinates[:, a].mean(axis=0)
        grams += part * centred @ centred.T
    values, vectors = np.linalg.eigh(grams)
    r = coordinates.shape[2]
    points: Array = vectors[:, -r:] * np.sqrt(np.maximum(values[-r:], 0.0))
    return points


def _value_and_gradient(
    points: Array, coordinates: Array, weights: Array, direction: Direction
) -> tuple[float, Array]:
    """Return sum q_ya KL at the best maps, and its gradient in ``points`` (K, r).

    The maps are optimal, so the gradient is the partial one at fixed maps (envelope).
    """
    value, gradient = 0.0, np.zeros_like(points)
    eye = np.eye(points.shape[1])
    for a in range(coordinates.shape[1]):
        q = weights[:, a]
        found = (points, coordinates[:, a])
        source, target = found if direction == "information" else found[::-1]
        matrix, _ = best_affine_map(source, eye, target, eye, q)
        miss = center(source, q)[1] @ matrix.T - center(target, q)[1]
        miss = q[:, None] * miss
        gradient += miss @ matrix if direction == "information" else -miss
        sizes = np.linalg.svd(matrix, compute_uv=False)
        spread = 0.5 * (sizes**2 - 1.0).sum() - np.log(sizes).sum()
        value += q.sum() * spread + 0.5 * float((miss**2 / q[:, None]).sum())
    return float(value), gradient


def _descend(
    start: Array, coordinates: Array, weights: Array, direction: Direction
) -> CanonicalPoints:
    scaled = weights / weights.sum()
    shape = start.shape

    def flat(x: Array) -> tuple[float, Array]:
        value, gradient = _value_and_gradient(x.reshape(shape), coordinates, scaled, direction)
        return value, gradient.ravel()

    history = [flat(start.ravel())[0]]
    found = minimize(
        flat,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: history.append(float(intermediate_result.fun)),
        options={
            "maxiter": _MAX_ITERATIONS,
            "maxfun": 2 * _MAX_ITERATIONS,
            "maxcor": 30,
            "ftol": 1e-16,
            "gtol": 1e-11,
        },
    )
    value, gradient = flat(found.x)
    converged = bool(np.abs(gradient).max() < _GRADIENT_TOLERANCE)
    total = weights.sum()
    kept = tuple(np.minimum.accumulate([total * v for v in [*history, value]]).tolist())
    return CanonicalPoints(
        found.x.reshape(shape), total * value, converged, False, int(found.nit), kept
    )


def solve_all_tied(
    cells: CellArrays,
    weights: Array,
    reference: int,
    direction: Direction,
    start: Array | None = None,
) -> Solved:
    """Return the nearest ideal cells and the maps of rows, all groups moving, tied.

    In the moment direction the ideal is sought within the tied family: the canonical
    cells share one covariance. (In the information direction the best canonical cells
    share one anyway.)
    """
    frames = frames_of(cells)
    coordinates = np.stack([frame.coordinates for frame in frames], axis=1)
    points = canonical_points(coordinates, weights, direction, start)
    inner = [
        inner_map(points.means, frame.coordinates, weights[:, a], direction)
        for a, frame in enumerate(frames)
    ]
    return assemble(
        cells,
        frames,
        inner,
        weights,
        CanonicalFrame(points.means, reference, direction),
        converged=points.converged,
        global_optimum=points.global_optimum,
        n_iter=points.n_iter,
        history=points.history,
    )
