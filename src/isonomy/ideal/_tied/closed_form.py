"""The best affine map between two families of normals that share a covariance (3.3)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr, solve_triangular

from isonomy.ideal._cells import Array, center
from isonomy.ideal._numerics.polar import orthogonal_factor

__all__ = ["best_affine_map", "class_coordinates", "singular_gains"]


def best_affine_map(
    source_means: Array,
    source_cov: Array,
    target_means: Array,
    target_cov: Array,
    weights: Array,
    *,
    least_movement: bool = True,
) -> tuple[Array, Array]:
    """Return the affine map that carries the source cells nearest to the target cells.

    Parameters
    ----------
    source_means, target_means : (K, d)
        Class means mu_y and m_y.
    source_cov, target_cov : (d, d)
        Sigma and S, each shared by the classes.
    weights : (K,)
        Positive weights q_y; only their ratios matter.
    least_movement : bool
        False where only the image of the source cells is wanted: it is the same for every
        R below, and R is left at what costs least.

    Returns
    -------
    matrix (d, d), offset (d,)
        The global minimiser over all invertible affine maps of
        ``sum_y q_y KL(V # N(mu_y, Sigma) || N(m_y, S))``.

    Notes
    -----
    With q summing to 1, M1 and M0 the centred rows of mu and m::

        G = Sigma + M1' diag(q) M1 = Lg Lg',   S = Ls Ls'
        H = Lg^-1 M1' diag(q) M0 Ls^-T = U diag(h) W'
        v_i = (h_i + sqrt(h_i^2 + 4)) / 2
        V = Ls W diag(v) U' Lg^-1,   b = m_bar - V mu_bar

    Where h_i = 0 (at least d - K + 1 times) any rotation R between the null spaces is
    optimal; the one that moves rows least is R = polar(W_n' Ls' Lg U_n).
    Source: theory.md 3.3 (von Neumann's trace inequality).
    """
    q = weights / weights.sum()
    source_middle, source = center(source_means, q)
    target_middle, target = center(target_means, q)
    root = np.sqrt(q)[:, None]
    lower_g = np.linalg.cholesky(source_cov + (root * source).T @ (root * source))
    lower_s = np.linalg.cholesky(target_cov)
    a = solve_triangular(lower_g, (root * source).T, lower=True)
    b = solve_triangular(lower_s, (root * target).T, lower=True)
    u_full, h, w_full = _aligned_bases(a, b)
    rank = len(h)
    u, w = u_full[:, rank:], w_full[:, rank:]
    middle = (w_full[:, :rank] * singular_gains(h)) @ u_full[:, :rank].T
    if least_movement or rank < min(len(q) - 1, len(u_full)):
        # of less than full rank the class directions themselves can be turned
        middle += w @ orthogonal_factor(w.T @ (lower_s.T @ lower_g) @ u) @ u.T
    else:
        middle += w @ u.T
    matrix = lower_s @ solve_triangular(lower_g, middle.T, lower=True, trans="T").T
    return matrix, target_middle - matrix @ source_middle


def singular_gains(h: Array) -> Array:
    """Return v = (h + sqrt(h^2 + 4)) / 2, the minimiser of v^2/2 - v h - ln v."""
    gains: Array = 0.5 * (h + np.sqrt(h * h + 4.0))
    return gains


def _aligned_bases(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Return U (d, d), h (r,), W (d, d) with ``a b' = U[:, :r] diag(h) W[:, :r]'``.

    ``a`` and ``b`` are (d, K). Only singular values beyond rounding are kept; the other
    columns of U and W are any bases of the null spaces.
    """
    d, n_classes = a.shape
    if n_classes >= d:
        u, h, wt = np.linalg.svd(a @ b.T)
        w = wt.T
    else:
        # two thin decompositions and one of size K: the d x d product is never decomposed
        basis_a, upper_a = qr(a)
        basis_b, upper_b = qr(b)
        core_u, h, core_wt = np.linalg.svd(upper_a[:n_classes] @ upper_b[:n_classes].T)
        u, w = basis_a, basis_b
        u[:, :n_classes] = u[:, :n_classes] @ core_u
        w[:, :n_classes] = w[:, :n_classes] @ core_wt.T
    # |a| <= 1, so rounding in the product is a few eps |b|, however small h itself is
    noise = 8.0 * max(d, n_classes) * np.finfo(np.float64).eps * np.linalg.norm(b)
    return u, h[h > noise], w


def class_coordinates(means: Array, cov: Array) -> Array:
    """Return the class means in whitened coordinates that hold all class information.

    Parameters
    ----------
    means : (K, d)
    cov : (d, d)

    Returns
    -------
    (K, r) with r = min(K - 1, d)
        Rows are ``Q' cov^-1/2 (mean_y - mean_0)`` with Q' orthogonal, lower triangular
        below the first row and with a diagonal >= 0: the same for every affine image
        of the cells, whatever the group.
    """
    lower = np.linalg.cholesky(cov)
    differences = solve_triangular(lower, (means[1:] - means[0]).T, lower=True)
    upper: Array = np.linalg.qr(differences)[1]
    signs = np.where(np.diagonal(upper) < 0, -1.0, 1.0)
    coordinates = np.zeros((len(means), upper.shape[0]))
    coordinates[1:] = (signs[:, None] * upper).T
    return coordinates
