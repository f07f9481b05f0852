"""Normal cells: laws of the log-likelihood ratios, literal objectives, worked instances."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
from scipy.linalg import sqrtm

from isonomy.distributions import JointDistribution
from reference.gaussian import kl_by_formula
from reference.strategies import random_matrix

ROOT_TRIPLES = ((6.0, 2.0, 6.0), (3.0, 8.0, 3.0))
"""Squares of the entries (12, 13, 23) of the third precision matrix, by group; see `not_affine`."""


def root(matrix):
    """The symmetric root."""
    return np.real(sqrtm(matrix))


def joint_of(means, covariances, prior, family="normal"):
    """A joint law from arrays (K, G, d), (K, G, d, d), (K, G); labels 0, 1, .., groups a, b, .."""
    means = np.asarray(means, dtype=float)
    labels = list(range(means.shape[0])), list("abcdefgh"[: means.shape[1]])
    return JointDistribution.from_arrays(
        means,
        np.asarray(covariances, dtype=float),
        np.asarray(prior, dtype=float),
        *labels,
        family=family,
    )


def on_line(means, sds, prior=None, family="normal"):
    """A joint law on the line from (K, G) means, standard deviations and priors."""
    means, sds = np.asarray(means, dtype=float), np.asarray(sds, dtype=float)
    if prior is None:
        prior = np.full(means.shape, 1 / means.size)
    return joint_of(means[..., None], sds[..., None, None] ** 2, prior, family)


def log_ratio_transform(means, covs, r, t):
    """ln E_r exp(sum_y t_y ln(p_y / p_r)), a function of t (K,) that determines the law.

    Written as an integral of a product of powers of densities, ``prod p_y^s_y`` with
    s = t but s_r = 1 - sum of the others: finite where sum s_y P_y is positive definite.
    """
    k = len(means)
    s = np.array(
        [t[y] if y != r else 1.0 - sum(t[z] for z in range(k) if z != r) for y in range(k)]
    )
    precisions = [np.linalg.inv(c) for c in covs]
    total = sum(s[y] * precisions[y] for y in range(k))
    lean = sum(s[y] * precisions[y] @ means[y] for y in range(k))
    constant = sum(
        s[y] * (math.log(np.linalg.det(precisions[y])) - means[y] @ precisions[y] @ means[y])
        for y in range(k)
    )
    return 0.5 * (constant + lean @ np.linalg.solve(total, lean) - math.log(np.linalg.det(total)))


def ratio_polynomials(means, covs, r, t):
    """c . t, D(t) and N(t) of the log-likelihood ratios to class r, where r is N(0, I)."""
    lower = np.linalg.inv(np.linalg.cholesky(covs[r]))
    d = len(lower)
    a, b, constant = np.zeros((d, d)), np.zeros(d), 0.0
    for y in range(len(means)):
        spread, far = lower @ covs[y] @ lower.T, lower @ (means[y] - means[r])
        precision = np.linalg.inv(spread)
        a += t[y] * 0.5 * (np.eye(d) - precision)
        b += t[y] * precision @ far
        constant -= t[y] * 0.5 * (math.log(np.linalg.det(spread)) + far @ precision @ far)
    inner = np.eye(d) - 2 * a
    determinant = np.linalg.det(inner)
    # the adjugate by its cofactors: inner may be singular
    adjugate = np.array(
        [
            [
                (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(inner, j, 0), i, 1))
                for j in range(d)
            ]
            for i in range(d)
        ]
    )
    return constant, determinant, b @ adjugate @ b


def polynomials_differ(first, second, rng, n_points=40):
    """Largest relative difference of c, D and N of two groups at random t, far and near."""
    worst = 0.0
    for _ in range(n_points):
        t = rng.normal(size=len(first[0])) * np.exp(rng.normal())
        values = [ratio_polynomials(*group, 0, t) for group in (first, second)]
        worst = max(worst, *(abs(p - q) / (1 + abs(p)) for p, q in zip(*values, strict=True)))
    return worst


def same_law_of_posterior(first, second, rng, n_points=12):
    """Largest difference of the transform between two groups of cells at random small t."""
    worst = 0.0
    k = len(first[0])
    for _ in range(n_points):
        t = rng.uniform(0.0, 1.0 / k, size=k)
        for r in range(k):
            values = [log_ratio_transform(*group, r, t) for group in (first, second)]
            worst = max(worst, abs(values[0] - values[1]))
    return worst


def gram(means, cov):
    """(mu_y - mu_0)' S^-1 (mu_z - mu_0), with loops."""
    inverse = np.linalg.inv(cov)
    k = len(means)
    return np.array(
        [
            [(means[y] - means[0]) @ inverse @ (means[z] - means[0]) for z in range(k)]
            for y in range(k)
        ]
    )


def reference_class_conditions(means, covs, c):
    """The paper's conditions for one group at reference class c: vectors and matrices."""
    lower = root(covs[c])
    vectors = [np.linalg.inv(lower) @ (means[c] - means[j]) for j in range(len(means))]
    matrices = [lower @ np.linalg.inv(covs[j]) @ lower for j in range(len(means))]
    return np.array(vectors), np.array(matrices)


def conditions_hold(means, covs, c):
    """Whether they agree between the two groups of (K, 2, d) and (K, 2, d, d)."""
    one, two = (reference_class_conditions(means[:, a], covs[:, a], c) for a in (0, 1))
    return all(np.allclose(p, q, atol=1e-9) for p, q in zip(one, two, strict=True))


def precision_triple(squares, shift=5.0):
    """I, diag(1, 2, 3) and the third matrix, whose entries beside the diagonal are roots."""
    a, b, c = np.sqrt(squares)
    return [
        np.eye(3),
        np.diag([1.0, 2.0, 3.0]),
        shift * np.eye(3) + np.array([[0.0, a, b], [a, 0.0, c], [b, c, 0.0]]),
    ]


def not_affine(squares=ROOT_TRIPLES):
    """K = 3, d = 3: an ideal law whose groups are no affine images of each other."""
    covs = [[np.linalg.inv(p) for p in precision_triple(s)] for s in squares]
    covs = np.moveaxis(np.array(covs), 0, 1)
    return joint_of(np.zeros((3, 2, 3)), covs, np.full((3, 2), 1 / 6))


def other_roots(squares, diagonal, rng):
    """Squares u' > 0 with the sums, diagonal-weighted sums and product of ``squares``, or None.

    On the line u + tau n, n orthogonal to (1, 1, 1) and the diagonal, the product is a cubic.
    """
    u = np.asarray(squares)
    n = np.cross(np.ones(3), diagonal)
    mixed = [u[1] * u[2] * n[0] + u[0] * u[2] * n[1] + u[0] * u[1] * n[2]]
    twice = n[1] * n[2] * u[0] + n[0] * n[2] * u[1] + n[0] * n[1] * u[2]
    roots = np.roots([n.prod(), twice, *mixed])
    found = [u + t.real * n for t in roots if abs(t.imag) < 1e-12]
    found = [v for v in found if v.min() > 0.05 and abs(v - u).max() > 0.3]
    return found[rng.integers(len(found))] if found else None


def ideal_but_not_affine(rng, n_classes, d):
    """Two groups of cells (K, d), (K, d, d), K and d >= 3: one law of the posterior, no map.

    In three coordinates means 0 and precisions I, a diagonal matrix, one with other entries
    of the same determinants (see `not_affine`), and combinations of these; in the others
    cells of their own, independent; then an affine change of the second group.
    """
    other = None
    while other is None:
        squares, diagonal = rng.uniform(0.2, 2.0, size=3), np.cumsum(rng.uniform(0.5, 2.0, size=3))
        other = other_roots(squares, diagonal, rng)
    means = np.zeros((n_classes, d))
    means[:, 3:] = rng.normal(size=(n_classes, d - 3))
    rest = np.exp(0.5 * rng.normal(size=(n_classes, d - 3)))
    mixes = [np.eye(3)[y] if y < 3 else rng.dirichlet(np.ones(3)) for y in range(n_classes)]
    groups = []
    for u in (squares, other):
        third = 5.0 * np.eye(3)
        third[[1, 0, 0], [2, 2, 1]] = third[[2, 2, 1], [1, 0, 0]] = np.sqrt(u)
        triple = [np.eye(3), np.diag(diagonal), third]
        covs = np.zeros((n_classes, d, d))
        for y, mix in enumerate(mixes):
            precision = sum(m * p for m, p in zip(mix, triple, strict=True))
            covs[y, :3, :3], covs[y, 3:, 3:] = np.linalg.inv(precision), np.diag(rest[y])
        groups.append((means, covs))
    move = random_matrix(rng, d)
    far, covs = groups[1]
    return groups[0], (far @ move.T + 1.0, move @ covs @ move.T)


def beside_the_middle(means, covs, s):
    """Spectrum of S_M^-1 S_s and squared mean difference in each eigenspace, G_s beside M."""
    k = len(means)
    laws = []
    for weights in (np.full(k, 1 / k), s):
        precision = sum(w * np.linalg.inv(c) for w, c in zip(weights, covs, strict=True))
        lean = sum(w * np.linalg.inv(c) @ m for w, m, c in zip(weights, means, covs, strict=True))
        laws.append((np.linalg.solve(precision, lean), np.linalg.inv(precision)))
    (middle, cov), (mean, spread) = laws
    inverse = np.linalg.inv(root(cov))
    values, vectors = np.linalg.eigh(inverse @ spread @ inverse)
    return values, (vectors.T @ inverse @ (mean - middle)) ** 2


def monomials(directions, degree):
    """Values (n, m) of all monomials of one degree at rows of integers or floats, with loops."""
    k = directions.shape[1]
    picks = list(combinations_with_replacement(range(k), degree))
    return np.array([[math.prod(row[i] for i in pick) for pick in picks] for row in directions])


def rank_modulo(rows, prime=2_147_483_647):
    """Rank of integer rows modulo a prime: at most their rank, and mostly equal to it."""
    left = np.array([[x % prime for x in row] for row in rows], dtype=np.int64)
    rank = 0
    for column in range(left.shape[1]):
        at = np.flatnonzero(left[rank:, column])
        if len(at):
            pivot = rank + at[0]
            left[[rank, pivot]] = left[[pivot, rank]]
            left[rank] = left[rank] * pow(int(left[rank, column]), -1, prime) % prime
            for row in range(rank + 1, len(left)):
                left[row] = (left[row] - left[row, column] * left[rank]) % prime
            rank += 1
    return rank


def cost_of_map(matrix, offset, source, target, weights):
    """sum_y q_y KL(V # source_y || target_y); cells are (means, covariances) of K classes."""
    return sum(
        q * kl_by_formula(matrix @ m + offset, matrix @ s @ matrix.T, n, t)
        for q, m, s, n, t in zip(weights, *source, *target, strict=True)
    )


def symmetric_objective(scale, middle, reference_cells, target, weights, c):
    """J(T, m) of 3.4 without its constant; ``reference_cells`` (means, covs), class c."""
    means, covs = reference_cells
    inverse = np.linalg.inv(root(covs[c]))
    value = -sum(weights) * np.linalg.slogdet(scale)[1]
    for q, m, s, n, t in zip(weights, means, covs, *target, strict=True):
        shape, far = inverse @ s @ inverse, inverse @ (means[c] - m)
        precision = np.linalg.inv(t)
        miss = middle - scale @ far - n
        value += 0.5 * q * (np.trace(precision @ scale @ shape @ scale) + miss @ precision @ miss)
    return value


def tied_value_of_weights(w, targets, group_prior, label_prior):
    """All groups tied, information: F as a function of W = A A'(I + A A')^-1 on the classes.

    ``targets`` are whitened class means (K, d) of every group; K x K matrix W, centred.
    """
    roots = np.sqrt(np.asarray(label_prior))
    value = 0.0
    for rho, points in zip(group_prior, targets, strict=True):
        b = roots[:, None] * (points - label_prior @ points)
        value += rho * (sum(best_gain(h2) for h2 in np.linalg.eigvalsh(b.T @ w @ b)))
        value += rho * 0.5 * (b**2).sum()
    return value - 0.5 * np.linalg.slogdet(np.eye(len(w)) - w)[1]


def best_gain(square):
    """min over v of v^2/2 - v h - ln v - 1/2 at h = sqrt(square)."""
    h = math.sqrt(max(square, 0.0))
    v = (h + math.sqrt(h * h + 4)) / 2
    return 0.5 * v * v - v * h - math.log(v) - 0.5


def tied_value_of_gram(x, sources, weights):
    """All groups tied, moment: F as a function of the Gram matrix of the canonical points.

    ``sources`` are whitened class means (K, d) of every group, ``weights`` (K, G).
    """
    value = 0.0
    for a, points in enumerate(sources):
        total = weights[:, a].sum()
        share = weights[:, a] / total
        roots = np.diag(np.sqrt(share))
        b = roots @ (points - share @ points)
        centring = roots @ (np.eye(len(x)) - np.outer(np.ones(len(x)), share))
        there = centring @ x @ centring.T
        spread = np.eye(b.shape[1]) + b.T @ b
        c = b @ np.linalg.inv(root(spread))
        value += total * sum(best_gain(h2) for h2 in np.linalg.eigvalsh(c.T @ there @ c))
        value += total * 0.5 * (np.trace(there) + np.linalg.slogdet(spread)[1])
    return value
