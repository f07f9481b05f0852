"""Standardising rows by their own estimates, and what chance makes of the energy distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from isonomy.distributions._energy import energy_statistic, standard_law
from isonomy.distributions._linalg import correlation, solve_cholesky, sure_cholesky
from isonomy.distributions._shape import Freedom

__all__ = ["Unit", "find_units", "null_statistics", "standardise"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Kind = Literal["full", "diagonal", "fixed"]

_CHUNKS = 4
"""Parts of the replicates of one unit, each with a seed of its own: any ``n_jobs`` agrees."""

_STEPS = 200
_SETTLED = 1e-5


@dataclass(frozen=True, eq=False)
class Unit:
    """Cells that are standardised together: one, or those of a group with tied covariance."""

    cells: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    kind: Kind
    df: tuple[float, ...] | None
    statistics: tuple[float, ...]


def find_units(
    joint: Any, latent: Floats, codes: tuple[Codes, Codes], refit: bool
) -> tuple[list[Unit], dict[tuple[int, int], str]]:
    """Return the cells that can be judged, with their statistics, and why others cannot."""
    units: list[Unit] = []
    reasons: dict[tuple[int, int], str] = {}
    k, g = joint.prior.shape
    df = joint.shape.df if isinstance(joint.shape, Freedom) else None
    kind: Kind = "diagonal" if _is_diagonal(joint.covariances) else "full"
    tied = joint.is_tied and refit
    for a in range(g):
        for labels in [list(range(k))] if tied else [[y] for y in range(k)]:
            cells = tuple((y, a) for y in labels)
            where = np.flatnonzero((codes[1] == a) & np.isin(codes[0], labels))
            local = np.searchsorted(labels, codes[0][where])
            sizes = tuple(np.bincount(local, minlength=len(labels)).tolist())
            found_df = None if df is None else tuple(float(df[y]) for y in labels)
            if refit:
                white, why = _refitted(latent[where], local, sizes, kind, found_df)
            else:
                white, why = _as_fitted(joint, latent[where], cells[0]), ""
            if white is not None and not all(sizes):
                white, why = None, "the cell has no rows"
            if found_df is not None and min(found_df) <= 1.0:
                white, why = None, "distances have no mean with 1 degree of freedom or fewer"
            if white is None:
                reasons |= dict.fromkeys(cells, why)
                continue
            chosen: Kind = kind if refit else "fixed"
            found = _statistics(white, local, sizes, found_df)
            units.append(Unit(cells, sizes, chosen, found_df, found))
    return units, reasons


def null_statistics(
    units: list[Unit], d: int, n_bootstrap: int, seed: int, n_jobs: int | None
) -> list[Floats]:
    """Return statistics (n_bootstrap, n_cells) of replicates for every unit.

    Units of equal sizes do not share replicates: the joint p of many cells would then be as
    coarse as that of one, and far too small.
    """
    sequences = np.random.SeedSequence(seed).spawn(len(units))
    sizes = [len(part) for part in np.array_split(np.arange(n_bootstrap), _CHUNKS)]
    tasks = [
        (unit, part, n)
        for unit, sequence in zip(units, sequences, strict=True)
        for part, n in zip(sequence.spawn(_CHUNKS), sizes, strict=True)
    ]
    parts = Parallel(n_jobs=n_jobs)(delayed(_replicates)(*t, d) for t in tasks)
    return [np.concatenate(parts[i * _CHUNKS : (i + 1) * _CHUNKS]) for i in range(len(units))]


def _replicates(unit: Unit, seed: np.random.SeedSequence, n: int, d: int) -> Floats:
    sizes, kind, df = unit.sizes, unit.kind, unit.df
    rng = np.random.default_rng(seed)
    local = np.repeat(np.arange(len(sizes)), sizes)
    found = np.empty((n, len(sizes)))
    for b in range(n):
        noise = rng.standard_normal((len(local), d))
        if df is not None:
            freedom = np.asarray(df)[local]
            noise *= np.sqrt(freedom / rng.chisquare(freedom))[:, None]
        white = noise if kind == "fixed" else standardise(noise, local, len(sizes), kind, df)
        assert white is not None  # as many draws as there were rows have full rank
        found[b] = _statistics(white, local, sizes, df)
    return found


def _statistics(
    white: Floats, local: Codes, sizes: tuple[int, ...], df: tuple[float, ...] | None
) -> tuple[float, ...]:
    d = white.shape[1]
    return tuple(
        energy_statistic(white[local == j], standard_law(d, df[j] if df else None))
        for j in range(len(sizes))
    )


def standardise(
    rows: Floats, local: Codes, n_cells: int, kind: Kind, df: tuple[float, ...] | None
) -> Floats | None:
    """Return rows less their cell's location, in units of the common scatter; None if singular.

    Maximum likelihood: means and the covariance with divisor n; for Student's t by
    iteratively reweighted moments, with weights (df + d) / (df + distance^2).
    """
    n, d = rows.shape
    weight = np.ones(n)
    freedom = None if df is None else np.asarray(df)[local]
    for _ in range(_STEPS):
        total = np.bincount(local, weight, minlength=n_cells)
        sums = np.zeros((n_cells, d))
        np.add.at(sums, local, rows * weight[:, None])
        centred = rows - (sums / total[:, None])[local]
        white = _in_scatter_units(centred, weight, kind)
        if freedom is None or white is None:
            return white
        new = (freedom + d) / (freedom + np.einsum("ij,ij->i", white, white))
        # df-weighted, the weights average 1 at the optimum: there already, it is reached sooner
        new *= freedom.sum() / (freedom @ new)
        change = float(np.abs(new - weight).max())
        weight = new
        if change < _SETTLED:
            break
    return white


def _in_scatter_units(centred: Floats, weight: Floats, kind: Kind) -> Floats | None:
    n = len(centred)
    if kind == "diagonal":
        scale = np.sqrt(weight @ centred**2 / n)
        return None if (scale <= 0).any() else centred / scale
    scatter, scale = correlation((centred * weight[:, None]).T @ centred / n)
    lower = sure_cholesky(scatter, size=n)
    if lower is None:
        return None
    white: Floats = solve_cholesky(lower, (centred / scale).T).T
    return white


def _refitted(
    rows: Floats,
    local: Codes,
    sizes: tuple[int, ...],
    kind: Kind,
    df: tuple[float, ...] | None,
) -> tuple[Floats | None, str]:
    n, d = rows.shape
    spare, needed = n - len(sizes), 2 if kind == "diagonal" else d + 1
    if not all(sizes):
        return None, "the cell has no rows" if len(sizes) == 1 else "a cell of the group is empty"
    if spare < needed:
        return None, f"fewer rows than {needed + len(sizes)}, from which any law looks the same"
    constant = np.all([np.ptp(rows[local == j], axis=0) == 0 for j in range(len(sizes))], axis=0)
    white = None if constant.any() else standardise(rows, local, len(sizes), kind, df)
    return white, "" if white is not None else "its columns are constant or collinear"


def _as_fitted(joint: Any, rows: Floats, cell: tuple[int, int]) -> Floats:
    white: Floats = solve_cholesky(joint._lowers[cell], (rows - joint.means[cell]).T).T
    return white


def _is_diagonal(covariances: Floats) -> bool:
    d = covariances.shape[-1]
    off = ~np.eye(d, dtype=bool)
    # one variable has no correlations: either name fits
    return d > 1 and not np.asarray(covariances)[..., off].any()
