"""Spectra that decide whether normal cells of free covariances are ideal: docs/theory.md, 5."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh, solve_triangular

from isonomy.ideal._cells import Array

__all__ = ["Spectra", "geometric_spectra", "spectral_distance", "two_class_spectrum"]

Spectra = tuple[Array, Array]
"""Places (..., d), rising, and the mass (..., d) at each."""

_N_MIXTURES = 24
_WORK = 4e10
"""Multiplications the mixtures may take: fewer of them where matrices are large."""

_FEWEST = 8


def two_class_spectrum(means: Array, covs: Array) -> Spectra:
    """Return ln eigenvalues of S_0^-1 S_1, rising, and the squared mean difference in each."""
    values, vectors = eigh(covs[1], covs[0])
    return np.log(values), (vectors.T @ (means[1] - means[0])) ** 2


def spectral_distance(p: Spectra, q: Spectra) -> float:
    """Return how far two spectra (d,) differ: in places, and in the mass up to each place.

    The area between the step functions of the masses, relative to 1 + the larger total:
    mass that moves within a cluster of places moves by the cluster's width only.
    """
    (places_p, mass_p), (places_q, mass_q) = p, q
    total_p, total_q = mass_p.sum(), mass_q.sum()
    size = 1.0 + max(total_p, total_q)
    places = np.concatenate([places_p, places_q])
    order = np.argsort(places, kind="stable")
    steps = np.concatenate([mass_p, -mass_q])[order]
    area = np.abs(np.cumsum(steps)[:-1]) @ np.diff(places[order])
    moved = np.abs(places_p - places_q).max() / (1.0 + np.abs(places).max())
    # the totals alone differ beyond the last place, where the area does not look
    return max(float(moved), float(area / size), float(abs(total_p - total_q) / size))


def geometric_spectra(means: Array, covs: Array) -> Spectra:
    """Return the spectra (n, d) of geometric means of one group's cells, beside their middle.

    Means (K, d), covariances (K, d, d). With precisions P_y and weights s that sum to 1,
    ``prod p_y^s_y`` is in proportion to the normal law G_s of precision ``P(s) = sum s_y P_y``
    and mean ``P(s)^-1 sum s_y P_y mu_y``. Each row compares G_s with the middle G_(1/K, ..) as
    :func:`two_class_spectrum` does. The s are the classes themselves and fixed draws half way
    to the middle, where P(s) is well conditioned in units of P(1/K, ..) whatever the cells.
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
    count = int(np.clip(_WORK / (10.0 * d**3), _FEWEST, _N_MIXTURES + n_classes))
    draws = np.random.default_rng(0).dirichlet(np.full(n_classes, 0.5), size=count)
    weights = 0.5 / n_classes + 0.5 * draws
    leans = np.einsum("kij,kj->ki", shapes, far)
    values, vectors = np.linalg.eigh(np.tensordot(weights, shapes, axes=1))
    along = np.einsum("nij,ni->nj", vectors, weights @ leans) / values
    # eigenvalues of a precision rise, those of the covariance fall
    mixtures = -np.log(values)[:, ::-1], (along**2)[:, ::-1]
    places, masses = (np.concatenate(parts) for parts in zip(corners, mixtures, strict=True))
    return places, masses
