"""Is a distribution ideal? Tested by the exact characterisations of docs/theory.md, section 5.

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
from isonomy.ideal._criteria.spectra import class_spectra, mixtures_decide, spectral_distance
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
    joint : JointDistribution, CategoricalJoint or MixedJoint
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
        If ``joint`` is none of these, or ``tol`` is negative.

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
    joint : JointDistribution, CategoricalJoint or MixedJoint

    Returns
    -------
    float
        At least 0, without unit; 0 (to rounding) if ``joint`` is ideal. The largest of
        its components, over all pairs of groups.

    Raises
    ------
    InvalidInputError
        If ``joint`` is none of these (mixtures of normals have no characterisation).

    Notes
    -----
    Always: max |P(y | a) - P(y | a')|. Besides, for normal cells, relative to 1 + the larger
    of the two values compared:

    * one variable: differences of ln(sigma_y / sigma_z) and of |mu_y - mu_z| / sqrt(sigma_y
      sigma_z), over all classes y, z (equal distances on a line: equal up to one sign);
    * covariances tied within each group: differences of the squared Mahalanobis distances
      ``(mu_y - mu_z)' S_a^-1 (mu_y - mu_z)`` (as good as the Gram matrix of the means);
    * two classes: differences of the ordered ln eigenvalues of ``S_0a^-1 S_1a``, and the
      area between the two step functions that give, for each l, the squared whitened mean
      difference in the eigenspaces up to l (clustered eigenvalues do no harm: mass that
      moves within a cluster moves by the cluster's width only), and their totals;
    * three classes or more: every pair of classes is compared as two classes are (up to
      10^8 / d^3 pairs), and so are, with precisions P_y and weights s that sum to 1, the
      normal laws G_s in proportion to ``prod p_y^s_y``, of precision ``sum s_y P_y``, and
      G_(1/K, .., 1/K): for s each class and for a fixed list of mixtures. Agreement at all s
      is necessary and sufficient; so is agreement on the list where it has as many mixtures
      as ``(d+K-1 choose K-2)``, as it does up to 10^8 / d^3 and 3,700 of them. Beyond, it is
      necessary, and sufficient for almost every list.

    For LogNormal and Nonparanormal cells the same on latent coordinates. For StudentT cells,
    whose degrees of freedom are equal over groups, the same on locations and scales, and
    sufficient alone: 0 proves that the groups' cells are affine images of each other and the
    distribution ideal, more does not prove that it is not. (Where equal spectra need no
    affine map, from three classes and three dimensions on, they are compared by what the
    best affine map found between the groups' cells leaves.)
    For a CategoricalJoint the laws of the posterior vector are compared between groups, atom by
    atom (energy distance; exact up to 2,000 combinations of categories). For a MixedJoint the
    larger of its parts' violations: sufficient, and for numeric cells that are normal in latent
    coordinates also necessary, if some combination of categories is possible in every class.
    Proofs: docs/theory.md, section 5, and for other families 14 and 15.
    """
    if isinstance(joint, CategoricalJoint):
        return categorical_violation(joint)
    if isinstance(joint, MixedJoint):
        return max(ideal_violation(joint.numeric), categorical_violation(joint.categorical))
    if not isinstance(joint, JointDistribution):
        raise InvalidInputError(
            f"`joint` passed to `ideal_violation` must be a JointDistribution, CategoricalJoint "
            f"or MixedJoint, got {type(joint).__name__}. Fit one with `JointDistribution.fit`."
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
    by_spectra = n_classes == 2 or (d == 2 and mixtures_decide(n_classes, d))
    if joint.family == "student_t" and not by_spectra:
        # there equal spectra need no affine map, and t laws have only that
        return _largest_over_pairs(lambda p, q: alignment_residual(*p, *q), cells)
    return _largest_over_pairs(spectral_distance, [class_spectra(*c) for c in cells])


def _largest_over_pairs(distance: Any, items: list[Any]) -> float:
    pairs = [(p, q) for i, p in enumerate(items) for q in items[i + 1 :]]
    return max(float(distance(p, q)) for p, q in pairs)


def _relative(a: Array, b: Array) -> float:
    """Return the largest |a - b| / (1 + max(|a|, |b|)), entry by entry."""
    return float((np.abs(a - b) / (1.0 + np.maximum(np.abs(a), np.abs(b)))).max(initial=0.0))


def _univariate(means: Array, variances: Array) -> float:
    # every pair of classes in its own unit: a class far away hides nothing; points on a line
    # of equal distances are equal up to one sign
    log_ratio = 0.5 * np.log(variances[:, None] / variances[None])
    unit = variances**0.25
    apart = np.abs(means[:, None] - means[None]) / unit[:, None] / unit[None]
    both = np.stack([log_ratio, apart])
    return _largest_over_pairs(_relative, [both[..., a] for a in range(means.shape[1])])


def _tied(means: Array, covs: Array) -> float:
    distances = []
    for a in range(means.shape[1]):
        points = class_coordinates(means[:, a], covs[a])
        distances.append(((points[:, None] - points[None]) ** 2).sum(axis=2))
    return _largest_over_pairs(_relative, distances)


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
