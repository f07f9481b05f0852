"""Spectra that decide whether normal cells of free covariances are ideal: docs/theory.md, 5."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.ideal._cells import Array

__all__ = [
    "Spectra",
    "class_spectra",
    "mixture_weights",
    "mixtures_decide",
    "spectral_distance",
    "two_class_spectrum",
]

Spectra = tuple[Array, Array]
"""Places (..., d), rising, and the mass (..., d) at each."""

_N_MIXTURES = 24
_WORK = 4e10
"""Multiplications the mixtures may take: fewer of them where matrices are large."""

_EXTRA_WORK = 1e9
"""What comparing all pairs of classes, or as many mixtures as decide, may take besides."""

_FEWEST = 8


def two_class_spectrum(means: Array, covs: Array) -> Spectra:
    """Return ln eigenvalues of S_0^-1 S_1, rising, and the squared mean difference in each."""
    first, second = np.linalg.cholesky(covs)
    # singular values of a quotient of roots keep digits that those of the matrices lose
    vectors, values, _ = np.linalg.svd(solve_triangular(first, second, lower=True))
    far = vectors.T @ solve_triangular(first, means[1] - means[0], lower=True)
    return 2.0 * np.log(values[::-1]), far[::-1] ** 2


def class_spectra(means: Array, covs: Array) -> Spectra:
    """Return the spectra (n, d) by which a group's cells (K, d), (K, d, d) are compared.

    Two classes: their own, n = 1. More: those of every pair of classes, which see a small
    change beside a class far away, where K and d let them; and those of geometric means
    beside their middle, which decide.
    """
    n_classes, d = means.shape
    pairs = list(combinations(range(n_classes), 2))
    if len(pairs) > 1 and len(pairs) * _work(d) > _EXTRA_WORK:
        pairs = []
    spectra = [two_class_spectrum(means[[y, z]], covs[[y, z]]) for y, z in pairs]
    if n_classes > 2:
        spectra += zip(*_geometric_spectra(means, covs), strict=True)
    places, masses = (np.stack(part) for part in zip(*spectra, strict=True))
    return places, masses


def spectral_distance(p: Spectra, q: Spectra) -> float:
    """Return how far spectra (n, d) differ: in places, and in the mass up to each place.

    The area between the step functions of the masses, relative to 1 + the larger total:
    mass that moves within a cluster of places moves by the cluster's width only. The
    largest of the n distances.
    """
    (places_p, mass_p), (places_q, mass_q) = p, q
    total_p, total_q = mass_p.sum(axis=1), mass_q.sum(axis=1)
    size = 1.0 + np.maximum(total_p, total_q)
    places = np.concatenate([places_p, places_q], axis=1)
    order = np.argsort(places, axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)
    steps = np.take_along_axis(np.concatenate([mass_p, -mass_q], axis=1), order, axis=1)
    gaps = np.diff(places, axis=1)
    area = (np.abs(np.cumsum(steps, axis=1)[:, :-1]) * gaps).sum(axis=1)
    moved = np.abs(places_p - places_q).max(axis=1) / (1.0 + np.abs(places).max(axis=1))
    # the totals alone differ beyond the last place, where the area does not look
    return float(np.max([moved, area / size, np.abs(total_p - total_q) / size]))


def mixtures_decide(n_classes: int, d: int) -> bool:
    """Whether as many mixtures are compared as prove two groups' laws equal: 5.8 of the page."""
    return _n_mixtures(n_classes, d) >= _n_deciding(n_classes, d)


def _n_deciding(n_classes: int, d: int) -> int:
    """Return the number of monomials of degree d + 1 in K - 1 variables."""
    return comb(d + n_classes - 1, n_classes - 2)


def _n_mixtures(n_classes: int, d: int) -> int:
    deciding = _n_deciding(n_classes, d)
    usual = int(np.clip(_WORK / _work(d), _FEWEST, _N_MIXTURES + n_classes))
    return max(usual, deciding) if deciding * _work(d) <= _EXTRA_WORK else usual


def _work(d: int) -> float:
    # an eigenproblem takes about 10 d^3; small ones cost what calling them costs
    return 10.0 * max(d, 30) ** 3


def mixture_weights(n_classes: int, d: int) -> Array:
    """Return fixed weights (n, K) half way between Dirichlet draws and the middle."""
    size = _n_mixtures(n_classes, d)
    draws = np.random.default_rng(0).dirichlet(np.full(n_classes, 0.5), size=size)
    weights: Array = 0.5 / n_classes + 0.5 * draws
    return weights


def _geometric_spectra(means: Array, covs: Array) -> Spectra:
    """Return the spectra (n, d) of geometric means of one group's cells, beside their middle.

    With precisions P_y and weights s that sum to 1, ``prod p_y^s_y`` is in proportion to the
    normal law G_s of precision ``P(s) = sum s_y P_y`` and mean ``P(s)^-1 sum s_y P_y mu_y``.
    Each row compares G_s with the middle G_(1/K, ..) as :func:`two_class_spectrum` does. The
    s are the classes themselves and fixed draws half way to the middle, where P(s) is well
    conditioned in units of P(1/K, ..) whatever the cells.
    """
    n_classes, d = means.shape
    # R_y' R_y = P_y: products of roots keep the digits that precisions lose
    eye = np.eye(d)
    roots = np.stack([solve_triangular(np.linalg.cholesky(c), eye, lower=True) for c in covs])
    precisions = roots.swapaxes(1, 2) @ roots
    lower = np.linalg.cholesky(precisions.mean(axis=0))
    white = np.stack([solve_triangular(lower, r.T, lower=True).T for r in roots])
    shapes = white.swapaxes(1, 2) @ white
    far = (means - means[0]) @ lower
    far = far - np.einsum("kij,kj->i", shapes, far) / n_classes
    _, singular, turns = np.linalg.svd(white)
    corners = -2.0 * np.log(singular), np.einsum("kij,kj->ki", turns, far) ** 2
    weights = mixture_weights(n_classes, d)
    leans = np.einsum("kij,kj->ki", shapes, far)
    values, vectors = np.linalg.eigh(np.tensordot(weights, shapes, axes=1))
    along = np.einsum("nij,ni->nj", vectors, weights @ leans) / values
    # eigenvalues of a precision rise, those of the covariance fall
    mixtures = -np.log(values)[:, ::-1], (along**2)[:, ::-1]
    places, masses = (np.concatenate(parts) for parts in zip(corners, mixtures, strict=True))
    return places, masses
