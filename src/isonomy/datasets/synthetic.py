"""Normal data whose bias towards groups is known, because it was put there."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from isonomy._validation import check_choice, check_count, check_real
from isonomy.distributions import JointDistribution
from isonomy.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["make_biased_normals"]

Covariance = Literal["tied", "full", "diagonal"]
Floats = NDArray[np.float64]

_LOG_SCALE = 0.4
"""At ``group_shift=1`` a group's columns are stretched by factors of about e^-.4 to e^.4."""

_TILT = 0.7
"""At ``bias=1`` the log-odds of label and group are tilted by about this much."""


def make_biased_normals(
    n_samples: int = 10_000,
    *,
    n_features: int = 4,
    n_classes: int = 2,
    n_groups: int = 2,
    bias: float = 1.0,
    separation: float = 2.0,
    group_shift: float = 1.0,
    covariance: Covariance = "tied",
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Floats, NDArray[Any], NDArray[Any], JointDistribution]:
    """Generate rows of normal cells with group-dependent means, scales, rotations and priors.

    Parameters
    ----------
    n_samples : int
        Rows, drawn independently from ``truth``; rare cells may stay empty in few rows.
    n_features, n_classes, n_groups : int
        At least 1; at most 26 groups.
    bias : float in [0, 10]
        Typical distance, in within-class standard deviations, by which a cell's mean is
        off from where an ideal distribution has it; it also tilts the priors. At 0 the
        truth is ideal.
    separation : float in [0, 100]
        Typical distance between class means in within-class standard deviations.
    group_shift : float in [0, 10]
        Size of the affine map that carries the common cells to each group's; it costs
        no ideality. At 0 and ``bias=0`` all groups have the same law.
    covariance : "tied", "full" or "diagonal"
        One covariance per group; one per cell; or one diagonal per cell.
    random_state : int, RandomState or None
        Same seed, same rows and truth. The truth does not depend on ``n_samples``.

    Returns
    -------
    X : (n_samples, n_features) array
    y : (n_samples,) array of 0 .. n_classes - 1
    sensitive_features : (n_samples,) array of "a", "b", ...
    truth : JointDistribution

    Raises
    ------
    InvalidInputError
        If an argument is outside its range.

    Notes
    -----
    With class means m_y, class covariances S_y (the identity if tied), and for every
    group a an invertible map V_a, b_a, a cell is::

        Normal(V_a (m_y + bias e_ya) + b_a,  V_a S_ya V_a')
        P(y, a) proportional to P(y) P(a) exp(.7 bias t_ya)

    with normal e_ya of typical length 1 and t_ya uniform in [-1, 1]; S_ya = S_y in tied data and at
    ``bias=0``. At ``bias=0`` all cells of a group are one class-free bijection of the
    same N(m_y, S_y), and label and group are independent: a sufficient condition for an
    ideal distribution (see the glossary, "ideal distribution").

    Examples
    --------
    >>> X, y, sensitive_features, truth = make_biased_normals(500, random_state=0)
    >>> X.shape, truth.classes, truth.groups
    ((500, 4), (0, 1), ('a', 'b'))
    """
    where = "make_biased_normals"
    n = check_count("n_samples", n_samples, where=where)
    shape = (
        check_count("n_classes", n_classes, where=where),
        check_count("n_groups", n_groups, where=where),
        check_count("n_features", n_features, where=where),
    )
    if n_groups > len(string.ascii_lowercase):
        raise InvalidInputError(f"`n_groups` of `{where}` must be at most 26, got {n_groups}.")
    check_real("bias", bias, where=where, low=0.0, high=10.0)
    check_real("separation", separation, where=where, low=0.0, high=100.0)
    check_real("group_shift", group_shift, where=where, low=0.0, high=10.0)
    check_choice("covariance", covariance, ("tied", "full", "diagonal"), where=where)
    rng = check_random_state(random_state)
    means, covariances = _cells(shape, bias, separation, group_shift, covariance, rng)
    prior = _prior(shape[:2], bias, rng)
    classes: tuple[Hashable, ...] = tuple(range(n_classes))
    truth = JointDistribution.from_arrays(
        means, covariances, prior, classes, tuple(string.ascii_lowercase[:n_groups]), "normal"
    )
    X, y, groups = truth.sample(n, random_state=rng)
    return X, y, groups, truth


def _cells(
    shape: tuple[int, int, int],
    bias: float,
    separation: float,
    group_shift: float,
    covariance: Covariance,
    rng: np.random.RandomState,
) -> tuple[Floats, Floats]:
    n_classes, n_groups, d = shape
    centres = separation * _directions(n_classes, d, rng)
    off = bias * rng.standard_normal((n_classes, n_groups, d)) / np.sqrt(d)
    maps = np.stack(
        [_group_map(d, group_shift, covariance == "diagonal", rng) for _ in range(n_groups)]
    )
    shifts = group_shift * rng.standard_normal((n_groups, d)) / np.sqrt(d)
    roots = _roots(shape, bias, covariance, rng)
    means = np.einsum("aij,yaj->yai", maps, centres[:, None, :] + off) + shifts
    factors = np.einsum("aij,yajk->yaik", maps, roots)
    covariances = np.einsum("yaik,yajk->yaij", factors, factors)
    return means, covariances


def _directions(n_classes: int, d: int, rng: np.random.RandomState) -> Floats:
    """Return class centres whose typical pair is one unit apart."""
    raw = rng.standard_normal((n_classes, d))
    raw -= raw.mean(axis=0)
    differences = raw[:, None, :] - raw[None, :, :]
    n_pairs = max(n_classes * (n_classes - 1), 1)
    typical = np.sqrt((differences**2).sum() / n_pairs)
    return np.asarray(raw / typical if typical > 0 else raw)


def _group_map(d: int, size: float, diagonal: bool, rng: np.random.RandomState) -> Floats:
    """Return an invertible map: columns stretched, then rotated unless ``diagonal``."""
    stretch = np.exp(_LOG_SCALE * size * rng.uniform(-1.0, 1.0, size=d))
    skew = rng.standard_normal((d, d))
    if diagonal:
        return np.diag(stretch)
    skew = 0.5 * size * (skew - skew.T) / np.sqrt(d)
    cayley = np.linalg.solve(np.eye(d) + skew, np.eye(d) - skew)  # a rotation; size 0: none
    return np.asarray(cayley * stretch)


def _roots(
    shape: tuple[int, int, int], bias: float, covariance: Covariance, rng: np.random.RandomState
) -> Floats:
    """Return R_ya, (K, G, d, d), with S_ya = R_ya R_ya'."""
    n_classes, n_groups, d = shape
    by_class = np.exp(0.3 * rng.uniform(-1.0, 1.0, size=(n_classes, 1, d)))
    by_cell = np.exp(0.3 * bias * rng.uniform(-1.0, 1.0, size=(n_classes, n_groups, d)))
    if covariance == "tied":
        return np.broadcast_to(np.eye(d), (n_classes, n_groups, d, d)).copy()
    stretch = (by_class * by_cell)[..., None, :] * np.eye(d)
    if covariance == "diagonal":
        return np.asarray(stretch)
    mixing = rng.standard_normal((n_classes, 1, d, d)) / np.sqrt(d)
    skew = 0.5 * (mixing - np.swapaxes(mixing, -1, -2))
    return np.asarray(np.linalg.solve(np.eye(d) + skew, np.eye(d) - skew) @ stretch)


def _prior(shape: tuple[int, int], bias: float, rng: np.random.RandomState) -> Floats:
    by_class = 1.0 + rng.uniform(0.0, 1.0, size=(shape[0], 1))
    by_group = 1.0 + rng.uniform(0.0, 1.0, size=(1, shape[1]))
    tilted = by_class * by_group * np.exp(_TILT * bias * rng.uniform(-1.0, 1.0, size=shape))
    return np.asarray(tilted / tilted.sum())
