"""`nearest_ideal` in many dimensions: seconds against one eigenproblem, memory against d^2."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh

from isonomy.distributions import JointDistribution
from isonomy.ideal import nearest_ideal

__all__ = ["large_calls", "peak_in_squares", "tied_joint"]


def tied_joint(n_classes: int, d: int, seed: int = 0) -> JointDistribution:
    """Return two groups of tied normal cells, well conditioned, different in everything."""
    rng = np.random.default_rng(seed)
    covariances = np.empty((2, d, d))
    for a in range(2):
        # low rank plus a diagonal: d^2 work in place of the d^3 of a product of factors
        wide = rng.standard_normal((d, 64)) * np.linspace(1.0, 0.1, 64)
        np.matmul(wide, wide.T, out=covariances[a])
        covariances[a] += np.diag(rng.uniform(0.5, 2.0, d))
    means = rng.standard_normal((n_classes, 1, d)) + 0.2 * rng.standard_normal((n_classes, 2, d))
    prior = rng.dirichlet(np.full(2 * n_classes, 20.0)).reshape(n_classes, 2)
    return JointDistribution.from_arrays(means, covariances, prior, range(n_classes), ["f", "m"])


def large_calls(joint: JointDistribution) -> dict[str, Callable[[], Any]]:
    """Return the calls to time, by name; the eigenproblem is the yardstick."""
    covariance = np.array(joint.covariances[0, 0])
    return {
        "eigenproblem": lambda: eigh(covariance),
        "one group moves": lambda: nearest_ideal(joint, moves=["m"]),
        "one group moves, moment": lambda: nearest_ideal(joint, moves=["m"], direction="moment"),
        "all move": lambda: nearest_ideal(joint),
    }


def peak_in_squares(call: Callable[[], Any], d: int) -> tuple[float, float]:
    """Return the peak of what ``call`` allocates and what its result keeps, in 8 d^2 bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = call()
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del kept
    return peak / (8.0 * d * d), now / (8.0 * d * d)
