"""From moments or gradients to the rows of every ``lora_A``, and the line of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._start._directions import (
    Rows,
    leading_right_vectors,
    orthonormal_rows,
    principal_rows,
    tail_matrix,
    tail_rows,
)
from isonomy.adapters._start._gradient import GradientRecorder
from isonomy.adapters._start._moments import MomentRecorder
from isonomy.adapters._start._report import ModuleStart
from isonomy.adapters._start._targets import Target
from isonomy.adapters._start._whitening import whitening_of
from isonomy.adapters._start._writing import completed
from isonomy.distributions.shrinkage import Shrinkage

__all__ = ["Solution", "from_gradients", "from_moments", "untouched"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """What to write: ``rows`` by target (one that is not in it keeps its own), and the report."""

    rows: dict[str, Floats]
    modules: tuple[ModuleStart, ...]


def from_moments(
    targets: Sequence[Target],
    recorder: MomentRecorder,
    counts: Floats,
    tail: NDArray[np.bool_],
    shrinkage: Shrinkage,
) -> Solution:
    """Return rows from the tail's structure, filled up from the inputs' principal directions."""

    @cache
    def solved(leader: str, r: int) -> tuple[Rows, Floats]:
        found = recorder.moments(leader)
        between = found.between
        white = whitening_of(
            found.within, np.diagonal(between), found.centre, found.free, shrinkage
        )
        matrix = tail_matrix(found.means, found.n_rows, counts, tail)
        first = tail_rows(matrix, white, r)
        basis = orthonormal_rows(first.rows)
        return first, principal_rows(found.within + between, basis, r - len(basis))

    rows, modules = {}, []
    for target in targets:
        leader = recorder.leaders.get(target.name, target.name)
        if leader not in recorder.found:
            reason = recorder.unread.get(target.name, "it did not run in the forward pass")
            modules.append(_untouched(target, reason))
            continue
        first, rest = solved(leader, target.a.shape[0])
        rows[target.name] = completed(np.concatenate([first.rows, rest]), target)
        modules.append(_started(target, len(first.rows), len(rest), first.captured))
    return Solution(rows, tuple(modules))


def from_gradients(targets: Sequence[Target], recorder: GradientRecorder) -> Solution:
    """Return rows that are the leading right-singular vectors of each weight's gradient."""
    rows, modules = {}, []
    for target in targets:
        gradient = recorder.gradient(target.name)
        if gradient is None or not gradient.any():
            modules.append(_untouched(target, "the loss of the rare classes has no gradient there"))
            continue
        found, captured = leading_right_vectors(gradient, target.a.shape[0])
        rows[target.name] = completed(found, target)
        modules.append(_started(target, len(found), 0, captured))
    return Solution(rows, tuple(modules))


def untouched(left: Mapping[str, str]) -> tuple[ModuleStart, ...]:
    """Return the report's lines of parts that have no matrix to start."""
    return tuple(ModuleStart(name, 0, 0, 0, None, reason) for name, reason in left.items())


def _untouched(target: Target, reason: str) -> ModuleStart:
    return ModuleStart(target.name, 0, 0, target.a.shape[0], None, reason)


def _started(target: Target, n_tail: int, n_inputs: int, captured: float) -> ModuleStart:
    n_default = target.a.shape[0] - n_tail - n_inputs
    share = None if np.isnan(captured) else float(captured)
    return ModuleStart(target.name, n_tail, n_inputs, n_default, share)
