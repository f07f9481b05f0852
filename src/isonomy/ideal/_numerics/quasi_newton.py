"""Limited-memory BFGS from many starts at once: every step evaluates all of them together.

One start at a time, most of the seconds of a small problem go into calls of the
interpreter; a batch of starts shares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.ideal._cells import Array

__all__ = ["Descents", "descend"]

ValueAndGradient = Callable[[Array], tuple[Array, Array]]
"""Points (n, N) -> values (n,), infinite where undefined, and gradients (n, N)."""

_MEMORY = 20
_ARMIJO = 1e-4
_LEAST_STEP = 1e-12
_IDLE = 6
"""Steps in a row whose gain is rounding, after which a descent ends."""


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
    function: ValueAndGradient, starts: Array, *, n_steps: int, tolerance: float
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

    Notes
    -----
    Armijo's rule with quadratic interpolation; pairs without positive curvature are
    left out of the memory. A point of infinite value is stepped back from.
    """
    values, gradients = function(starts)
    state = _State(starts.copy(), values, gradients)
    trace = [state.values.copy()]
    for _ in range(n_steps):
        running = np.flatnonzero(state.runs(tolerance))
        if not len(running):
            break
        state.advance(function, running)
        trace.append(state.values.copy())
    steepness = np.abs(state.gradients).max(axis=1)
    return Descents(state.points, state.values, steepness, np.array(trace))


class _State:
    """Points, gradients, directions and memories of all descents."""

    def __init__(self, points: Array, values: Array, gradients: Array) -> None:
        n, size = points.shape
        self.points, self.values, self.gradients = points, values, gradients
        self.moves, self.turns = np.zeros((_MEMORY, n, size)), np.zeros((_MEMORY, n, size))
        self.inverse, self.scale = np.zeros((_MEMORY, n)), np.ones(n)
        self.n_pairs = np.zeros(n, dtype=int)
        self.directions = -gradients
        length = np.linalg.norm(gradients, axis=1)
        self.first = 1.0 / np.maximum(length, 1.0)
        self.steps = self.first.copy()
        self.stuck = np.zeros(n, dtype=bool)
        self.n_idle = np.zeros(n, dtype=int)

    def runs(self, tolerance: float) -> NDArray[np.bool_]:
        steep = np.abs(self.gradients).max(axis=1) > tolerance
        running: NDArray[np.bool_] = steep & ~self.stuck & np.isfinite(self.values)
        return running

    def advance(self, function: ValueAndGradient, run: NDArray[np.intp]) -> None:
        """Try one step of the descents ``run``."""
        step, direction = self.steps[run], self.directions[run]
        value, gradient = self.values[run], self.gradients[run]
        move = step[:, None] * direction
        trial = self.points[run] + move
        with np.errstate(over="ignore", invalid="ignore"):
            found, slopes = function(trial)
        slope = np.einsum("ij,ij->i", gradient, direction)
        good = np.isfinite(found) & (found <= value + _ARMIJO * step * slope)
        turn = slopes - gradient
        self._remember(run[good], move[good], turn[good])
        taken = run[good]
        gain = value[good] - found[good]
        idle = gain <= 4.0 * np.finfo(np.float64).eps * (1.0 + np.abs(found[good]))
        self.n_idle[taken] = np.where(idle, self.n_idle[taken] + 1, 0)
        self.stuck[taken] = self.n_idle[taken] >= _IDLE
        self.points[taken], self.values[taken] = trial[good], found[good]
        self.gradients[taken] = slopes[good]
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
        again = lost[fresh]
        self.n_pairs[again] = 0
        self.directions[again] = -self.gradients[again]
        self.first[again] = 1.0 / np.maximum(np.linalg.norm(self.gradients[again], axis=1), 1.0)
        self.steps[again] = self.first[again]
        self.stuck[lost[~fresh]] = True

    def _remember(self, run: NDArray[np.intp], move: Array, turn: Array) -> None:
        curve = np.einsum("ij,ij->i", move, turn)
        sizes = np.linalg.norm(move, axis=1) * np.linalg.norm(turn, axis=1)
        fit = curve > 1e-10 * sizes
        run, curve, turn = run[fit], curve[fit], turn[fit]
        place = self.n_pairs[run] % _MEMORY
        self.moves[place, run], self.turns[place, run] = move[fit], turn
        self.inverse[place, run] = 1.0 / curve
        self.scale[run] = curve / np.einsum("ij,ij->i", turn, turn)
        self.n_pairs[run] += 1

    def _direct(self, run: NDArray[np.intp]) -> Array:
        """Return minus the approximate inverse Hessian times the gradients."""
        pairs = self.n_pairs[run]
        depth = int(np.minimum(pairs, _MEMORY).max(initial=0))
        q = self.gradients[run].copy()
        weights = np.zeros((depth, len(run)))
        for j in range(depth):
            place, there = (pairs - 1 - j) % _MEMORY, j < pairs
            lean = self.inverse[place, run] * np.einsum("ij,ij->i", self.moves[place, run], q)
            weights[j] = np.where(there, lean, 0.0)
            q -= weights[j][:, None] * self.turns[place, run]
        q *= np.where(pairs > 0, self.scale[run], 1.0)[:, None]
        for j in range(depth - 1, -1, -1):
            place, there = (pairs - 1 - j) % _MEMORY, j < pairs
            lean = self.inverse[place, run] * np.einsum("ij,ij->i", self.turns[place, run], q)
            q += np.where(there, weights[j] - lean, 0.0)[:, None] * self.moves[place, run]
        slope = np.einsum("ij,ij->i", q, self.gradients[run])
        # without descent (rounding) the gradient itself
        return -np.where((slope > 0)[:, None], q, self.gradients[run])
