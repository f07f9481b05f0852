"""Hypothesis strategies: laws, maps and joint laws of one dimension, drawn together."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from isonomy.distributions import AffineMap, JointDistribution, LogNormal, Normal

SEEDS = st.integers(0, 2**32 - 1)
"""Arrays are drawn from a seed: Hypothesis then varies shapes, scales and seeds."""


def random_covariance(
    rng: np.random.Generator, d: int, *, condition: float = 100.0
) -> NDArray[np.float64]:
    """Return a positive definite matrix whose eigenvalues span at most ``condition``."""
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = np.exp(rng.uniform(0.0, np.log(condition), size=d))
    covariance: NDArray[np.float64] = (basis * values) @ basis.T
    return 0.5 * (covariance + covariance.T)


def random_matrix(rng: np.random.Generator, d: int) -> NDArray[np.float64]:
    """Return an invertible matrix with singular values in [1/3, 3], either orientation."""
    left, _ = np.linalg.qr(rng.normal(size=(d, d)))
    right, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return np.asarray((left * np.exp(rng.uniform(-1.1, 1.1, size=d))) @ right)


@st.composite
def dimensions(draw: st.DrawFn, max_features: int = 5) -> int:
    """Draw a small number of features."""
    return draw(st.integers(1, max_features))


@st.composite
def normals(draw: st.DrawFn, d: int, kind: type[Any] = Normal) -> Any:
    """Draw a Normal (or LogNormal) of ``d`` features."""
    rng = np.random.default_rng(draw(SEEDS))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e3])) if kind is Normal else 1.0
    return kind(scale * rng.normal(size=d), scale**2 * random_covariance(rng, d))


def lognormals(d: int) -> st.SearchStrategy[LogNormal]:
    """Draw a LogNormal of ``d`` features."""
    return normals(d, LogNormal)


@st.composite
def affine_maps(draw: st.DrawFn, d: int) -> AffineMap:
    """Draw an invertible dense affine map of ``d`` features."""
    rng = np.random.default_rng(draw(SEEDS))
    return AffineMap(random_matrix(rng, d), rng.normal(size=d))


@st.composite
def low_rank_maps(draw: st.DrawFn, d: int) -> AffineMap:
    """Draw an invertible map x + U V'x + b whose rank is below ``d`` (0 where d is 1)."""
    rng = np.random.default_rng(draw(SEEDS))
    r = draw(st.integers(0, max(0, d - 1)))
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    right = basis[:, :r]
    # I + V'U = a well-conditioned core, plus any part of U outside the span of V
    left = right @ (random_matrix(rng, r) - np.eye(r)) + basis[:, r:] @ rng.normal(size=(d - r, r))
    return AffineMap.low_rank(left, right, rng.normal(size=d))


@st.composite
def laws_and_map(draw: st.DrawFn, n_laws: int = 2) -> tuple[Any, ...]:
    """Draw ``n_laws`` normals and an invertible affine map of one dimension."""
    d = draw(dimensions())
    laws = [draw(normals(d)) for _ in range(n_laws)]
    return (*laws, draw(affine_maps(d)))


@st.composite
def joints(
    draw: st.DrawFn,
    *,
    max_classes: int = 3,
    max_groups: int = 3,
    max_features: int = 3,
    covariance: str = "full",
    family: str = "normal",
    shape: tuple[int, int, int] | None = None,
) -> JointDistribution:
    """Draw a joint law; ``covariance`` is "full" or "tied", ``shape`` fixes (K, G, d)."""
    k, g, d = shape or (
        draw(st.integers(2, max_classes)),
        draw(st.integers(2, max_groups)),
        draw(st.integers(1, max_features)),
    )
    rng = np.random.default_rng(draw(SEEDS))
    prior = rng.dirichlet(np.full(k * g, 5.0)).reshape(k, g)
    leading = (g,) if covariance == "tied" else (k, g)
    covariances = np.empty((*leading, d, d))
    for cell in np.ndindex(leading):
        covariances[cell] = random_covariance(rng, d, condition=10.0)
    labels = [f"class {i}" for i in range(k)], [f"group {i}" for i in range(g)]
    return JointDistribution.from_arrays(
        rng.normal(size=(k, g, d)), covariances, prior, *labels, family=family
    )
