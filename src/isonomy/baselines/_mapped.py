"""The common form of baselines that give every group one affine map."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import GroupAwareTransformer
from isonomy.distributions import AffineMap

__all__ = ["MappedGroups"]


class MappedGroups(GroupAwareTransformer):
    """Base of the transformers whose fitted state is ``maps_``, one map per group.

    Rows of a group never seen in ``fit`` stay where they are, if
    ``unknown_group="identity"`` lets them in at all.
    """

    _requires_y = False
    group_use = "given"

    maps_: dict[Hashable, AffineMap]

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        assert codes is not None  # `_uses_groups_at_transform` is true
        moved = values.copy()
        for code, group in enumerate(self.groups_):
            rows = codes == code
            if rows.any() and not self.maps_[group].is_identity:
                moved[rows] = self.maps_[group].apply(values[rows])
        return moved
