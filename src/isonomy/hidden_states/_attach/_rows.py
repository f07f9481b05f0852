"""The groups of a batch's rows, ready for the device, one code a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy._group_codes import match_groups
from isonomy.hidden_states._attach._steering_maps import SteeringMaps

__all__ = ["RowGroups", "as_labels"]


def as_labels(groups: Any) -> Any:
    """Return ``groups`` as NumPy reads them, where they come as a tensor."""
    if not isinstance(groups, torch.Tensor):
        return groups
    values = groups.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()  # no bfloat16 there


class RowGroups:
    """Codes of the rows of one batch, -1 for a group that stays where it is.

    Parameters
    ----------
    codes : (n_rows,) array
    n_groups : int
    """

    def __init__(self, codes: NDArray[np.intp], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups
        self._one_hot: dict[Any, torch.Tensor] = {}
        self._members: dict[Any, list[tuple[int, torch.Tensor]]] = {}
        self._repeated: dict[int, RowGroups] = {1: self}

    @classmethod
    def of(cls, maps: SteeringMaps, groups: Any, *, where: str) -> RowGroups:
        """Return the codes of ``groups`` among those that the maps know.

        Raises
        ------
        UnknownGroupError
            If a group has no map and ``maps.unknown_group`` is "error".
        """
        assert maps.groups is not None
        labels = as_labels(groups)
        codes = match_groups(
            labels,
            maps.groups,
            n_samples=len(labels),
            missing_groups="raise",
            unknown_group=maps.unknown_group,
            where=where,
        )
        return cls(codes, len(maps.groups))

    def __len__(self) -> int:
        return len(self.codes)

    def repeated(self, times: int) -> RowGroups:
        """Return the groups of a batch in which every row stands ``times`` in a row."""
        if times not in self._repeated:
            self._repeated[times] = RowGroups(np.repeat(self.codes, times), self.n_groups)
        return self._repeated[times]

    def one_hot(self, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """Return 1 at every row's group, (n_rows, n_groups); 0 for rows that stay."""
        key = (device, dtype)
        if key not in self._one_hot:
            table = np.vstack([np.eye(self.n_groups), np.zeros(self.n_groups)])[self.codes]
            with torch.inference_mode(False):
                self._one_hot[key] = torch.as_tensor(table, dtype=dtype, device=device)
        return self._one_hot[key]

    def members(self, device: torch.device) -> list[tuple[int, torch.Tensor]]:
        """Return (group, its rows) for every group that has rows."""
        if device not in self._members:
            with torch.inference_mode(False):
                self._members[device] = [
                    (a, torch.as_tensor(np.flatnonzero(self.codes == a), device=device))
                    for a in range(self.n_groups)
                    if (self.codes == a).any()
                ]
        return self._members[device]
