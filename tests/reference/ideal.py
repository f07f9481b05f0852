"""The programmes of theory.md section 3, term by term, and a general optimiser to judge them."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from reference.gaussian import kl_by_formula


def programme_value(cells_ideal, prior_ideal, joint, direction):
    """Total divergence of an ideal {cell: (mean, cov)} and priors {cell: p}, in nats."""
    total = 0.0
    for y, label in enumerate(joint.classes):
        for a, group in enumerate(joint.groups):
            q, q_ideal = joint.prior[y, a], prior_ideal[label, group]
            fitted = joint.means[y, a], joint.covariances[y, a]
            ideal = cells_ideal[label, group]
            if direction == "information":
                total += q_ideal * math.log(q_ideal / q)
                total += q_ideal * kl_by_formula(*ideal, *fitted)
            else:
                total += q * math.log(q / q_ideal)
                total += q * kl_by_formula(*fitted, *ideal)
    return total


def line_by_formula(source_means, source_sds, target_means, target_sds, q):
    """Slope and intercept of 3.1, as printed, with loops."""
    n = len(q)
    w = [q[i] / target_sds[i] ** 2 for i in range(n)]
    source_bar = sum(w[i] * source_means[i] for i in range(n)) / sum(w)
    target_bar = sum(w[i] * target_means[i] for i in range(n)) / sum(w)
    p = sum(w[i] * (source_sds[i] ** 2 + (source_means[i] - source_bar) ** 2) for i in range(n))
    r = sum(
        w[i] * (target_means[i] - target_bar) * (source_means[i] - source_bar) for i in range(n)
    )
    sign = -1.0 if r < 0 else 1.0
    gamma = sign * (abs(r) + math.sqrt(r * r + 4 * p * sum(q))) / (2 * p)
    return gamma, target_bar - gamma * source_bar


def profile_by_formula(gamma, means, sds, q):
    """F(gamma) of 3.2 without its constant; all arrays (K, G)."""
    n_classes, n_groups = means.shape
    matrices, boxes = [], []
    for i in range(n_classes):
        b = np.diag([q[i, a] / sds[i, a] ** 2 for a in range(n_groups)])
        boxes.append(b)
        lean = b @ gamma
        matrices.append(b - np.outer(lean, lean) / (gamma @ b @ gamma))
    left = sum(matrices)[1:, 1:]
    right = sum(a @ m for a, m in zip(matrices, means, strict=True))[1:]
    offset = np.concatenate([[0.0], np.linalg.solve(left, right)])
    value = -sum(q[:, a].sum() * math.log(abs(gamma[a])) for a in range(n_groups))
    for i in range(n_classes):
        value += 0.5 * q[i].sum() * math.log(gamma @ boxes[i] @ gamma)
        value += 0.5 * (means[i] - offset) @ matrices[i] @ (means[i] - offset)
    return value


def map_by_formula(source_means, source_cov, target_means, target_cov, q):
    """V and b of 3.3 with symmetric square roots, weights not normalised."""
    n_classes, d = source_means.shape
    total = sum(q)
    source_bar = sum(q[y] * source_means[y] for y in range(n_classes)) / total
    target_bar = sum(q[y] * target_means[y] for y in range(n_classes)) / total
    g = total * source_cov + sum(
        q[y] * np.outer(source_means[y] - source_bar, source_means[y] - source_bar)
        for y in range(n_classes)
    )
    cross = sum(
        q[y] * np.outer(source_means[y] - source_bar, target_means[y] - target_bar)
        for y in range(n_classes)
    )
    root_g, root_s = np.real(sqrtm(g)), np.real(sqrtm(target_cov))
    u, h, wt = np.linalg.svd(np.linalg.inv(root_g) @ cross @ np.linalg.inv(root_s))
    gains = [(h[i] + math.sqrt(h[i] ** 2 + 4 * total)) / 2 for i in range(d)]
    matrix = root_s @ wt.T @ np.diag(gains) @ u.T @ np.linalg.inv(root_g)
    return matrix, target_bar - matrix @ source_bar


def least_map_by_formula(source_means, source_cov, target_means, target_cov, q):
    """V and b of 3.3 with the null block's rotation by a decomposition of all of d x d."""
    q = np.asarray(q) / np.sum(q)
    d = source_means.shape[1]
    source, target = source_means - q @ source_means, target_means - q @ target_means
    weights = np.diag(q)
    root_g = np.real(sqrtm(source_cov + source.T @ weights @ source))
    root_s = np.real(sqrtm(target_cov))
    h_matrix = np.linalg.inv(root_g) @ source.T @ weights @ target @ np.linalg.inv(root_s)
    u, h, wt = np.linalg.svd(h_matrix)
    rank = int((h > 1e-10).sum())
    gains = (h[:rank] + np.sqrt(h[:rank] ** 2 + 4)) / 2
    u_null, w_null = u[:, rank:], wt[rank:].T
    left, _, right = np.linalg.svd(w_null.T @ root_s @ root_g @ u_null)
    inner = wt[:rank].T @ np.diag(gains) @ u[:, :rank].T
    inner += w_null @ (left @ right) @ u_null.T if rank < d else 0.0
    matrix = root_s @ inner @ np.linalg.inv(root_g)
    return matrix, q @ target_means - matrix @ (q @ source_means)


def two_class_profile(delta, distances, group_prior, q0, q1):
    """F(delta) of 3.4, K = 2 tied, information direction."""
    kappa = q0 * q1
    value = 0.0
    for delta_a, rho in zip(distances, group_prior, strict=True):
        h = kappa * delta * delta_a / math.sqrt(1 + kappa * delta**2)
        v = (h + math.sqrt(h * h + 4)) / 2
        value += rho * (
            0.5 * v * v
            - v * h
            - math.log(v)
            - 0.5
            + 0.5 * math.log(1 + kappa * delta**2)
            + 0.5 * kappa * delta_a**2
        )
    return value


def best_value_found(joint, weights, *, movers, reference, direction, tied, n_starts, rng):
    """The least sum of weighted cell divergences that a general optimiser finds.

    Free variables: the map of every mover; and, if all groups move, the canonical cells
    too (the reference's map is then the identity). Diagonal joints (not tied) get
    diagonal maps and covariances.
    """
    n_classes, n_groups, d = joint.means.shape
    all_move = len(movers) == n_groups
    mapped = [a for a in movers if a != reference]
    n_matrix = d * d if tied else d

    def matrix(x):
        return x.reshape(d, d) if tied else np.diag(x)

    def spread(x):
        lower = np.zeros((d, d))
        lower[np.diag_indices(d)] = np.exp(x[:d])
        if tied:
            lower[np.tril_indices(d, -1)] = x[d:]
        return lower @ lower.T

    n_spread = d + (d * (d - 1) // 2 if tied else 0)
    n_laws = 1 if tied else n_classes

    def unpack(x):
        if not all_move:
            return x, joint.means[:, reference], joint.covariances[:, reference]
        means = x[: n_classes * d].reshape(n_classes, d)
        x = x[n_classes * d :]
        covs = [spread(x[i * n_spread : (i + 1) * n_spread]) for i in range(n_laws)]
        return x[n_laws * n_spread :], means, np.array(covs * (n_classes // n_laws))

    def value(x):
        rest, means, covs = unpack(x)
        total = 0.0
        if all_move:
            total += _divergence(joint, reference, means, covs, weights, direction)
        for i, a in enumerate(mapped):
            part = rest[i * (n_matrix + d) : (i + 1) * (n_matrix + d)]
            m, b = matrix(part[:n_matrix]), part[n_matrix:]
            if abs(np.linalg.det(m)) < 1e-9:
                return 1e6
            total += _divergence(joint, a, means @ m.T + b, m @ covs @ m.T, weights, direction)
        return total

    best = np.inf
    for _ in range(n_starts):
        start = [rng.normal(size=n_classes * d), 0.3 * rng.normal(size=n_laws * n_spread)]
        start = start if all_move else []
        for _ in mapped:
            m = np.linalg.qr(rng.normal(size=(d, d)))[0] if tied else rng.choice([-1.0, 1.0], d)
            start += [np.ravel(m), np.zeros(d)]
        found = minimize(value, np.concatenate(start), method="L-BFGS-B", options={"ftol": 1e-13})
        best = min(best, found.fun)
    return best


def _divergence(joint, group, means, covs, weights, direction):
    fitted = joint.means[:, group], joint.covariances[:, group]
    p, q = ((means, covs), fitted) if direction == "information" else (fitted, (means, covs))
    inverse = np.linalg.inv(q[1])
    far = q[0] - p[0]
    each = 0.5 * (
        np.trace(inverse @ p[1], axis1=1, axis2=2)
        + np.einsum("ki,kij,kj->k", far, inverse, far)
        - far.shape[1]
        + np.linalg.slogdet(q[1])[1]
        - np.linalg.slogdet(p[1])[1]
    )
    return weights[:, group] @ each


def confusion_by_integration(means, sds, prior, cost, n=200_001):
    """P(predicted | true) of the Bayes rule on a line, by the midpoint rule."""
    low, high = (means - 10 * sds).min(), (means + 10 * sds).max()
    x = low + (high - low) * (np.arange(n) + 0.5) / n
    density = np.exp(-0.5 * ((x[:, None] - means) / sds) ** 2) / (sds * math.sqrt(2 * math.pi))
    chosen = ((prior * density) @ cost).argmin(axis=1)
    confusion = np.zeros(cost.shape)
    for k in range(cost.shape[1]):
        confusion[:, k] = density[chosen == k].sum(axis=0) * (high - low) / n
    return confusion


def confusion_by_simulation(joint, group, cost, n, rng):
    """P(predicted | true) in one group from ``n`` draws of every cell."""
    n_classes = len(joint.classes)
    confusion = np.zeros(cost.shape)
    for y in range(n_classes):
        x = rng.multivariate_normal(joint.means[y, group], joint.covariances[y, group], size=n)
        logs = np.empty((n, n_classes))
        for z in range(n_classes):
            inverse = np.linalg.inv(joint.covariances[z, group])
            far = x - joint.means[z, group]
            logs[:, z] = (
                math.log(joint.prior[z, group])
                - 0.5 * np.linalg.slogdet(joint.covariances[z, group])[1]
                - 0.5 * np.einsum("ni,ij,nj->n", far, inverse, far)
            )
        chosen = (np.exp(logs - logs.max(axis=1, keepdims=True)) @ cost).argmin(axis=1)
        confusion[y] = np.bincount(chosen, minlength=cost.shape[1]) / n
    return confusion


def random_joint(rng, n_classes, n_groups, d, *, kind="tied", spread=1.0, family="normal"):
    """A joint law with covariances tied within each group, diagonal, or free."""
    from isonomy.distributions import JointDistribution

    means = spread * rng.normal(size=(n_classes, n_groups, d))
    covs = np.empty((n_classes, n_groups, d, d))
    for y in range(n_classes):
        for a in range(n_groups):
            if kind == "diagonal":
                covs[y, a] = np.diag(np.exp(rng.normal(size=d)))
            elif kind == "free" or y == 0:
                root = rng.normal(size=(d, d + 2))
                covs[y, a] = root @ root.T / d
            else:
                covs[y, a] = covs[0, a]
    prior = rng.dirichlet(np.full(n_classes * n_groups, 4.0)).reshape(n_classes, n_groups)
    labels = list(range(n_classes)), list("abcdefgh"[:n_groups])
    return JointDistribution.from_arrays(means, covs, prior, *labels, family=family)
