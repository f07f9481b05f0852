"""What LinearPost's programme is made of: costs, rates by group, and which must agree."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.errors import InvalidInputError, UndefinedRateWarning

__all__ = [
    "Criterion",
    "bound_rates",
    "check_costs",
    "check_joint",
    "check_probabilities",
    "conditions_of",
    "find_positive",
    "joint_of_given",
    "largest_difference",
    "within_group",
]

Criterion = Literal["equal_opportunity", "demographic_parity", "equalized_odds"]
Floats = NDArray[np.float64]


def check_probabilities(proba: ArrayLike, *, n_classes: int | None = None, where: str) -> Floats:
    """Return class probabilities (n, K), finite and in [0, 1], K at least 2."""
    found = np.asarray(proba, dtype=np.float64)
    if found.ndim != 2 or found.shape[0] == 0 or found.shape[1] < 2:
        raise InvalidInputError(
            f"`proba` passed to `{where}` must be (n_samples, n_classes) with at least one row and "
            f"2 classes, got shape {found.shape}."
        )
    if n_classes is not None and found.shape[1] != n_classes:
        raise InvalidInputError(
            f"`proba` passed to `{where}` must have {n_classes} columns as in `fit`, got "
            f"{found.shape[1]}."
        )
    _check_range(found, "proba", where=where)
    return found


def check_joint(
    joint_proba: ArrayLike, proba: Floats, *, n_groups: int | None = None, where: str
) -> Floats:
    """Return cell probabilities (n, K, G) that fit to ``proba`` (n, K)."""
    found = np.asarray(joint_proba, dtype=np.float64)
    shape = (*proba.shape, "n_groups" if n_groups is None else n_groups)
    wrong = found.ndim != 3 or found.shape[:2] != proba.shape
    if wrong or n_groups not in (None, found.shape[2]):
        raise InvalidInputError(
            f"`joint_proba` passed to `{where}` must have shape ({', '.join(map(str, shape))}): "
            f"one number a row, class and group; got shape {found.shape}."
        )
    _check_range(found, "joint_proba", where=where)
    return found


def _check_range(values: Floats, name: str, *, where: str) -> None:
    # the sum of probabilities computed in float32 may exceed 1 in the seventh digit
    if not ((values >= 0) & (values <= 1 + 1e-6)).all():  # False for NaN too
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold probabilities in [0, 1], got values from "
            f"{values.min():g} to {values.max():g}."
        )


def check_costs(cost_matrix: ArrayLike | None, n_classes: int, *, where: str) -> Floats:
    """Return costs (K, K), true class by decided class; 0 and 1 by default."""
    if cost_matrix is None:
        return 1 - np.eye(n_classes)
    costs = np.asarray(cost_matrix, dtype=np.float64)
    if costs.shape != (n_classes, n_classes) or not np.isfinite(costs).all():
        raise InvalidInputError(
            f"`cost_matrix` of `{where}` must hold {n_classes} x {n_classes} finite numbers, true "
            f"class by decided class, got shape {costs.shape}."
        )
    return costs


def find_positive(pos_label: Any, classes: NDArray[Any], *, where: str) -> int:
    """Return the position of the positive class of two: the larger by default."""
    if pos_label is None:
        return 1
    if len(classes) > 2:
        raise InvalidInputError(
            f"`pos_label` of `{where}` must be None where `y` has more than 2 classes, got "
            f"{pos_label!r} with {len(classes)}: the rates of every class count there."
        )
    matches = np.flatnonzero(classes == pos_label)
    if len(matches) == 0:
        raise InvalidInputError(
            f"`pos_label` of `{where}` must be one of {classes.tolist()}, got {pos_label!r}."
        )
    return int(matches[0])


def conditions_of(criterion: Criterion, joint: Floats) -> Floats:
    """Return p(a, c | x), (n, C, G): of every true class c, or of anything for parity."""
    if criterion == "demographic_parity":
        parity: Floats = joint.sum(axis=1, keepdims=True)
        return parity
    return joint


def bound_rates(
    criterion: Criterion, share: Floats, *, n_classes: int, positive: int, where: str
) -> NDArray[np.bool_]:
    """Return which rates (condition, decided class, group) are bound to the other groups'.

    ``share`` (C, G) is the mean of p(a, c | x). With two classes only decisions for the
    ``positive`` one are bound: the other's rates are 1 less them.

    Warns
    -----
    UndefinedRateWarning
        If a group has no probability of a condition: its rate does not exist.
    """
    n_conditions, n_groups = share.shape
    bound = np.zeros((n_conditions, n_classes, n_groups), dtype=bool)
    if criterion == "equal_opportunity":
        bound[np.arange(n_classes), np.arange(n_classes)] = True
    else:
        bound[:] = True
    if n_classes == 2:
        bound[:, 1 - positive] = False
    # below rounding of the largest share a cell is empty, whatever a model's floor is
    defined = np.asarray(share > np.finfo(np.float64).eps * share.max())
    wanted = np.asarray(bound.any(axis=1))
    _warn_undefined(wanted & ~defined, where=where)
    bound &= defined[:, None, :]
    bound[bound.sum(axis=2) < 2] = False  # one group's rate has nothing to agree with
    return bound


def _warn_undefined(undefined: NDArray[np.bool_], *, where: str) -> None:
    empty = np.argwhere(undefined)
    if len(empty):
        shown = ", ".join(f"({c}, {a})" for c, a in empty[:5].tolist())
        warnings.warn(
            f"`{where}` leaves {len(empty)} rate(s) out of the constraints, because the group has "
            f"no probability of that class (class, group, by position): {shown}. Pool rare "
            "classes or groups to bind them.",
            UndefinedRateWarning,
            stacklevel=4,
        )


def largest_difference(
    ratio: Floats, weight: Floats, decided: NDArray[np.intp], bound: NDArray[np.bool_]
) -> float:
    """Return the largest difference over groups of an estimated rate that is bound; or 0."""
    largest = 0.0
    for k in np.flatnonzero(bound.any(axis=(0, 2))):
        chosen = weight * (decided == k)
        rates = np.tensordot(chosen, ratio, axes=1) / len(weight)
        for c in np.flatnonzero(bound[:, k].any(axis=1)):
            largest = max(largest, float(np.ptp(rates[c, bound[c, k]])))
    return largest


def joint_of_given(proba: Floats, codes: NDArray[np.intp], n_groups: int) -> Floats:
    """Return p(a, k | x) where the group is known: p(k | x) in the row's own group, else 0."""
    joint = np.zeros((*proba.shape, n_groups))
    known = np.flatnonzero(codes >= 0)
    joint[known, :, codes[known]] = proba[known]
    return joint


def within_group(joint: Floats, codes: NDArray[np.intp], otherwise: Floats) -> Floats:
    """Return p(k | x, a) of every row's own group; ``otherwise`` where the model has none."""
    own = joint[np.arange(len(codes)), :, codes]
    total = own.sum(axis=1, keepdims=True)
    known = (codes >= 0)[:, None] & (total > 0)
    within: Floats = np.where(known, own / np.where(total > 0, total, 1), otherwise)
    return within
