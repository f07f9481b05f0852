"""Is a distribution ideal? Tested by the exact characterisations of theory.md section 2.

Each compares what an affine change of a group's coordinates cannot alter. Conditions
on one reference class are never used: they can hold for one choice and fail for another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isonomy._validation import check_real
from isonomy.distributions import CategoricalJoint, JointDistribution, MixedJoint
from isonomy.errors import InvalidInputError
from isonomy.ideal._categorical.criteria import categorical_rounding, categorical_violation
from isonomy.ideal._cells import Array
from isonomy.ideal._criteria.alignment import alignment_residual
from isonomy.ideal._criteria.spectra import (
    Spectra,
    geometric_spectra,
    spectral_distance,
    two_class_spectrum,
)
from isonomy.ideal._priors import label_dependence
from isonomy.ideal._tied.closed_form import class_coordinates

__all__ = ["ideal_violation", "is_ideal", "rounding_tolerance"]

AnyJoint = JointDistribution | CategoricalJoint | MixedJoint

_LARGEST_TOLERANCE = 1e-6
"""However badly conditioned the covariances, a violation above this is never called rounding."""


def is_ideal(joint: AnyJoint, tol: float | None = None) -> bool:
    """Return whether ``joint`` is ideal, within a tolerance.

    Parameters
    ----------
    joint : JointDistribution
    tol : float, optional
        Largest :func:`ideal_violation` that counts as none. Default: what rounding can
        cause, ``1000 d eps [c (1 + m^2) + sqrt(c) (1 + m) o]``, at most 1e-6, with d =
        n_features, eps = 2^-52, c the largest condition number of a cell's correlation
        matrix, m the largest distance of a class mean from its group's first and o of any
        mean from 0, both in standard deviations.

    Returns
    -------
    bool

    Raises
    ------
    InvalidInputError
        If ``joint`` is no JointDistribution, or ``tol`` is negative.

    Notes
    -----
    True means: for every cost matrix the Bayes classifier that knows the group has equal
    selection rates, and equal rates of every (true, predicted) pair, in all groups. That
    speaks of this distribution, not of data that only resemble it.
    """
    violation = ideal_violation(joint)
    if tol is None:
        return violation <= rounding_tolerance(joint)
    return violation <= check_real("tol", tol, where="is_ideal", low=0.0)


def ideal_violation(joint: AnyJoint) -> float:
    """Return how far ``joint`` is from satisfying the characterisation that applies.

    Parameters
    ----------
    joint : JointDistribution

    Returns
    -------
    float
        At least 0, without unit; 0 (to rounding) if ``joint`` is ideal. The largest of
        its components, over all pairs of groups.

    Raises
    ------
    InvalidInputError
        If ``joint`` is no JointDistribution.

    Notes
    -----
    Always: max |P(y | a) - P(y | a')|. Besides, relative to 1 + the largest value compared:

    * one variable: differences of ln(sigma_y / sigma_0) and of (mu_y - mu_0) / sigma_0, the
      latter up to one sign a pair of groups;
    * covariances tied within each group: differences of the entries of the Gram matrix
      ``(mu_y - mu_0)' S_a^-1 (mu_z - mu_0)``;
    * two classes: differences of the ordered ln eigenvalues of ``S_0a^-1 S_1a``, and the
      area between the two step functions that give, for each l, the squared whitened mean
      difference in the eigenspaces up to l (clustered eigenvalues do no harm: mass that
      moves within a cluster moves by the cluster's width only), and their totals;
    * three classes or more: with precisions P_y and weights s that sum to 1, ``prod p_y^s_y``
      is in proportion to a normal law G_s of precision ``sum s_y P_y``; the pairs of G_s and
      G_(1/K, .., 1/K) are compared as two classes are, for s each class and for a fixed list
      of mixtures. Agreement at all s is proved to be necessary and sufficient; a difference
      at some s is one at almost all, and no fixed list can promise more.

    For LogNormal and Nonparanormal cells the same on latent coordinates. For StudentT cells,
    whose degrees of freedom are equal over groups, the same on locations and scales, and
    everywhere sufficient alone: 0 proves that the distribution is ideal, more does not prove
    that it is not. (There three classes or more in three dimensions or more are compared by
    what the best affine map found between the groups' cells leaves.)
    For a CategoricalJoint the laws of the posterior vector are compared between groups, atom by
    atom (energy distance; exact up to 2,000 combinations of categories). For a MixedJoint the
    larger of its parts' violations, sufficient alone: with Y independent of A and independent
    parts, parts with the same law of the posterior give a whole with the same law of it.
    Source: theory.md section 2; proofs in docs/theory.md, section 5.
    """
    if isinstance(joint, CategoricalJoint):
        return categorical_violation(joint)
    if isinstance(joint, MixedJoint):
        return max(ideal_violation(joint.numeric), categorical_violation(joint.categorical))
    if not isinstance(joint, JointDistribution):
        raise InvalidInputError(
            f"`joint` passed to `ideal_violation` must be a JointDistribution, got "
            f"{type(joint).__name__}. Fit one with `JointDistribution.fit`."
        )
    prior = np.asarray(joint.prior, dtype=np.float64)
    means = np.asarray(joint.means, dtype=np.float64)
    covs = np.asarray(joint.covariances, dtype=np.float64)
    worst = label_dependence(prior)
    if len(joint.groups) < 2 or len(joint.classes) < 2:
        return worst
    return max(worst, _shape_violation(joint, means, covs))


def _shape_violation(joint: JointDistribution, means: Array, covs: Array) -> float:
    n_classes, n_groups, d = means.shape
    if d == 1:
        return _univariate(means[:, :, 0], covs[:, :, 0, 0])
    if joint.is_tied:
        return _tied(means, covs[0])
    cells = [(means[:, a], covs[:, a]) for a in range(n_groups)]
    if n_classes == 2:
        return _largest_over_pairs(spectral_distance, [two_class_spectrum(*c) for c in cells])
    if joint.family == "student_t" and d > 2:
        # equal normal spectra need no affine map there, and t laws have only that
        return _largest_over_pairs(lambda p, q: alignment_residual(*p, *q), cells)
    return _largest_over_pairs(_furthest_spectra, [geometric_spectra(*c) for c in cells])


def _furthest_spectra(p: Spectra, q: Spectra) -> float:
    return max(
        spectral_distance(a, b)
        for a, b in zip(zip(*p, strict=True), zip(*q, strict=True), strict=True)
    )


def _largest_over_pairs(distance: Any, items: list[Any]) -> float:
    pairs = [(p, q) for i, p in enumerate(items) for q in items[i + 1 :]]
    return max(float(distance(p, q)) for p, q in pairs)


def _relative(a: Array, b: Array) -> float:
    """Return max |a - b| / (1 + max |a|, |b|)."""
    size = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return float(np.abs(a - b).max(initial=0.0) / (1.0 + size))


def _univariate(means: Array, variances: Array) -> float:
    log_ratio = 0.5 * np.log(variances / variances[0])
    far = (means - means[0]) / np.sqrt(variances[0])

    def distance(a: int, b: int) -> float:
        either = min(_relative(far[:, a], s * far[:, b]) for s in (1.0, -1.0))
        return max(_relative(log_ratio[:, a], log_ratio[:, b]), either)

    return _largest_over_pairs(distance, list(range(means.shape[1])))


def _tied(means: Array, covs: Array) -> float:
    grams = []
    for a in range(means.shape[1]):
        points = class_coordinates(means[:, a], covs[a])
        grams.append(points @ points.T)
    return _largest_over_pairs(_relative, grams)


def rounding_tolerance(joint: AnyJoint) -> float:
    """Return the default tolerance of :func:`is_ideal`."""
    if isinstance(joint, CategoricalJoint):
        return categorical_rounding(joint)
    if isinstance(joint, MixedJoint):
        return max(rounding_tolerance(joint.numeric), categorical_rounding(joint.categorical))
    means, covs = np.asarray(joint.means), np.asarray(joint.covariances)
    scale = np.sqrt(np.diagonal(covs, axis1=-2, axis2=-1))
    unique = covs[:1] if joint.is_tied else covs
    unit = scale[: len(unique)]
    correlations = unique / unit[..., None] / unit[..., None, :]
    condition = float(np.linalg.cond(correlations).max())
    far = float((np.abs(means - means[:1]) / scale).max())
    # a mean o standard deviations from 0 is stored to o eps of one
    offset = float((np.abs(means) / scale).max())
    grown = condition * (1.0 + far**2) + np.sqrt(condition) * (1.0 + far) * offset
    tolerance = 1000.0 * joint.n_features * np.finfo(np.float64).eps * grown
    return float(min(tolerance, _LARGEST_TOLERANCE))
