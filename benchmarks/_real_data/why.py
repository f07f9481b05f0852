"""Why maps of second moments fail: what they reach on the rows that they were fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from _real_data.cases import BIOGRAPHIES, N_FOLDS, Case, FoldRows, fold_rows, load_case
from _real_data.head import RememberedRegression
from _real_data.markdown import table
from _real_data.running import Tell
from _real_data.sources import modules_of, source_fingerprint
from _real_data.store import read_record, write_record
from isonomy import GapCalibrator, IdealSteerer, SteeredClassifier
from isonomy.baselines import MeanMatching, MiMiC
from isonomy.errors import UndefinedRateWarning
from isonomy.metrics import rms_tpr_gap

__all__ = ["VARIANTS", "cell_mean_distance", "why_rows", "why_study", "why_table"]

Floats = NDArray[np.float64]


def _given(subspace: str, shrinkage: Any) -> Callable[[], Any]:
    return lambda: IdealSteerer(groups="given", subspace=subspace, shrinkage=shrinkage)


VARIANTS: dict[str, Callable[[], Any]] = {
    "rows as they are": lambda: "passthrough",
    "mean matching": MeanMatching,
    "MiMiC": MiMiC,
    "blind": lambda: IdealSteerer(random_state=0),
    "full map, no shrinkage": _given("full", None),
    "full map, OAS": _given("full", "oas"),
    "full map, shrinkage .1": _given("full", 0.1),
    "full map, shrinkage .3": _given("full", 0.3),
    "full map, shrinkage .6": _given("full", 0.6),
    "full map, shrinkage .9": _given("full", 0.9),
    "class directions, no shrinkage": _given("discriminant", None),
    "class directions, OAS": _given("discriminant", "oas"),
    "class directions, shrinkage .3": _given("discriminant", 0.3),
    "class directions, shrinkage .9": _given("discriminant", 0.9),
    "calibrated offsets": lambda: "passthrough",
}


def why_study(folder: str, work: Path, tell: Tell) -> int:
    """Fit every variant on every fold that is not on disk; return how many were fitted."""
    case = load_case(BIOGRAPHIES, folder)
    steps = [(variant, fold) for fold in range(N_FOLDS) for variant in VARIANTS]
    n_run = 0
    for i, (variant, fold) in enumerate(steps):
        path, key = _place(case, variant, fold, work)
        if read_record(path, key) is None:
            write_record(path, key, _measure(case, variant, fold_rows(case, fold, work), work))
            n_run += 1
        tell(f"why: {variant}, fold {fold}", i + 1, len(steps))
    return n_run


def why_rows(folder: str, work: Path) -> list[dict[str, Any]]:
    """Return a row for each variant of which all folds are on disk: means over the folds."""
    if not (work / "why").is_dir():
        return []
    case = load_case(BIOGRAPHIES, folder)
    rows = []
    for variant in VARIANTS:
        folds = [read_record(*_place(case, variant, fold, work)) for fold in range(N_FOLDS)]
        if all(folds):
            means = {k: _signed_mean_square([f[k] for f in folds]) for k in ("gap_in", "gap_out")}
            means |= {k: _signed_mean_square([f[k] for f in folds]) for k in ("far_in", "far_out")}
            means |= {k: float(np.mean([f[k] for f in folds])) for k in ("right_in", "right_out")}
            rows.append({"variant": variant, **means})
    return rows


def why_table(rows: list[dict[str, Any]]) -> str:
    """Return corrected gaps and distances on fitted and on held-out rows."""
    head = (
        "map", "gap, fitted rows", "gap, held-out rows", "distance, fitted rows",
        "distance, held-out rows", "accuracy, fitted", "accuracy, held-out",
    )  # fmt: skip
    keys = ("gap_in", "gap_out", "far_in", "far_out", "right_in", "right_out")
    lines = [[row["variant"], *(f"{row[k]:.3f}" for k in keys)] for row in rows]
    return table(head, lines)


def _place(case: Case, variant: str, fold: int, work: Path) -> tuple[Path, dict[str, Any]]:
    model = _model(variant, LogisticRegression(C=case.head_c, max_iter=case.head_iterations))
    key = {
        "rows": case.fingerprint,
        "model": model.__repr__(N_CHAR_MAX=10**6),
        "source": source_fingerprint(modules_of(model) | {"isonomy.metrics.gaps"}),
    }
    name = "".join(c if c.isalnum() else "-" for c in variant)
    return work / "why" / name / f"{fold}.json", key


def _model(variant: str, head: Any) -> SteeredClassifier:
    calibrated = variant == "calibrated offsets"
    plain = calibrated or variant == "rows as they are"
    return SteeredClassifier(
        head,
        steerer=VARIANTS[variant](),
        reweigh=not plain,
        calibrator=GapCalibrator() if calibrated else None,
        random_state=0,
    )


def _measure(case: Case, variant: str, rows: FoldRows, work: Path) -> dict[str, Any]:
    head = RememberedRegression(
        C=case.head_c, max_iter=case.head_iterations, folder=str(work / "heads")
    )
    model = _model(variant, head)
    y, g = case.y, case.groups
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small cells and iteration limits, on every variant
        model.fit(rows.X_train, y[rows.train], sensitive_features=g[rows.train])
    found: dict[str, Any] = {}
    whitener = None
    for name, X, own in (("in", rows.X_train, rows.train), ("out", rows.X_test, rows.test)):
        predicted = model.predict(X, sensitive_features=g[own])
        found[f"gap_{name}"] = _gap(y[own], predicted, g[own])
        found[f"right_{name}"] = float((predicted == y[own]).mean())
        moved = _moved(model.steerer_, X, g[own])
        whitener = _within(moved, y[own], g[own]) if whitener is None else whitener
        found[f"far_{name}"] = cell_mean_distance(moved, y[own], g[own], whitener)
    return found


def _gap(y: NDArray[Any], predicted: NDArray[Any], groups: NDArray[Any]) -> float:
    with warnings.catch_warnings():
        # classes of one row in a fold have no gap; precision weights leave them out
        warnings.simplefilter("ignore", UndefinedRateWarning)
        return float(
            rms_tpr_gap(
                y, predicted, sensitive_features=groups, corrected=True, weighting="precision"
            )
        )


def _moved(steerer: Any, X: Floats, groups: NDArray[Any]) -> Floats:
    return X if steerer is None else steerer.transform(X, sensitive_features=groups)


def _within(X: Floats, y: NDArray[Any], groups: NDArray[Any]) -> Floats:
    """Return the covariance within (label, group) cells."""
    centred = X.copy()
    cells = np.char.add(np.char.add(y.astype(str), " "), groups.astype(str))
    codes = np.unique(cells, return_inverse=True)[1]
    for code in range(codes.max() + 1):
        own = codes == code
        centred[own] -= X[own].mean(axis=0)
    return centred.T @ centred / (len(X) - codes.max() - 1)


def cell_mean_distance(X: Floats, y: NDArray[Any], groups: NDArray[Any], within: Floats) -> float:
    """Return how far the two groups' class means are apart, sampling noise taken off.

    The square root (with its sign) of the mean over classes, weighted by n_0 n_1 / (n_0 +
    n_1), of the squared Mahalanobis distance of the two means, less what it would be
    between equal laws: tr(within^-1 W) (1/n_0 + 1/n_1), W the covariance within cells.
    """
    first, second = np.unique(groups)
    inverse = np.linalg.pinv(within, hermitian=True)
    noise = float(np.trace(inverse @ _within(X, y, groups)))
    total = weight = 0.0
    for label in np.unique(y):
        parts = [X[(y == label) & (groups == g)] for g in (first, second)]
        n_0, n_1 = (len(part) for part in parts)
        if min(n_0, n_1) < 2:
            continue
        delta = parts[0].mean(axis=0) - parts[1].mean(axis=0)
        precision = n_0 * n_1 / (n_0 + n_1)
        total += precision * (float(delta @ inverse @ delta) - noise / precision)
        weight += precision
    return _root(total / weight)


def _root(square: float) -> float:
    return float(np.sign(square) * np.sqrt(abs(square)))


def _signed_mean_square(values: list[float]) -> float:
    """Return the signed root of the mean of signed squares: corrected gaps may be below 0."""
    return _root(float(np.mean([np.sign(v) * v * v for v in values])))
