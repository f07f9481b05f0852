"""repair: training rows transported onto the ideal distribution, cell by cell."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._frames import read_table
from isonomy._group_codes import resolve_groups
from isonomy._validation import check_choice, check_labels, check_sample_weight
from isonomy.distributions import AffineMap, CellMoments, JointDistribution, Normal
from isonomy.distributions._linalg import symmetric_inverse_sqrt, symmetric_sqrt
from isonomy.steering._counted import CountedRows
from isonomy.steering._given import GivenSettings, solve_given
from isonomy.steering._working_scale import FAMILIES, choose_scale

__all__ = ["repair"]


def repair(
    X: Any,
    y: Any,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
    family: Literal["normal", "lognormal", "nonparanormal", "auto"] = "normal",
    covariance: Literal["tied", "full", "diagonal"] = "tied",
    moves: Any = "all",
    reference: Any = None,
    direction: Literal["information", "moment"] = "information",
    priors: Literal["reweigh", "reference", "joint", "keep"] = "reweigh",
    shrinkage: Literal["oas"] | float | None = "oas",
    random_state: Any = None,
) -> tuple[Any, NDArray[np.float64]]:
    """Transport training rows onto the nearest ideal distribution, and weigh them.

    Parameters
    ----------
    X : (n_samples, n_features) array or data frame
        Numeric columns move; other columns of a frame pass untouched.
    y : (n_samples,)
        Class labels.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups.
    sample_weight : (n_samples,), optional
    family, covariance, moves, reference, direction, priors, shrinkage
        As in ``IdealSteerer``.
    random_state : int, RandomState or None

    Returns
    -------
    X_repaired : same kind and dtype as ``X``
        Each row moved by the optimal map from its cell's fitted normal to that cell of
        the ideal distribution: least mean squared move in whitened units (of the total
        covariance; the columns' within-class deviations with "diagonal").
    weight : (n_samples,) array
        The caller's weight times q~_ya / q_ya: under it, labels and groups are
        distributed as in the ideal distribution.

    Raises
    ------
    InvalidInputError
        If arguments do not fit together; its subclasses tell which.

    Notes
    -----
    It needs ``y``, so it is for training rows only: on rows to be predicted it would
    leak the label. On the ideal distribution itself a classifier must see the group;
    for one that does not, use ``IdealSteerer``, which carries rows of every group to
    the same cells. Source: this project's theory, section 4.

    Examples
    --------
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(500, random_state=0)
    >>> repaired, weight = repair(X, y, sensitive_features=group)
    >>> repaired.shape, weight.shape
    ((500, 4), (500,))
    """
    where = "repair"
    check_choice("family", family, (*FAMILIES, "auto"), where=where)
    check_choice("covariance", covariance, ("tied", "full", "diagonal"), where=where)
    table = read_table(X, where=where)
    n = len(table.values)
    labels = check_labels(y, where=where, n_samples=n, min_classes=2)
    groups = resolve_groups(sensitive_features, n_samples=n, missing_groups="raise", where=where)
    weight = check_sample_weight(sample_weight, n, where=where)
    rows = CountedRows(table.values, labels, groups, weight)
    kinds = {"covariance": covariance, "shrinkage": shrinkage}
    scale, _ = choose_scale(family, rows, table.names, **kinds, where=where)
    work = scale.ahead(table.values, table.names, where=where)
    moments = CellMoments(work.shape[1], covariance=covariance).update(
        work, labels, sensitive_features=groups.values, sample_weight=weight
    )
    settings = GivenSettings(
        covariance, moves, reference, direction, priors, "affine", "full", shrinkage, random_state
    )
    solution, coordinates = solve_given(moments, settings, where=where)
    moved = np.array(work, dtype=np.float64)
    factor = np.ones(n)
    # by name: labels that have rows but no weight are not among the moments'
    for i, label in enumerate(moments.classes):
        for a, group in enumerate(moments.groups):
            inside = (labels == label) & (groups.codes == groups.labels.index(group))
            key = (label, group)
            inner = _transport(_cell(solution.source, i, a), _cell(solution.distribution, i, a))
            moved[inside] = coordinates.lift(inner).apply(moved[inside])
            factor[inside] = solution.distribution.priors[key] / solution.source.priors[key]
    repaired = table.rebuild(scale.back(moved))
    return repaired, factor if weight is None else factor * weight


def _cell(joint: JointDistribution, label: int, group: int) -> Normal:
    return Normal(joint.means[label, group], joint.covariances[label, group])


def _transport(p: Normal, q: Normal) -> AffineMap:
    """Return the optimal map from p to q for the squared Euclidean distance.

    ``x -> m_q + A (x - m_p)``, ``A = S_p^{-1/2} (S_p^{1/2} S_q S_p^{1/2})^{1/2} S_p^{-1/2}``
    (Knott and Smith 1984).
    """
    root, inverse = symmetric_sqrt(p.covariance), symmetric_inverse_sqrt(p.covariance)
    matrix = inverse @ symmetric_sqrt(root @ q.covariance @ root) @ inverse
    return AffineMap(matrix, q.mean - matrix @ p.mean)
