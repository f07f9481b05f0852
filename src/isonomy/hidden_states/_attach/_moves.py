"""The arithmetic of steering: maps as tensors, made once, and applied to states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.distributions import AffineMap

if TYPE_CHECKING:
    from isonomy.hidden_states._attach._rows import RowGroups
    from isonomy.hidden_states._attach._steering_maps import SteeringMaps

__all__ = ["Mover", "compute_dtype", "move_flops"]

Key = tuple[torch.device, torch.dtype]


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float64 for float64 states, else float32: half precision is cast up."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class _Change:
    """What one map adds to a state x: ``right' (left' x) + shift``, or ``dense' x + shift``."""

    left: NDArray[Any] | None
    right: NDArray[Any] | None
    dense: NDArray[Any] | None
    shift: NDArray[Any] | None

    @classmethod
    def of(cls, move: AffineMap, strength: float) -> _Change:
        """Return the change of ``(1 - s) x + s move(x)``, by the cheaper form."""
        shift = strength * move.offset if move.offset.any() else None
        if move.factors is not None and 2 * move.factors[0].shape[1] < move.n_features:
            u, v = move.factors
            if u.shape[1] == 0:
                return cls(None, None, None, shift)
            return cls(v, np.ascontiguousarray(strength * u.T), None, shift)
        change = move.matrix - np.eye(move.n_features)
        if not change.any():
            return cls(None, None, None, shift)
        return cls(None, None, np.ascontiguousarray(strength * change.T), shift)

    @property
    def rank(self) -> int:
        """Columns of ``left``; 0 without."""
        return 0 if self.left is None else int(self.left.shape[1])

    @property
    def is_nothing(self) -> bool:
        """Whether states stay."""
        return self.left is None and self.dense is None and self.shift is None


class Mover:
    """Apply a steerer's maps, with the strength multiplied in, to states of any dtype.

    Parameters
    ----------
    maps : SteeringMaps
    strength : float
        s in ``x -> (1 - s) x + s map(x)``.

    Notes
    -----
    Only what a map changes is computed and added, so a group whose map is the identity
    keeps its states bit for bit. Maps of low rank stay factored. Where rows have groups or
    a posterior, all factors stand side by side and the rows' weights multiply between
    them; dense maps of given groups are applied to the rows of that group alone.
    """

    def __init__(self, maps: SteeringMaps, strength: float) -> None:
        self.maps = maps
        self.changes = tuple(_Change.of(m, strength) for m in maps.maps)
        self._dense = any(c.dense is not None for c in self.changes)
        self._tensors: dict[Key, dict[str, torch.Tensor]] = {}

    @property
    def is_nothing(self) -> bool:
        """Whether no state would change."""
        return all(c.is_nothing for c in self.changes)

    def prepare(self, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Return the maps' tensors for states on ``device``; they are made at the first call."""
        key = (device, compute_dtype(dtype))
        found = self._tensors.get(key)
        if found is None:
            # a tensor made under inference mode could not take part in training later
            with torch.inference_mode(False):
                found = {
                    name: torch.as_tensor(
                        array, dtype=torch.long if name == "owner" else key[1], device=device
                    )
                    for name, array in self._arrays().items()
                }
            self._tensors[key] = found
        return found

    def _arrays(self) -> dict[str, NDArray[Any]]:
        d, arrays = self.maps.n_features, {}
        lefts = [c.left for c in self.changes if c.left is not None]
        if lefts:
            arrays["left"] = np.hstack(lefts)
            arrays["right"] = np.vstack([c.right for c in self.changes if c.right is not None])
            arrays["owner"] = np.repeat(
                np.arange(len(self.changes)), [c.rank for c in self.changes]
            )
        if any(c.shift is not None for c in self.changes):
            arrays["shift"] = np.stack(
                [np.zeros(d) if c.shift is None else c.shift for c in self.changes]
            )
        for a, change in enumerate(self.changes):
            if change.dense is not None:
                arrays[f"dense{a}"] = change.dense
        return arrays

    def __call__(self, states: torch.Tensor, rows: RowGroups | None) -> torch.Tensor:
        """Return the moved states (batch, d) or (batch, tokens, d), in their own dtype."""
        kind = states.device.type
        if torch.is_autocast_enabled(kind):  # it would round the map's products to half
            with torch.autocast(kind, enabled=False):
                return self._move(states, rows)
        return self._move(states, rows)

    def _move(self, states: torch.Tensor, rows: RowGroups | None) -> torch.Tensor:
        at = self.prepare(states.device, states.dtype)
        x = states.to(compute_dtype(states.dtype))
        if self.maps.groups is None:
            moved = _one(x, at)
        elif self.maps.posterior is not None:
            moved = self._mixed(x, at)
        else:
            assert rows is not None  # the watch has checked it before the model ran
            moved = self._given(x, at, rows)
        return moved.to(states.dtype)

    def _mixed(self, x: torch.Tensor, at: dict[str, torch.Tensor]) -> torch.Tensor:
        assert self.maps.posterior is not None
        flat = x.reshape(-1, x.shape[-1])
        weights = self.maps.posterior(flat)
        moved = _weighted(flat, weights, at)
        for a, change in enumerate(self.changes):
            if change.dense is not None:
                moved = torch.addcmul(moved, weights[:, a : a + 1], flat @ at[f"dense{a}"])
        return moved.reshape(x.shape)

    def _given(self, x: torch.Tensor, at: dict[str, torch.Tensor], rows: RowGroups) -> torch.Tensor:
        weights = rows.one_hot(x.device, x.dtype)
        moved = x
        if "left" in at or "shift" in at:
            moved = _weighted(x, weights if x.ndim == 2 else weights[:, None, :], at)
        if not self._dense:
            return moved
        out = moved.clone() if moved is x else moved
        for a, index in rows.members(x.device):
            if self.changes[a].dense is not None:
                part = x.index_select(0, index)
                added = out.index_select(0, index) + part @ at[f"dense{a}"]
                out = out.index_copy(0, index, added)
        return out


def _one(x: torch.Tensor, at: dict[str, torch.Tensor]) -> torch.Tensor:
    flat = x.reshape(-1, x.shape[-1])
    start = flat + at["shift"][0] if "shift" in at else flat
    if "left" in at:
        start = torch.addmm(start, flat @ at["left"], at["right"])
    elif "dense0" in at:
        start = torch.addmm(start, flat, at["dense0"])
    return start.reshape(x.shape)


def _weighted(x: torch.Tensor, weights: torch.Tensor, at: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return x plus the weighted changes of all factored maps and shifts."""
    moved = x
    if "shift" in at:
        moved = moved + weights @ at["shift"]
    if "left" in at:
        owned = weights[..., at["owner"]]
        moved = moved + (x @ at["left"] * owned) @ at["right"]
    return moved


def move_flops(maps: SteeringMaps) -> int:
    """Return the floating-point operations that one state costs, multiply and add apart.

    Notes
    -----
    With d features: a map of rank r costs ``4 d r + d`` and a dense one ``2 d^2 + d``. With
    groups, given or inferred, the ranks add up over the groups; given dense maps cost one
    map a row, inferred ones all. The default probe adds ``2 d n_groups + 2 d``.
    """
    d = maps.n_features
    changes = [_Change.of(m, 1.0) for m in maps.maps]
    ranks = sum(c.rank for c in changes)
    n_dense = sum(c.dense is not None for c in changes)
    if maps.posterior is None:
        n_dense = min(n_dense, 1)
    total = 4 * d * ranks + 2 * d * d * n_dense + d
    if maps.groups is not None and any(c.shift is not None for c in changes):
        total += 2 * d * len(changes)
    if maps.posterior is not None:
        total += 2 * d * len(changes) + 2 * d
    return total
