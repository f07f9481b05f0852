"""What the group-blind map leaves, judged against the groups' pooled cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap, CellMoments, JointDistribution
from isonomy.ideal import Certificate, IdealSolution, certify
from isonomy.ideal._cells import kl_of_cells
from isonomy.steering._blind import BlindDirections
from isonomy.steering._coordinates import Coordinates
from isonomy.steering._given import canonical_cells, fitted_joint

__all__ = ["blind_solution", "certify_blind", "erased_coordinates"]

Floats = NDArray[np.float64]


def erased_coordinates(found: BlindDirections, rank: int) -> Coordinates:
    """Return coordinates of what is left after erasing the first ``rank`` directions."""
    u = found.directions[:, :rank]
    complement = np.linalg.qr(np.column_stack([u, np.eye(found.n_dimensions)]))[0][
        :, rank : found.n_dimensions
    ]
    return Coordinates(found.mean, found.whiten @ complement, found.unwhiten @ complement)


def blind_solution(
    moments: CellMoments, coordinates: Coordinates, shrinkage: Any, *, where: str
) -> IdealSolution:
    """Return the ideal distribution on which every group has its class's pooled cell.

    The erased rows of a group are compared with it; its maps are identities, for the
    shared map has been applied already.
    """
    source = fitted_joint(moments, coordinates, shrinkage, where=where)
    group, label = source.group_prior, source.class_prior
    means = np.einsum("a,yad->yd", group, source.means)
    within = np.einsum("a,aij->ij", group, source.covariances[0])
    pooled = JointDistribution.from_arrays(
        np.broadcast_to(means[:, None], source.means.shape).copy(),
        np.broadcast_to(within, source.covariances.shape[1:]).copy(),
        np.asarray(label)[:, None] * np.asarray(group)[None, :],
        source.classes,
        source.groups,
        "normal",
    )
    paid = np.stack(
        [
            kl_of_cells(means, within[None], source.means[:, a], source.covariances[:1, a])
            for a in range(len(source.groups))
        ],
        axis=1,
    )
    kl = {
        (y, a): float(paid[i, j])
        for i, y in enumerate(source.classes)
        for j, a in enumerate(source.groups)
    }
    total = float((pooled.prior * (np.log(pooled.prior / source.prior) + paid)).sum())
    return IdealSolution(
        distribution=pooled,
        kl=total,
        kl_by_cell=kl,
        maps={a: AffineMap.identity(coordinates.n_dimensions) for a in source.groups},
        canonical=canonical_cells(pooled, 0),
        converged=True,
        global_optimum=False,
        n_iter=1,
        history=(total,),
        direction="information",
        priors="reweigh",
        moves=tuple(source.groups),
        reference=source.groups[int(np.argmax(source.prior.sum(axis=0)))],
        source=source,
    )


def certify_blind(
    solution: IdealSolution | None, rank: int, n_dimensions: int, strength: float = 1.0
) -> Certificate:
    """Certify the erased rows; without a solution (an empty cell) say why not."""
    if rank and strength < 1.0:
        return Certificate(
            sentences=(
                f"One map for everybody, which needs no group at deployment, takes {strength:.3g} "
                f"off what lies along {rank} of {n_dimensions} directions: those along which "
                "groups differ most within classes. The difference of their class means "
                f"there shrinks to {1.0 - strength:.3g} of what it was.",
                "A part of the way has no bound: with strength=1 there is one.",
            )
        )
    opening = (
        f"One map for everybody, which needs no group at deployment, removed {rank} of "
        f"{n_dimensions} directions: those along which groups differ most within classes. "
        "It brings class means of the groups together and leaves their covariances; what "
        "follows speaks of the directions that are left, with each class's pooled law as "
        "the ideal."
    )
    if rank == 0:
        opening = (
            "No direction was removed: on held-out rows the gap was not told from the best "
            "within the accuracy tolerance. Rows stay as they are; what follows speaks of them, "
            "with each class's pooled law as the ideal."
        )
    if solution is None:
        return Certificate(
            sentences=(opening, "A (label, group) cell has no rows, so no bound can be given.")
        )
    found = certify(solution)
    return replace(found, sentences=(opening, *found.sentences))
