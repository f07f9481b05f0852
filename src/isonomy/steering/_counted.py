"""The training rows that count: those of weight above 0, as if the others were not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_labels
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, encode_groups

__all__ = ["CountedRows", "counted_rows"]


@dataclass(frozen=True)
class CountedRows:
    """Features (on the working scale), labels, groups and weights of one training set."""

    values: NDArray[Any]
    labels: NDArray[Any]
    groups: GroupCodes
    weight: NDArray[np.float64] | None

    @property
    def y_codes(self) -> NDArray[np.intp]:
        """Labels by their number in sorted order, ``(n_samples,)``."""
        return np.unique(self.labels, return_inverse=True)[1]

    def add_to(self, moments: CellMoments) -> None:
        """Add these rows to ``moments``, in place."""
        moments.update(
            self.values,
            self.labels,
            sensitive_features=self.groups.values,
            sample_weight=self.weight,
        )

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.groups.labels)


def counted_rows(rows: CountedRows, *, where: str) -> CountedRows:
    """Return the rows without those of weight 0; no copy where there are none.

    Raises
    ------
    InvalidInputError
        If the rows left hold a single class, or a single group where there were several.
    """
    n_groups = rows.n_groups
    if rows.weight is not None and not rows.weight.all():
        kept = rows.weight > 0
        groups = encode_groups(rows.groups.values[kept], where=where)
        rows = CountedRows(rows.values[kept], rows.labels[kept], groups, rows.weight[kept])
        if rows.n_groups == 1 < n_groups:
            raise InvalidInputError(
                f"`sample_weight` passed to `{where}` must leave at least 2 groups some weight, "
                f"got only {rows.groups.labels[0]!r} with any. With one group there is nothing "
                "to equalise."
            )
    check_labels(rows.labels, where=where, min_classes=1 if rows.n_groups == 1 else 2)
    return rows
