"""Whatever steers rows, as the affine maps that a model's hidden states go through."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._attach._posterior import torch_posterior
from isonomy.steering import IdealSteerer
from isonomy.steering._limits import check_maps_alone

if TYPE_CHECKING:
    import torch

__all__ = ["SteeringMaps", "as_steering_maps"]


@dataclass(frozen=True)
class SteeringMaps:
    """One map for all rows, one for every group, or their mean under a posterior.

    Parameters
    ----------
    groups : tuple or None
        Names of the maps; None for one map that asks for no group.
    maps : tuple of AffineMap
        As many as groups, or one.
    posterior : callable or None
        States (n, d) -> weights (n, n_groups) that sum to 1 in every row, on the states'
        device. None: the groups are given, or not asked for.
    unknown_group : "error" or "identity"
        What becomes of rows of another group.

    Notes
    -----
    A row x moves to ``sum_a w_a map_a(x)``, with w its posterior, or 1 for its group.
    """

    groups: tuple[Hashable, ...] | None
    maps: tuple[AffineMap, ...]
    posterior: Callable[[torch.Tensor], torch.Tensor] | None = None
    unknown_group: Literal["error", "identity"] = "error"

    def __post_init__(self) -> None:
        n = 1 if self.groups is None else len(self.groups)
        if len(self.maps) != n:
            raise InvalidInputError(
                f"`maps` of `SteeringMaps` must be one a group ({n}), got {len(self.maps)}."
            )
        if self.posterior is not None and self.groups is None:
            raise InvalidInputError(
                "`groups` of `SteeringMaps` must name the maps that `posterior` weighs, got None."
            )

    @property
    def needs_groups(self) -> bool:
        """Whether the group of every row must be given."""
        return self.groups is not None and self.posterior is None

    @property
    def n_features(self) -> int:
        """Features of a state, d."""
        return self.maps[0].n_features


def as_steering_maps(steerer: Any, *, d: int | None, where: str) -> SteeringMaps:
    """Return the maps of a steerer, checked to fit states of ``d`` features.

    Parameters
    ----------
    steerer : AffineMap, mapping of group to AffineMap, fitted transformer, path or SteeringMaps
        A transformer with ``map_`` (one map), ``maps_`` (one a group) or a method
        ``steering_maps()``; an ``IdealSteerer`` of any ``groups``; a path to a saved one.
    d : int or None
        Features of the states; None for any.
    where : str
        The public function that asks, for messages.

    Raises
    ------
    InvalidInputError
        If the steerer is not fitted, has no affine map, steers logarithms, keeps bounds or
        whole numbers, or its maps have other features.
    ArtefactError
        If a path holds no steerer.
    """
    found = _maps_of(steerer, where=where)
    sizes = {m.n_features for m in found.maps}
    if len(sizes) != 1 or (d is not None and sizes != {d}):
        raise InvalidInputError(
            f"`steerer` passed to `{where}` must map states of {d} features, as the model has at "
            f"this site, got {' and '.join(map(str, sorted(sizes)))}. Fit it on states that "
            "`collect` read from this model, site and layer."
        )
    return found


def _maps_of(steerer: Any, *, where: str) -> SteeringMaps:
    if isinstance(steerer, SteeringMaps):
        return steerer
    if isinstance(steerer, AffineMap):
        return SteeringMaps(None, (steerer,))
    if isinstance(steerer, Mapping):
        return _of_mapping(steerer, where=where)
    if isinstance(steerer, (str, Path)):
        steerer = IdealSteerer.load(steerer)
    if callable(getattr(steerer, "steering_maps", None)):
        return _maps_of(steerer.steering_maps(), where=where)
    if isinstance(steerer, IdealSteerer):
        return _of_ideal(steerer, where=where)
    return _of_transformer(steerer, where=where)


def _of_mapping(steerer: Mapping[Any, Any], *, where: str) -> SteeringMaps:
    strange = [m for m in steerer.values() if not isinstance(m, AffineMap)]
    if strange or not steerer:
        got = type(strange[0]).__name__ if strange else "an empty mapping"
        raise InvalidInputError(
            f"`steerer` passed to `{where}` as a mapping must hold one `AffineMap` a group, "
            f"got {got}."
        )
    return SteeringMaps(tuple(steerer), tuple(steerer.values()))


def _check_fitted(steerer: Any, *, where: str) -> None:
    if not hasattr(steerer, "groups_"):
        raise InvalidInputError(
            f"`steerer` passed to `{where}` must be fitted, got {type(steerer).__name__} before "
            "`fit`. Fit it on the states that `collect` reads."
        )


def _of_ideal(steerer: IdealSteerer, *, where: str) -> SteeringMaps:
    _check_fitted(steerer, where=where)
    if steerer.family_ != "normal":
        raise InvalidInputError(
            f"`steerer` passed to `{where}` must move the states themselves, got an IdealSteerer "
            f"with family={steerer.family_!r}, whose affine maps act on logarithms or transforms "
            'of them. Fit it with `family="normal"`.'
        )
    check_maps_alone(steerer, argument="steerer", where=where)
    groups = tuple(steerer.groups_)
    maps = tuple(steerer.maps_[group] for group in groups)
    if steerer.groups == "blind" or len(groups) == 1:
        return SteeringMaps(None, maps[:1])
    if steerer.groups == "given":
        return SteeringMaps(groups, maps, unknown_group=steerer.unknown_group)
    return SteeringMaps(groups, maps, torch_posterior(steerer, where=where))


def _of_transformer(steerer: Any, *, where: str) -> SteeringMaps:
    one, many = getattr(steerer, "map_", None), getattr(steerer, "maps_", None)
    if isinstance(one, AffineMap):
        return SteeringMaps(None, (one,))
    if isinstance(many, Mapping) and many:
        unknown: Any = getattr(steerer, "unknown_group", "error")
        return SteeringMaps(tuple(many), tuple(many.values()), unknown_group=unknown)
    if hasattr(type(steerer), "transform") or hasattr(type(steerer), "fit"):
        _check_fitted(steerer, where=where)
    raise InvalidInputError(
        f"`steerer` passed to `{where}` must be an `AffineMap`, a mapping of group to "
        "`AffineMap`, a fitted transformer whose rows move by affine maps (`map_` or `maps_`), "
        f"or a path to a saved `IdealSteerer`, got {type(steerer).__name__}."
    )
