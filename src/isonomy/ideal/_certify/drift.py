"""New rows judged by a solution fitted earlier: whether cells moved, and what holds now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.stats import chi2

from isonomy._frames import read_table
from isonomy._validation import check_labels, check_same_length
from isonomy.distributions import CellMoments
from isonomy.errors import (
    InvalidInputError,
    SingularCovarianceError,
    UnsupportedProgrammeError,
)
from isonomy.groups import encode_groups
from isonomy.ideal._cells import Array, kl_of_cells
from isonomy.ideal._certify.targets import Target
from isonomy.ideal._certify.transfer import Transfer, transfer
from isonomy.ideal.nearest import IdealSolution

__all__ = ["Drift", "refit_and_transfer"]

_WHERE = "certify"
_LEVEL = 0.01
"""Probability of calling any cell moved where none has, about."""

_SHRINKAGES = np.geomspace(1e-5, 0.999, 400)
"""Intensities tried; a small one matters where covariances are badly conditioned."""


@dataclass(frozen=True, eq=False)
class Drift:
    """Arrays (K, G): rows, KL(new cell || fitted cell), what sampling explains, verdict.

    ``moved`` is NaN (unknown), 0 or 1.
    """

    n_rows: NDArray[np.intp]
    kl: Array
    explained: Array
    moved: Array
    transfer: Transfer


def refit_and_transfer(target: Target, y: Any, sensitive_features: Any) -> Drift:
    """Fit the cells of new rows as the old ones were fitted, and carry them by the old maps."""
    solution, X = target.solution, target.rows
    source = solution.source
    kind = "tied" if source.is_tied else _free_kind(source.covariances)
    moments = _moments(solution, X, y, sensitive_features, kind)
    n_rows = np.asarray(moments.n_rows)
    d = source.n_features
    freedom, _ = _freedom(n_rows, d, kind)
    known = (n_rows > 0) & (freedom > (0 if kind == "diagonal" else d - 1))
    if not known.any():
        raise SingularCovarianceError(
            f"`X` passed to `{_WHERE}` must have more rows than features ({d}) in a group, got "
            f"{n_rows.sum(axis=0).tolist()} rows a group. Collect more rows."
        )
    covs = _covariances(np.asarray(moments.covariances), kind)
    means = np.asarray(moments.means)
    kl = np.full(n_rows.shape, np.nan)
    targets = _shrinkage_targets(means, covs, n_rows)
    for a in range(n_rows.shape[1]):
        rows = np.flatnonzero(known[:, a])
        if len(rows) == 0:
            continue
        own = covs[:, a] if len(covs) == 1 else covs[rows, a]
        fitted = source.covariances[:1, a] if len(covs) == 1 else source.covariances[rows, a]
        kl[rows, a] = _least_divergence(
            (means[rows, a], own), (np.asarray(source.means)[rows, a], fitted), targets
        )
    kl[target.withheld] = np.nan
    fitted_rows = n_rows if target.n_fitted is None else target.n_fitted
    explained = _explained(n_rows, fitted_rows, d, kind, int(known.sum()))
    moved = np.where(np.isnan(kl) | np.isnan(explained), np.nan, kl > explained)
    return Drift(
        n_rows, kl, explained, moved, transfer(means, covs, known & target.known, solution)
    )


def _least_divergence(
    new: tuple[Array, Array], fitted: tuple[Array, Array], targets: list[Array]
) -> Array:
    """Return KL(new || fitted) with the new covariances shrunk as far as suits each cell.

    The fitted ones may have been shrunk, by an intensity that is not stored; without this
    shrinkage alone would be called a movement. With N, F the new and fitted covariance, T
    the target and l the eigenvalues of N^-1 T, an intensity s changes the divergence by
    ``1/2 [s tr(F^-1 (T - N)) - sum ln(1 + s (l - 1))]``, convex in s.
    """
    covs = new[1]
    gain = np.zeros(len(covs))
    for i, cov in enumerate(covs):
        before = fitted[1][min(i, len(fitted[1]) - 1)]
        for target in targets:
            goal = target * (np.trace(np.linalg.solve(target, cov)) / len(cov))
            excess = eigh(goal, cov, eigvals_only=True) - 1.0
            slope = float(np.trace(np.linalg.solve(before, goal - cov)))
            change = _SHRINKAGES * slope - np.log1p(np.outer(_SHRINKAGES, excess)).sum(axis=1)
            gain[i] = min(gain[i], 0.5 * float(change.min()))
    return np.maximum(kl_of_cells(*new, *fitted) + gain, 0.0)


def _shrinkage_targets(means: Array, covs: Array, n_rows: NDArray[np.intp]) -> list[Array]:
    """Return what fits shrink toward: the total covariance (steerers, in white coordinates)
    and the variances within cells (`JointDistribution.fit`).
    """
    usable = (n_rows > 0) & np.isfinite(covs).all(axis=(2, 3))
    share = np.where(usable, n_rows, 0) / max(n_rows[usable].sum(), 1)
    each = np.broadcast_to(covs, (*n_rows.shape, *covs.shape[2:]))
    within = np.einsum("ya,yaij->ij", share, np.where(usable[..., None, None], each, 0.0))
    known = np.where(usable[..., None], means, 0.0)
    centred = known - np.einsum("ya,yai->i", share, known)
    between = np.einsum("ya,yai,yaj->ij", share, centred, centred)
    return [within + between, np.diag(np.diagonal(within))]


def _moments(
    solution: IdealSolution, X: Any, y: Any, sensitive_features: Any, kind: Any
) -> CellMoments:
    source = solution.source
    values = np.asarray(read_table(X, where=_WHERE).values, dtype=np.float64)
    if values.shape[1] != source.n_features:
        raise InvalidInputError(
            f"`X` passed to `{_WHERE}` must have the {source.n_features} features of the fitted "
            f"distribution, got {values.shape[1]}."
        )
    labels = check_labels(y, where=_WHERE, n_samples=len(values))
    groups = encode_groups(sensitive_features, n_samples=len(values), where=_WHERE)
    check_same_length("sensitive_features", len(groups.codes), len(values), where=_WHERE)
    _check_known("y", set(labels.tolist()), source.classes)
    _check_known("sensitive_features", set(groups.labels), source.groups)
    if source.family == "student_t":
        raise UnsupportedProgrammeError(
            f"`target` passed to `{_WHERE}` with new rows must have normal cells, perhaps behind "
            "a bijection, got Student-t cells: fit the new rows anew and compare the two laws."
        )
    names = np.empty(len(groups.labels), dtype=object)
    names[:] = groups.labels
    values = source.latent(values, names[groups.codes])
    moments = CellMoments(
        source.n_features, covariance=kind, classes=list(source.classes), groups=list(source.groups)
    )
    moments.update(values, labels, sensitive_features=names[groups.codes])
    return moments


def _check_known(name: str, found: set[Any], known: tuple[Any, ...]) -> None:
    unknown = sorted(map(str, found - set(known)))
    if unknown:
        raise InvalidInputError(
            f"`{name}` passed to `{_WHERE}` must hold only values seen in the fit "
            f"({', '.join(map(str, known))}), got {', '.join(unknown[:5])}. Drop those rows."
        )


def _free_kind(covariances: Any) -> str:
    d = covariances.shape[-1]
    off = ~np.eye(d, dtype=bool)
    return "diagonal" if d == 1 or not np.asarray(covariances)[..., off].any() else "full"


def _covariances(found: Array, kind: str) -> Array:
    if kind == "tied":
        return found[None]
    if kind == "diagonal":
        expanded: Array = found[..., None] * np.eye(found.shape[-1])
        return expanded
    return found


def _freedom(n_rows: Array | NDArray[np.intp], d: int, kind: str) -> tuple[Array, int]:
    """Return the degrees of freedom behind each cell's covariance, and its parameters."""
    if kind == "tied":
        pooled = n_rows.sum(axis=0) - (n_rows > 0).sum(axis=0)
        return np.broadcast_to(pooled, n_rows.shape).astype(np.float64), d * (d + 1) // 2
    own: Array = n_rows.astype(np.float64) - 1.0
    return own, d if kind == "diagonal" else d * (d + 1) // 2


def _explained(
    n_rows: NDArray[np.intp], n_fitted: Array | NDArray[np.intp], d: int, kind: str, n_cells: int
) -> Array:
    """Return the divergence that sampling may explain where nothing moved.

    The likelihood-ratio limit ``2 KL ~ chi2 (1 / n_new + 1 / n_fitted)``, for means and
    covariance apart (both sides are estimates), enlarged by m / (m - d - 1), with m the
    smaller degrees of freedom, for the inverse of an estimated covariance.
    """
    level = 1.0 - _LEVEL / max(n_cells, 1)
    freedom, parameters = _freedom(n_rows, d, kind)
    before, _ = _freedom(n_fitted, d, kind)
    least = np.minimum(freedom, before)
    spare = least - d - 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        means = chi2.ppf(level, d) * (1.0 / n_rows + 1.0 / n_fitted)
        spreads = chi2.ppf(level, parameters) * (1.0 / freedom + 1.0 / before)
        raw = 0.5 * (means + spreads)
        found: Array = np.where(spare > 0, raw * least / spare, np.nan)
    return found
