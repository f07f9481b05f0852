"""Check the parameters of an IdealSteerer, each on its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from isonomy._validation import check_choice, check_real
from isonomy.errors import InvalidInputError
from isonomy.steering._protected import check_protected
from isonomy.steering._student import check_student

__all__ = ["CHOICES", "check_not_loaded", "check_settings", "check_streaming"]

CHOICES: dict[str, tuple[Any, ...]] = {
    "groups": ("blind", "given", "infer"),
    "family": ("normal", "lognormal", "nonparanormal", "student_t", "auto"),
    "covariance": ("tied", "full", "diagonal"),
    "direction": ("information", "moment"),
    "priors": ("reweigh", "reference", "joint", "keep"),
    "map_family": ("affine", "symmetric", "diagonal"),
    "subspace": ("auto", "full", "discriminant"),
    "inference": ("soft", "hard", "gated"),
    "probe_calibration": ("sigmoid", "isotonic", "temperature", None),
    "training_rows": ("given", "cross_fitted", "inferred"),
    "missing_groups": ("raise", "single", "own_group"),
    "unknown_group": ("error", "identity"),
}


def check_settings(steerer: Any, *, where: str) -> None:
    """Raise :class:`InvalidInputError` naming the first parameter that cannot be used."""
    for name, choices in CHOICES.items():
        check_choice(name, getattr(steerer, name), choices, where=where)
    check_real("cell_shrinkage", steerer.cell_shrinkage, where=where, low=0)
    check_real("accuracy_tolerance", steerer.accuracy_tolerance, where=where, low=0, high=1)
    check_real("strength", steerer.strength, where=where, low=0, high=1)
    check_real("gate_threshold", steerer.gate_threshold, where=where, low=0, high=1)
    if steerer.shrinkage is not None and steerer.shrinkage != "oas":
        if isinstance(steerer.shrinkage, str):
            check_choice("shrinkage", steerer.shrinkage, ("oas", None), where=where)
        check_real("shrinkage", steerer.shrinkage, where=where, low=0, high=1)
    if steerer.probe is None and hasattr(steerer, "_lost_probe") and steerer.groups == "infer":
        raise InvalidInputError(
            f"`probe` of `{where}` must be set again: this steerer was loaded from a file that "
            f"could not hold its {steerer._lost_probe}. Call `set_params(probe=...)` first."
        )
    rank = steerer.rank
    whole = isinstance(rank, int | np.integer) and not isinstance(rank, bool)
    if not (whole and rank >= 1) and rank != "auto":
        raise InvalidInputError(
            f'`rank` of `{where}` must be "auto" or an integer of at least 1, got {rank!r}.'
        )
    if steerer.subspace == "discriminant" and steerer.covariance == "diagonal":
        raise InvalidInputError(
            f'`subspace="discriminant"` of `{where}` mixes columns and cannot go with '
            '`covariance="diagonal"`. Choose `covariance="tied"`.'
        )
    if (
        steerer.groups != "blind"
        and steerer.map_family == "diagonal"
        and steerer.covariance != "diagonal"
    ):
        raise InvalidInputError(
            f'`map_family="diagonal"` of `{where}` treats columns one by one and needs '
            f'`covariance="diagonal"`, got {steerer.covariance!r}. Set that too.'
        )
    check_protected(steerer, where=where)
    check_student(steerer, where=where)


def check_not_loaded(steerer: Any, *, where: str) -> None:
    """Raise if this steerer came from a file, without the moments of its rows."""
    if hasattr(steerer, "_withheld_cells"):
        raise InvalidInputError(
            f"`{where}` cannot go on from a loaded steerer: its file holds maps, not the "
            "moments of the rows. Fit a new one on all rows."
        )


def _check_same_labels(moments: Any, classes: Any, groups: Any, *, where: str) -> None:
    """Raise unless a later call names the labels and groups of the first, or none."""
    for name, given in (("classes", classes), ("groups", groups)):
        known = getattr(moments, name)
        if given is not None and set(given) != set(known):
            raise InvalidInputError(
                f"`{name}` passed to `{where}` must be the same at every call "
                f"({', '.join(map(str, known))}), got {', '.join(map(str, given))}. Name all of "
                "them at the first call."
            )


def check_streaming(steerer: Any, n_groups: int, classes: Any, groups: Any, *, where: str) -> None:
    """Raise unless this steerer can learn from chunks of rows, of these labels and groups."""
    if hasattr(steerer, "moments_"):
        _check_same_labels(steerer.moments_, classes, groups, where=where)
    whole = steerer.groups == "infer" or (steerer.groups == "blind" and steerer.rank == "auto")
    if whole and max(n_groups, len(getattr(steerer, "groups_", ()))) > 1:
        raise InvalidInputError(
            f'`{where}` works with `groups="given"`, or `groups="blind"` and a fixed `rank`, got '
            f"groups={steerer.groups!r} and rank={steerer.rank!r}: those need all rows at once. "
            "Use `fit`."
        )
