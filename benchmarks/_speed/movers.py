"""Fit and transform rows: ours, the peers', and the floor that none can go below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import blas

from isonomy import IdealSteerer
from isonomy.baselines import LEACE, MiMiC

__all__ = [
    "FLOOR",
    "OURS",
    "PEERS",
    "TrainingRows",
    "agreement",
    "make_rows",
    "row_calls",
    "warm_up",
]

N_CLASSES, N_GROUPS = 28, 2

FLOOR = {
    "X'X": "X'X, float32",
    "decomposition": "eigh of d x d, float32",
    "X'X float64": "X'X, float64, cast by blocks",
    "Cholesky float64": "Cholesky of d x d, float64",
}
OURS = {
    "blind": "IdealSteerer(groups='blind', rank=4)",
    "given, discriminant": "IdealSteerer(groups='given', subspace='discriminant')",
    "given, full": "IdealSteerer(groups='given', subspace='full')",
    "LEACE": "isonomy's LEACE, 28 names",
    "MiMiC": "isonomy's MiMiC, 2 groups",
}
PEERS = {
    "concept-erasure": "concept-erasure's LEACE, 28 names",
    "concept-erasure, 2": "concept-erasure's LEACE, 2 groups",
    "fairlearn": "fairlearn's CorrelationRemover",
    "POT": "POT's LinearTransport, 2 groups",
}


@dataclass(frozen=True)
class TrainingRows:
    """Rows (n, d) in float32, with the label and the group of each."""

    X: np.ndarray
    y: np.ndarray
    a: np.ndarray


def make_rows(n: int, d: int) -> TrainingRows:
    """Return rows whose means and covariances differ between groups.

    Well conditioned: on near-singular float32 covariances POT gives NaN, and no time.
    """
    rng = np.random.default_rng(0)
    y, a = rng.integers(N_CLASSES, size=n), rng.integers(N_GROUPS, size=n)
    mixing = 0.3 * rng.standard_normal((d, d), dtype=np.float32) / np.float32(np.sqrt(d))
    X = rng.standard_normal((n, d), dtype=np.float32) @ (mixing + np.eye(d, dtype=np.float32))
    X *= (1.0 + 0.3 * (a == 1))[:, None].astype(np.float32)
    X += (0.5 * rng.standard_normal((N_CLASSES, d)))[y].astype(np.float32)
    X += (0.3 * rng.standard_normal((N_GROUPS, d)))[a].astype(np.float32)
    return TrainingRows(X, y, a)


def steered(rows: TrainingRows, **settings: Any) -> np.ndarray:
    steerer = IdealSteerer(**settings).fit(rows.X, rows.y, sensitive_features=rows.a)
    return steerer.transform(rows.X, sensitive_features=rows.a)


def leace_theirs(rows: TrainingRows, names: np.ndarray) -> np.ndarray:
    import torch
    from concept_erasure import LeaceFitter

    X = torch.from_numpy(rows.X)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(names)).to(X.dtype)
    return LeaceFitter.fit(X, one_hot, shrinkage=False).eraser(X).numpy()


def correlation_remover(rows: TrainingRows) -> np.ndarray:
    from fairlearn.preprocessing import CorrelationRemover

    table = np.column_stack([rows.X, rows.a.astype(np.float32)])
    return CorrelationRemover(sensitive_feature_ids=[rows.X.shape[1]]).fit_transform(table)


def linear_transport(rows: TrainingRows) -> np.ndarray:
    import ot

    moved, mover = rows.X.copy(), rows.a == 1
    transport = ot.da.LinearTransport().fit(Xs=rows.X[mover], Xt=rows.X[~mover])
    moved[mover] = transport.transform(Xs=rows.X[mover])
    return moved


def scatter_float64(X: np.ndarray) -> np.ndarray:
    """Return one triangle of X'X, rows cast to float64 a block at a time."""
    d = X.shape[1]
    total = np.zeros((d, d), order="F")
    step = max(1, (1 << 21) // d)
    for start in range(0, len(X), step):
        block = X[start : start + step].astype(np.float64)
        total = blas.dsyrk(1.0, block.T, beta=1.0, c=total, lower=1, overwrite_c=1)
    return total


def row_calls(rows: TrainingRows) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by the names of FLOOR, OURS and PEERS."""
    X, y, a = rows.X, rows.y, rows.a
    covariance = np.cov(X[: 4 * X.shape[1]], rowvar=False, dtype=np.float64)
    single = covariance.astype(np.float32)
    return {
        "X'X": lambda: blas.ssyrk(1.0, X.T, lower=1),
        "decomposition": lambda: np.linalg.eigh(single),
        "X'X float64": lambda: scatter_float64(X),
        "Cholesky float64": lambda: np.linalg.cholesky(covariance),
        "blind": lambda: steered(rows, groups="blind", rank=4),
        "concept-erasure": lambda: leace_theirs(rows, y),
        "given, discriminant": lambda: steered(rows, groups="given", subspace="discriminant"),
        "concept-erasure, 2": lambda: leace_theirs(rows, a),
        "LEACE": lambda: LEACE().fit_transform(X, sensitive_features=y),
        "fairlearn": lambda: correlation_remover(rows),
        "given, full": lambda: steered(rows, groups="given", subspace="full"),
        "POT": lambda: linear_transport(rows),
        "MiMiC": lambda: MiMiC(reference=0).fit_transform(X, sensitive_features=a),
    }


def warm_up() -> None:
    """Run everything once on few columns: imports, thread pools, first allocations."""
    for call in row_calls(make_rows(3000, 64)).values():
        call()


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference of two results, relative to the largest entry."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def agreement() -> dict[str, float]:
    """Return how far our LEACE and MiMiC are from the peers', on the same rows."""
    calls = row_calls(make_rows(5000, 64))
    return {
        "LEACE": relative_difference(calls["LEACE"](), calls["concept-erasure"]()),
        "MiMiC": relative_difference(calls["MiMiC"](), calls["POT"]()),
    }
