"""Judge a way of steering on rows kept apart: coded rows, and the gap that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments

__all__ = ["N_FOLDS", "CodedRows", "mean_square_gap"]

Floats = NDArray[np.float64]

N_FOLDS = 3
"""Folds on which a choice is judged."""


@dataclass(frozen=True)
class CodedRows:
    """Rows with codes of label and group; every group is known even when absent."""

    values: NDArray[Any]
    y: NDArray[np.intp]
    groups: NDArray[np.intp]
    weight: Floats | None
    n_groups: int

    @property
    def cells(self) -> NDArray[np.intp]:
        """One number a (label, group) pair."""
        return self.y * self.n_groups + self.groups

    def take(self, index: NDArray[np.intp]) -> CodedRows:
        """Return the rows at ``index``."""
        weight = None if self.weight is None else self.weight[index]
        return CodedRows(
            self.values[index], self.y[index], self.groups[index], weight, self.n_groups
        )

    def moments(self) -> CellMoments:
        """Return the tied moments."""
        found = CellMoments(
            self.values.shape[1],
            covariance="tied",
            classes=list(range(int(self.y.max()) + 1)),
            groups=list(range(self.n_groups)),
        )
        return found.update(
            self.values, self.y, sensitive_features=self.groups, sample_weight=self.weight
        )


def mean_square_gap(hits: NDArray[np.bool_], rows: CodedRows) -> tuple[float, float]:
    """Return the corrected, precision-weighted mean square TPR gap and its error at 0.

    With more than two groups: the sum over pairs, which is smooth in the rates.
    """
    n_groups, codes = rows.n_groups, rows.cells
    size = n_groups * (int(rows.y.max()) + 1)
    n = np.bincount(codes, minlength=size).reshape(-1, n_groups).astype(np.float64)
    right = np.bincount(codes, weights=hits, minlength=size).reshape(-1, n_groups)
    total, variance = 0.0, 0.0
    for a in range(n_groups):
        for b in range(a + 1, n_groups):
            ok = (n[:, a] > 1) & (n[:, b] > 1)
            if not ok.any():
                continue
            na, nb = n[ok, a], n[ok, b]
            pa, pb = right[ok, a] / na, right[ok, b] / nb
            noise = pa * (1 - pa) / (na - 1) + pb * (1 - pb) / (nb - 1)
            w = na * nb / (na + nb)
            w /= w.sum()
            total += float(w @ ((pa - pb) ** 2 - noise))
            variance += float(2 * (w**2) @ noise**2)
    return total, float(np.sqrt(variance))
