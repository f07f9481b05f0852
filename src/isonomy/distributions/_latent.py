"""Rows between their own units and the latent coordinates of a joint law; cells compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._cell_arrays import CellArrays
from isonomy.distributions._shape import Marginals
from isonomy.distributions.normal import gaussian_kl
from isonomy.errors import FamilyError

__all__ = ["cell_divergence", "latent_rows", "observed_rows"]

Floats = NDArray[np.float64]


def latent_rows(joint: CellArrays, rows: NDArray[np.generic], codes: NDArray[np.intp]) -> Floats:
    """Return rows (n, d) of groups ``codes`` (n,) in latent coordinates."""
    values = np.asarray(rows, dtype=np.float64)
    if joint.family == "lognormal":
        if (values <= 0).any():
            raise FamilyError(
                "`X` passed to `JointDistribution.latent` must be positive for log-normal cells, "
                f"got {values.min():g}. Drop those rows or fit another family."
            )
        return np.asarray(np.log(values))
    if not isinstance(joint.shape, Marginals):
        return values
    moved = np.empty_like(values)
    for a, transform in enumerate(joint.shape.transforms):
        chosen = np.flatnonzero(codes == a)
        moved[chosen] = transform.forward(values[chosen])
    return moved


def observed_rows(joint: CellArrays, rows: Floats, codes: NDArray[np.intp]) -> Floats:
    """Return latent rows (n, d) of groups ``codes`` (n,) in the units of X."""
    if joint.family == "lognormal":
        return np.asarray(np.exp(rows))
    if not isinstance(joint.shape, Marginals):
        return rows
    moved = np.empty_like(rows)
    for a, transform in enumerate(joint.shape.transforms):
        chosen = np.flatnonzero(codes == a)
        moved[chosen] = transform.inverse(rows[chosen])
    return moved


def cell_divergence(p: CellArrays, q: CellArrays, cell: tuple[int, ...]) -> float:
    """Return KL between the laws of one cell (label, group) of two comparable joint laws."""
    if p.family == "student_t":
        y, a = cell
        return float(p._law(y, a).kl_divergence(q._law(y, a)))
    return gaussian_kl(p.means[cell], p._lowers[cell], q.means[cell], q._lowers[cell])
