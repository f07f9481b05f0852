"""The optimal transport map between two centred normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.baselines._factor import Factor
from isonomy.distributions._linalg import symmetric_sqrt, symmetrize

__all__ = ["bures_map"]

Floats = NDArray[np.float64]


def bures_map(source: Floats, target: Floats) -> Floats:
    """Return the symmetric W with ``W source W = target``, (d, d).

    Where ``source`` is singular, W acts on its range (orthogonal complement left as it
    is) and carries it to the part of ``target`` within that range.
    """
    factor = Factor.of(source)
    if factor.left_inverse is None:
        return _between(factor, target)
    basis, root = np.linalg.qr(factor.root)
    inner = Factor(root, np.linalg.pinv(root))
    moved = _between(inner, basis.T @ target @ basis)
    rest = np.eye(len(source)) - basis @ basis.T
    return symmetrize(basis @ moved @ basis.T + rest)


def _between(factor: Factor, target: Floats) -> Floats:
    """Return ``L^-T (L' target L)^{1/2} L^-1``."""
    middle = symmetric_sqrt(symmetrize(factor.root.T @ target @ factor.root))
    return symmetrize(factor.divide_transposed(factor.divide_transposed(middle).T))
