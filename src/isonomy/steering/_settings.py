"""Check the parameters of an IdealSteerer, each on its own."""

from __future__ import annotations

from typing import Any

from isonomy._validation import check_choice, check_real
from isonomy.errors import InvalidInputError

__all__ = ["CHOICES", "check_settings", "check_streaming"]

CHOICES: dict[str, tuple[Any, ...]] = {
    "groups": ("blind", "given", "infer"),
    "family": ("normal", "lognormal"),
    "covariance": ("tied", "full", "diagonal"),
    "direction": ("information", "moment"),
    "priors": ("reweigh", "reference", "joint", "keep"),
    "map_family": ("affine", "symmetric", "diagonal"),
    "subspace": ("full", "discriminant"),
    "inference": ("soft", "hard"),
    "missing_groups": ("raise", "single", "own_group"),
    "unknown_group": ("error", "identity"),
}


def check_settings(steerer: Any, *, where: str) -> None:
    """Raise :class:`InvalidInputError` naming the first parameter that cannot be used."""
    for name, choices in CHOICES.items():
        check_choice(name, getattr(steerer, name), choices, where=where)
    check_real("cell_shrinkage", steerer.cell_shrinkage, where=where, low=0)
    check_real("accuracy_tolerance", steerer.accuracy_tolerance, where=where, low=0, high=1)
    if steerer.shrinkage is not None and steerer.shrinkage != "oas":
        if isinstance(steerer.shrinkage, str):
            check_choice("shrinkage", steerer.shrinkage, ("oas", None), where=where)
        check_real("shrinkage", steerer.shrinkage, where=where, low=0, high=1)
    rank = steerer.rank
    whole = isinstance(rank, int) and not isinstance(rank, bool)
    if rank != "auto" and not (whole and rank >= 1):
        raise InvalidInputError(
            f'`rank` of `{where}` must be "auto" or an integer of at least 1, got {rank!r}.'
        )
    if steerer.subspace == "discriminant" and steerer.covariance == "diagonal":
        raise InvalidInputError(
            f'`subspace="discriminant"` of `{where}` mixes columns and cannot go with '
            '`covariance="diagonal"`. Choose `covariance="tied"`.'
        )


def check_streaming(steerer: Any, n_groups: int, *, where: str) -> None:
    """Raise unless this steerer can learn from chunks of rows."""
    if hasattr(steerer, "_saved_certificate"):
        raise InvalidInputError(
            f"`{where}` cannot go on from a loaded steerer: its file holds maps, not the "
            "moments of the rows. Fit a new one on all rows."
        )
    whole = steerer.groups == "infer" or (steerer.groups == "blind" and steerer.rank == "auto")
    if whole and max(n_groups, len(getattr(steerer, "groups_", ()))) > 1:
        raise InvalidInputError(
            f'`{where}` works with `groups="given"`, or `groups="blind"` and a fixed `rank`, got '
            f"groups={steerer.groups!r} and rank={steerer.rank!r}: those need all rows at once. "
            "Use `fit`."
        )
