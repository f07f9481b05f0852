"""The common form of baselines that move all rows by one affine map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import GroupAwareTransformer
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError

__all__ = ["OneMap", "check_something_left", "erasing_map", "leading_span"]

Floats = NDArray[np.float64]


class OneMap(GroupAwareTransformer):
    """Base of the transformers whose fitted state is ``map_``, the same for every row.

    The group is not asked for at ``transform``.
    """

    _requires_y = False
    group_use = "blind"

    map_: AffineMap

    def _uses_groups_at_transform(self) -> bool:
        return False

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        return self.map_.apply(values)


def erasing_map(basis: Floats, centre: Floats, strength: float = 1.0) -> AffineMap:
    """Return ``x -> x - strength B B' (x - centre)`` for orthonormal columns B (d, r)."""
    return AffineMap.low_rank(-strength * basis, basis, strength * basis @ (basis.T @ centre))


def leading_span(vectors: Floats, rank: int) -> Floats:
    """Return an orthonormal basis (d, rank) of what the columns of ``vectors`` span.

    Columns are first made equally long: a short one is not a small one.
    """
    lengths = np.linalg.norm(vectors, axis=0)
    scaled = vectors / np.where(lengths > 0, lengths, 1.0)
    basis: Floats = np.linalg.svd(scaled, full_matrices=False)[0][:, :rank]
    return basis


def check_something_left(rank: int, dimensions: int, *, where: str, remedy: str) -> None:
    """Raise if all the dimensions in which rows vary would be erased."""
    if rank < dimensions:
        return
    raise InvalidInputError(
        f"`{where}` would erase all {dimensions} dimension(s) of `X`, and nothing would be "
        f"left. {remedy}"
    )
