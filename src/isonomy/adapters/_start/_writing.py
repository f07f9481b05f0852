"""Make a whole ``lora_A`` of the directions that were found, and write it in place."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._start._directions import default_row_norm, orthonormal_rows
from isonomy.adapters._start._targets import Target

__all__ = ["completed", "write_rows"]

Floats = NDArray[np.float64]


def completed(found: Floats, target: Target) -> Floats:
    """Return ``lora_A`` (r, d_in): the rows found, then the default's, orthogonal and scaled.

    Parameters
    ----------
    found : (k, d_in)
        In order of weight, k at most r.
    target : Target
        Its current rows are the default start; with r above d_in the last ones stay as
        they are, as no more can be orthogonal.
    """
    default = target.a.detach().to(torch.float64).cpu().numpy()
    r, d = default.shape
    room = min(r, d)
    basis = orthonormal_rows(found[:room], default[len(found) : room])
    return np.concatenate([default_row_norm() * basis, default[room:]])


def write_rows(target: Target, rows: Floats) -> None:
    """Write ``rows`` (r, d_in) into the target's ``lora_A``, in its own dtype."""
    with torch.no_grad():
        target.a.copy_(torch.from_numpy(rows))
