"""Limited-memory BFGS from many starts at once: every step evaluates all of them together.

One start at a time, most of the seconds of a small problem go into calls of the
interpreter; a batch of starts shares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isonomy.ideal._cells import Array

__all__ = ["Descents", "Steps", "descend"]

ValueAndGradient = Callable[[Array], tuple[Array, Array]]
"""Points (n, N) -> values (n,), infinite where undefined, and gradients (n, N)."""

_MEMORY = 20
_ARMIJO = 1e-4
_FLATTER = 0.9
_LEAST_STEP = 1e-12
_IDLE, _IDLE_IN_NOISE = 6, 20
"""Steps in a row that gain no more than rounding, or noise, after which a descent ends."""

_LONG = 20_000
"""Numbers of a point from which the memory is in single precision: it only shapes directions."""

_PREPARED, _LATER = 50, 1.5
"""Steps until the curvature of `Steps` is taken again, and how much later each time."""


class Steps(Protocol):
    """Steps that are not straight lines, and what is known of the curvature along them.

    ``run`` are the positions of the descents; the other arrays have one row for each.
    """

    def prepare(self, run: NDArray[np.intp], points: Array, /) -> None:
        """Take the curvature at the points."""

    def pull(self, points: Array, gradients: Array, /) -> Array:
        """Return the slopes in the moves at no move."""

    def move(self, points: Array, moves: Array, /) -> Array:
        """Return the points that moves lead to."""

    def precondition(self, run: NDArray[np.intp], slopes: Array, /) -> Array:
        """Return slopes divided by the curvature, which is positive."""


class _Straight:
    """Straight steps of unknown curvature."""

    def prepare(self, run: NDArray[np.intp], points: Array) -> None:
        """Know nothing."""

    def pull(self, points: Array, gradients: Array) -> Array:
        return gradients

    def move(self, points: Array, moves: Array) -> Array:
        return points + moves

    def precondition(self, run: NDArray[np.intp], slopes: Array) -> Array:
        return slopes


@dataclass(frozen=True, eq=False)
class Descents:
    """Where the descents ended: points (n, N), values (n,), largest gradient entries (n,).

    ``trace`` (steps + 1, n) are the values after every step; they never rise.
    """

    points: Array
    values: Array
    steepness: Array
    trace: Array

    @property
    def n_iter(self) -> int:
        """Steps that were taken."""
        return len(self.trace) - 1

    @property
    def best(self) -> int:
        """The position of the lowest value."""
        return int(np.argmin(self.values))


def descend(
    function: ValueAndGradient,
    starts: Array,
    *,
    n_steps: int,
    tolerance: float,
    along: Steps | None = None,
    noise: float = 0.0,
) -> Descents:
    """Return where L-BFGS leads from every start.

    Parameters
    ----------
    function : callable
        Values and gradients of a batch of points.
    starts : (n, N)
        Where the value is finite.
    n_steps : int
        Evaluations at most.
    tolerance : float
        A descent stops where no entry of its gradient is larger in size.
    along : Steps, optional
        How points move; straight lines by default.
    noise : float
        Error of the values, relative to 1 + the value. Where the slope falls, a step may
        raise the value by that much; ``trace`` are then the lowest values so far.

    Notes
    -----
    Armijo's rule with quadratic interpolation; pairs without positive curvature are
    left out of the memory. A point of infinite value is stepped back from.
    """
    values, gradients = function(starts)
    state = _State(starts.copy(), values, gradients, along or _Straight(), noise)
    trace = [state.values.copy()]
    prepared, pause = 0, float(_PREPARED)
    for step in range(n_steps):
        running = np.flatnonzero(state.runs(tolerance))
        if not len(running):
            break
        if step == prepared:
            state.prepare(running)
            prepared, pause = step + int(pause), _LATER * pause
        state.advance(function, running)
        trace.append(state.values.copy())
    lowest = np.minimum.accumulate(np.array(trace), axis=0)
    return Descents(state.points, state.values, state.steepness, lowest)


class _State:
    """Points, gradients, directions and memories of all descents."""

    def __init__(
        self, points: Array, values: Array, gradients: Array, along: Steps, noise: float
    ) -> None:
        n, size = points.shape
        self.points, self.values, self.along, self.noise = points, values, along, noise
        self.gradients, self.steepness = along.pull(points, gradients), _largest(gradients)
        kind = np.float32 if size >= _LONG else np.float64
        self.moves, self.turns = (np.zeros((_MEMORY, n, size), dtype=kind) for _ in range(2))
        self.inverse, self.scale = np.zeros((_MEMORY, n)), np.ones(n)
        self.n_pairs = np.zeros(n, dtype=int)
        self.directions = np.empty((n, size))
        self.first, self.steps = np.ones(n), np.ones(n)
        self.stuck = np.zeros(n, dtype=bool)
        self.n_idle, self.marks = np.zeros(n, dtype=int), values.copy()

    def runs(self, tolerance: float) -> NDArray[np.bool_]:
        steep = self.steepness > tolerance
        running: NDArray[np.bool_] = steep & ~self.stuck & np.isfinite(self.values)
        return running

    def prepare(self, run: NDArray[np.intp]) -> None:
        """Take the curvature, and at the start the first directions."""
        self.along.prepare(run, self.points[run])
        self._restart(run[self.n_pairs[run] == 0])

    def _restart(self, run: NDArray[np.intp]) -> None:
        """Go down the slope, with nothing remembered."""
        self.n_pairs[run] = 0
        self.directions[run] = -self.along.precondition(run, self.gradients[run])
        self.first[run] = 1.0 / np.maximum(np.linalg.norm(self.directions[run], axis=1), 1.0)
        self.steps[run] = self.first[run]

    def advance(self, function: ValueAndGradient, run: NDArray[np.intp]) -> None:
        """Try one step of the descents ``run``."""
        step, direction = self.steps[run], self.directions[run]
        value, gradient = self.values[run], self.gradients[run]
        move = step[:, None] * direction
        with np.errstate(over="ignore", invalid="ignore"):
            trial = self.along.move(self.points[run], move)
            found, steep = function(trial)
            slopes = self.along.pull(trial, steep)
        slope = _products(gradient, direction)
        good = np.isfinite(found) & (found <= value + _ARMIJO * step * slope)
        if self.noise:
            level = np.abs(_products(slopes, direction)) <= _FLATTER * np.abs(slope)
            good |= level & (found <= value + self.noise * (1.0 + np.abs(value)))
        turn = slopes - gradient
        self._remember(run[good], move[good], turn[good])
        taken = run[good]
        least = max(self.noise, 4.0 * np.finfo(np.float64).eps) * (1.0 + np.abs(found[good]))
        idle = self.marks[taken] - found[good] <= least
        self.n_idle[taken] = np.where(idle, self.n_idle[taken] + 1, 0)
        self.marks[taken] = np.where(idle, self.marks[taken], found[good])
        self.stuck[taken] = self.n_idle[taken] >= (_IDLE_IN_NOISE if self.noise else _IDLE)
        self.points[taken], self.values[taken] = trial[good], found[good]
        self.gradients[taken], self.steepness[taken] = slopes[good], _largest(steep[good])
        if len(taken):
            self.directions[taken] = self._direct(taken)
            self.steps[taken] = np.where(self.n_pairs[taken] > 0, 1.0, self.first[taken])
        self._step_back(run[~good], found[~good], slope[~good])

    def _step_back(self, run: NDArray[np.intp], found: Array, slope: Array) -> None:
        step = self.steps[run]
        with np.errstate(all="ignore"):
            bend = 2.0 * (found - self.values[run] - slope * step)
            ideal = np.where(np.isfinite(bend) & (bend > 0), -slope * step**2 / bend, 0.0)
        self.steps[run] = np.clip(ideal, 0.1 * step, 0.5 * step)
        lost = run[self.steps[run] < _LEAST_STEP]
        fresh = self.n_pairs[lost] > 0  # once more along the gradient, with nothing remembered
        self._restart(lost[fresh])
        self.stuck[lost[~fresh]] = True

    def _remember(self, run: NDArray[np.intp], move: Array, turn: Array) -> None:
        curve = _products(move, turn)
        sizes = np.linalg.norm(move, axis=1) * np.linalg.norm(turn, axis=1)
        fit = curve > 1e-10 * sizes
        run, curve, turn = run[fit], curve[fit], turn[fit]
        place = self.n_pairs[run] % _MEMORY
        self.moves[place, run], self.turns[place, run] = move[fit], turn
        self.inverse[place, run] = 1.0 / curve
        self.scale[run] = curve / _products(turn, self.along.precondition(run, turn))
        self.n_pairs[run] += 1

    def _direct(self, run: NDArray[np.intp]) -> Array:
        """Return minus the approximate inverse Hessian times the gradients."""
        pairs = self.n_pairs[run]
        depth = int(np.minimum(pairs, _MEMORY).max(initial=0))
        kind = self.moves.dtype
        q = self.gradients[run].astype(kind)
        weights = np.zeros((depth, len(run)), dtype=kind)
        for j in range(depth):
            place, there = (pairs - 1 - j) % _MEMORY, j < pairs
            lean = self.inverse[place, run] * _products(_taken(self.moves, place, run), q)
            weights[j] = np.where(there, lean, 0.0)
            q -= weights[j][:, None] * _taken(self.turns, place, run)
        q *= np.where(pairs > 0, self.scale[run], 1.0).astype(kind)[:, None]
        q = self.along.precondition(run, q).astype(kind, copy=False)
        for j in range(depth - 1, -1, -1):
            place, there = (pairs - 1 - j) % _MEMORY, j < pairs
            lean = self.inverse[place, run] * _products(_taken(self.turns, place, run), q)
            lift = np.where(there, weights[j] - lean, 0.0).astype(kind)
            q += lift[:, None] * _taken(self.moves, place, run)
        q = q.astype(np.float64, copy=False)
        slope = _products(q, self.gradients[run])
        # without descent (rounding) the gradient itself
        return -np.where((slope > 0)[:, None], q, self.gradients[run])


def _taken(memory: Array, place: NDArray[np.intp], run: NDArray[np.intp]) -> Array:
    """Return ``memory[place, run]`` (n, N), for a single descent without a copy."""
    alone = len(run) == 1
    found: Array = memory[place[0], run[0]][None] if alone else memory[place, run]
    return found


def _products(a: Array, b: Array) -> Array:
    """Return the inner products of rows, (n,); of a single long row by BLAS."""
    if len(a) == 1 and a.shape[1] >= _LONG:
        return np.array([a[0] @ b[0]], dtype=a.dtype)
    found: Array = np.einsum("ij,ij->i", a, b)
    return found


def _largest(gradients: Array) -> Array:
    found: Array = np.abs(gradients).max(axis=1)
    return found
