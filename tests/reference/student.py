"""Student-t laws and mixtures of normals by their printed formulas, slowly."""

from __future__ import annotations

from itertools import pairwise
from math import lgamma, log, pi

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import gammaincinv, ndtri
from scipy.stats import gamma, qmc


def log_density_by_formula(x, location, scale, df):
    """ln p of one point."""
    d = len(location)
    far = x - location
    distance = far @ np.linalg.inv(scale) @ far
    top = lgamma((df + d) / 2) - lgamma(df / 2) - d / 2 * log(df * pi)
    return top - 0.5 * log(np.linalg.det(scale)) - (df + d) / 2 * np.log1p(distance / df)


def kl_on_the_line(m1, s1, df1, m2, s2, df2):
    """KL by adaptive quadrature of ``q - p - p ln(q/p) >= 0`` in x = m1 + s1 sinh(u)."""

    def log_p(x, m, s, df):
        top = lgamma((df + 1) / 2) - lgamma(df / 2) - 0.5 * log(df * pi) - log(s)
        return top - (df + 1) / 2 * np.log1p(((x - m) / s) ** 2 / df)

    def integrand(u):
        x = m1 + s1 * np.sinh(u)
        ratio = log_p(x, m2, s2, df2) - log_p(x, m1, s1, df1)
        density = np.exp(log_p(x, m1, s1, df1)) * s1 * np.cosh(u)
        if density == 0.0:
            return 0.0
        # q's own mass is 1, as is p's: the added terms integrate to 0
        return density * (np.expm1(ratio) - ratio)

    ends = [-200.0, *np.linspace(-30, 30, 31), 200.0]
    found = [
        quad(integrand, a, b, epsabs=1e-15, epsrel=1e-12, limit=400)[0] for a, b in pairwise(ends)
    ]
    return sum(found)


def kl_in_the_plane(m1, s1, df1, m2, s2, df2):
    """KL of two laws in two dimensions, in polar coordinates about the first."""
    root = np.linalg.cholesky(s1)
    angles = np.linspace(0.0, 2 * pi, 400, endpoint=False)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for low, high in zip(np.arange(-12.0, 30.0), np.arange(-11.0, 31.0), strict=True):
        u = 0.5 * (high + low) + 0.5 * (high - low) * nodes
        r, step = np.exp(u), 0.5 * (high - low) * weights
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for radius, w in zip(r, step, strict=True):
            z = radius * circle
            x = m1 + z @ root.T
            log_p = -(df1 + 2) / 2 * np.log1p(radius**2 / df1) - log(2 * pi)
            far = x - m2
            distance = np.einsum("ni,ij,nj->n", far, np.linalg.inv(s2), far)
            log_q = -log(2 * pi) - 0.5 * log(np.linalg.det(s2))
            log_q = log_q - (df2 + 2) / 2 * np.log1p(distance / df2)
            mean = np.mean(log_p - 0.5 * log(np.linalg.det(s1)) - log_q)
            # density of the radius: r p(r) 2 pi, and dr = r du; Gamma(df/2 + 1) = df/2 Gamma
            total += w * radius * radius * 2 * pi * np.exp(log_p) * mean
    return total


def kl_by_many_points(m1, s1, df1, m2, s2, df2, log2_points=15, n_scrambles=8):
    """KL and its standard error by scrambled Sobol points, in any dimension."""
    d = len(m1)
    root = np.linalg.cholesky(s1)
    inverse = np.linalg.inv(s2)
    values = []
    for seed in range(n_scrambles):
        unit = np.clip(qmc.Sobol(d + 1, seed=seed).random_base2(log2_points), 1e-15, 1 - 1e-15)
        z = ndtri(unit[:, :d])
        w = gammaincinv(df1 / 2, unit[:, d]) * 2 / df1
        x = z / np.sqrt(w)[:, None]
        top = [lgamma((df + d) / 2) - lgamma(df / 2) - d / 2 * log(df * pi) for df in (df1, df2)]
        log_p = top[0] - 0.5 * log(np.linalg.det(s1))
        log_p = log_p - (df1 + d) / 2 * np.log1p((x**2).sum(axis=1) / df1)
        far = m1 + x @ root.T - m2
        distance = np.einsum("ni,ij,nj->n", far, inverse, far)
        log_q = top[1] - 0.5 * log(np.linalg.det(s2)) - (df2 + d) / 2 * np.log1p(distance / df2)
        values.append(np.mean(log_p - log_q))
    return np.mean(values), np.std(values, ddof=1) / np.sqrt(n_scrambles)


def mean_log_by_two_integrals(eigenvalues, shifts, df1, df2):
    """E ln(1 + Q/df2) by the double integral over s and g, the precision of a row.

    Q = sum_i l_i (d_i + z_i / sqrt(g))^2; E[exp(-s Q / df2) | g] is a product.
    """
    s = np.exp(np.arange(-45.0, 6.0, 0.1))
    g = np.exp(np.arange(-45.0, 7.0, 0.1))
    log_weight = gamma.logpdf(g, df1 / 2, scale=2 / df1) + np.log(g * 0.1)
    total = 0.0
    for one, lean in zip(g, np.exp(log_weight), strict=True):
        log_mean = np.zeros_like(s)
        for size, shift in zip(eigenvalues, shifts, strict=True):
            grown = 1 + 2 * s * size / (df2 * one)
            log_mean += -0.5 * np.log(grown) - s * size * shift**2 / df2 / grown
        total += lean * np.sum(-np.expm1(log_mean) * np.exp(-s)) * 0.1
    return total


def mean_log_by_one_integral(eigenvalues, shifts, df1, df2):
    """The same for Q = sum_i (e_i + sqrt(l_i) z_i / sqrt(g))^2: docs/theory.md, 14.3."""
    r = np.exp(np.arange(-60.0, 80.0, 0.05))
    bend, product = np.zeros_like(r), np.ones_like(r)
    for size, shift in zip(eigenvalues, shifts, strict=True):
        bend += shift**2 / df2 / (1 + r * size / df2)
        product /= np.sqrt(1 + r * size / df2)
    without = (1 + r / df1) ** (-df1 / 2)
    return 0.05 * np.sum(without - product * (1 + r * (1 + bend) / df1) ** (-df1 / 2))


def fit_by_direct_search(rows, start):
    """Location, scale and df of greatest likelihood on the line, by Nelder-Mead."""

    def loss(theta):
        m, s, df = theta[0], np.exp(theta[1]), np.exp(theta[2])
        top = lgamma((df + 1) / 2) - lgamma(df / 2) - 0.5 * log(df * pi) - log(s)
        return -np.sum(top - (df + 1) / 2 * np.log1p(((rows - m) / s) ** 2 / df))

    found = minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000, "maxfev": 4000},
    )
    return found.x[0], np.exp(2 * found.x[1]), np.exp(found.x[2]), -found.fun


def nearest_line_by_grid(source, target, q, df):
    """Lowest sum_y q_y KL(g S_y + b || T_y) over slopes and intercepts, from a grid.

    ``source`` and ``target`` are lists of (location, standard scale).
    """

    def paid(x):
        slope, shift = x
        if slope == 0.0:
            return np.inf
        return sum(
            w * kl_coarse(slope * m + shift, abs(slope) * s, t, r, nu)
            for w, (m, s), (t, r), nu in zip(q, source, target, df, strict=True)
        )

    grid = [(g, b) for g in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0) for b in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    starts = sorted(grid, key=paid)[:3]
    runs = [
        minimize(paid, x, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-13})
        for x in starts
    ]
    return min(run.fun for run in runs)


def kl_coarse(m1, s1, m2, s2, df):
    """KL on the line with equal df, by the trapezoidal rule in asinh units."""
    u = np.arange(-25.0, 25.0, 0.05)
    x = m1 + s1 * np.sinh(u)

    def log_p(m, s):
        top = lgamma((df + 1) / 2) - lgamma(df / 2) - 0.5 * log(df * pi) - log(s)
        return top - (df + 1) / 2 * np.log1p(((x - m) / s) ** 2 / df)

    log_1, log_2 = log_p(m1, s1), log_p(m2, s2)
    return float(np.sum(np.exp(log_1) * s1 * np.cosh(u) * (log_1 - log_2)) * 0.05)


def mixture_log_density(x, weights, means, covariances):
    """ln p of one point of a mixture of normals."""
    total = 0.0
    for w, m, s in zip(weights, means, covariances, strict=True):
        far = x - m
        size = np.sqrt(np.linalg.det(2 * pi * s))
        total += w * np.exp(-0.5 * far @ np.linalg.inv(s) @ far) / size
    return np.log(total)


def mixture_kl_on_the_line(p, q):
    """KL of two mixtures (weights, means, variances) by adaptive quadrature."""

    def density(x, law):
        return sum(
            w * np.exp(-0.5 * (x - m) ** 2 / v) / np.sqrt(2 * pi * v)
            for w, m, v in zip(*law, strict=True)
        )

    reach = max(abs(m) + 12 * np.sqrt(v) for m, v in zip(*p[1:], strict=True))
    return quad(
        lambda x: density(x, p) * np.log(density(x, p) / density(x, q)),
        -reach,
        reach,
        epsabs=1e-12,
        limit=500,
    )[0]
