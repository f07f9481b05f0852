"""All groups move, free covariances: the divergence as a function of the maps alone."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.ideal._cells import Array, Direction

__all__ = ["Profile"]


class Profile:
    """``sum_ya q_ya KL_ya`` with the canonical cells N_y at their best for the maps given.

    Parameters
    ----------
    means : (K, G, d)
    lowers : (K, G, d, d)
        Lower factors of the covariances.
    weights : (K, G)
        The ideal priors (information) or the fitted ones (moment).
    direction : "information" or "moment"
    fixed : int, optional
        A class whose canonical cell is N(0, I) and is not free.

    Notes
    -----
    Information: V_a, b_a carry canonical cells N(n_y, C_y) to group a's side, and with
    P_ya = S_ya^-1 and q_y = sum_a q_ya the best ones are weighted by precision::

        C_y^-1 = sum_a q_ya V_a' P_ya V_a / q_y
        n_y = C_y sum_a q_ya V_a' P_ya (mu_ya - b_a) / q_y

    Moment: V_a, b_a carry group a's cells to the canonical side, and the best canonical
    cells have the moments of the mixture::

        n_y = sum_a q_ya (V_a mu_ya + b_a) / q_y
        C_y = sum_a q_ya [V_a S_ya V_a' + (V_a mu_ya + b_a - n_y)(...)'] / q_y

    The canonical cells are at their best, so the gradient is the one at fixed cells.
    """

    def __init__(
        self,
        means: Array,
        lowers: Array,
        weights: Array,
        direction: Direction,
        fixed: int | None = None,
    ) -> None:
        self.means, self.weights, self.direction, self.fixed = means, weights, direction, fixed
        self.shape = means.shape
        d = means.shape[2]
        self.class_weight, self.group_weight = weights.sum(axis=1), weights.sum(axis=0)
        forms = lowers
        if direction == "information":
            flat = lowers.reshape(-1, d, d)
            inverses = [solve_triangular(low, np.eye(d), lower=True) for low in flat]
            forms = np.stack(inverses).reshape(lowers.shape).swapaxes(2, 3)
        # precisions or covariances
        self.forms = forms @ np.swapaxes(forms, 2, 3)
        logs = np.log(np.abs(np.diagonal(lowers, axis1=2, axis2=3))).sum(axis=2)
        self.log_roots = float((weights * logs).sum())

    def canonical(self, maps: Array, offsets: Array) -> tuple[Array, Array]:
        """Return the best canonical means (n, K, d) and covariances (n, K, d, d).

        ``maps`` are (n, G, d, d), ``offsets`` (n, G, d).
        """
        share = self.weights / self.class_weight[:, None]
        matrices = maps[:, None]
        if self.direction == "information":
            lean = np.swapaxes(matrices, 3, 4) @ (share[..., None, None] * self.forms)
            inverse = np.linalg.inv(_symmetric((lean @ matrices).sum(axis=2)))
            covs = np.asarray(inverse, dtype=np.float64)
            pull = np.einsum("nkaij,nkaj->nki", lean, self.means - offsets[:, None])
            means = np.einsum("nkij,nkj->nki", covs, pull)
        else:
            moved = np.einsum("naij,kaj->nkai", maps, self.means) + offsets[:, None]
            means = np.einsum("ka,nkai->nki", share, moved)
            if self.fixed is not None:
                means[:, self.fixed] = 0.0
            miss = moved - means[:, :, None]
            spread = matrices @ (share[..., None, None] * self.forms) @ np.swapaxes(matrices, 3, 4)
            covs = spread.sum(axis=2)
            covs = covs + np.einsum("ka,nkai,nkaj->nkij", share, miss, miss)
        if self.fixed is not None:
            means[:, self.fixed], covs[:, self.fixed] = 0.0, np.eye(self.shape[2])
        return means, _symmetric(covs)

    def value_and_gradient(self, maps: Array, offsets: Array) -> tuple[Array, Array, Array]:
        """Return values (n,) and the slopes in the maps (n, G, d, d) and offsets (n, G, d)."""
        d = self.shape[2]
        sizes = np.linalg.slogdet(maps)[1]
        fine = np.isfinite(sizes).all(axis=1) & np.isfinite(maps).all(axis=(1, 2, 3))
        safe = np.where(fine[:, None, None, None], maps, np.eye(d))
        barrier = np.where(fine, sizes @ self.group_weight, 0.0)
        inverses = np.swapaxes(np.linalg.inv(safe), 2, 3) * self.group_weight[:, None, None]
        parts = self._information if self.direction == "information" else self._moment
        values, by_map, by_offset = parts(safe, offsets)
        values = np.where(fine & np.isfinite(values), values - barrier, np.inf)
        return values, by_map - inverses, by_offset

    def _information(self, maps: Array, offsets: Array) -> tuple[Array, Array, Array]:
        means, covs = self.canonical(maps, offsets)
        forms = self.weights[..., None, None] * self.forms
        miss = np.einsum("naij,nkj->nkai", maps, means) + offsets[:, None] - self.means
        pull = np.einsum("kaij,nkaj->nkai", forms, miss)
        turned = forms @ (maps[:, None] @ covs[:, :, None])
        values = 0.5 * np.einsum("nkai,nkai->n", miss, pull) + self.log_roots
        values -= 0.5 * np.linalg.slogdet(covs)[1] @ self.class_weight
        # for free canonical cells the trace is its number of dimensions
        values += 0.5 * np.einsum("nkaij,naij->n", turned, maps)
        values -= 0.5 * self.shape[2] * self.class_weight.sum()
        by_map = turned.sum(axis=1) + np.einsum("nkai,nkj->naij", pull, means)
        return values, by_map, pull.sum(axis=1)

    def _moment(self, maps: Array, offsets: Array) -> tuple[Array, Array, Array]:
        means, covs = self.canonical(maps, offsets)
        inverses = np.linalg.inv(covs)
        moved = np.einsum("naij,kaj->nkai", maps, self.means) + offsets[:, None]
        miss = moved - means[:, :, None]
        pull = self.weights[..., None] * np.einsum("nkij,nkaj->nkai", inverses, miss)
        spread = maps[:, None] @ (self.weights[..., None, None] * self.forms)
        turned = inverses[:, :, None] @ spread
        values = 0.5 * np.einsum("nkai,nkai->n", miss, pull) - self.log_roots
        values += 0.5 * np.einsum("nkaij,naij->n", turned, maps)
        values += 0.5 * np.linalg.slogdet(covs)[1] @ self.class_weight
        values -= 0.5 * self.shape[2] * self.class_weight.sum()
        by_map = turned.sum(axis=1) + np.einsum("nkai,kaj->naij", pull, self.means)
        return values, by_map, pull.sum(axis=1)


def _symmetric(matrices: Array) -> Array:
    found: Array = 0.5 * (matrices + np.swapaxes(matrices, -1, -2))
    return found
