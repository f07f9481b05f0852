"""Fit what is missing, one record a (kind, seed, fold, method), and tell how far it is."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.store import digest_of, read_record, remembered, write_record
from sklearn.model_selection import cross_val_score
from sklearn.utils.parallel import Parallel, delayed

from _biographies import softmax
from _biographies.entries import ENTRIES, Entry
from _biographies.features import FoldRows, Rows, fold_rows, prepare, rows_of
from _biographies.head import SharedHead, take_saved_seconds
from _biographies.probing import measure_states
from _biographies.texts import N_FOLDS, Settings
from isonomy.errors import IsonomyError

__all__ = ["C_GRID", "Tell", "Unit", "chosen_c", "read_fold", "run_missing"]

C_GRID = (0.01, 0.03, 0.1, 0.3, 1.0)
MAX_ITER = 300
HEAD_CODE = digest_of(inspect.getsource(softmax))

Tell = Callable[[str, int, int], None]

# One method that fails leaves the others standing; the tables say why it is missing.
FAILURES = (IsonomyError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError)


@dataclass(frozen=True)
class Unit:
    """One fold of one seed: what its methods share is computed once."""

    kind: str
    seed: int
    fold: int
    entries: tuple[str, ...]
    settings: Settings


def record_path(unit: Unit, entry: str) -> Path:
    """Return where a method's predictions on one fold lie."""
    name = entry.replace(":", "--")
    return unit.settings.work / "folds" / unit.kind / name / f"{unit.seed}-{unit.fold}.json"


def record_key(unit: Unit, entry: Entry, rows: Rows, c: float) -> dict[str, Any]:
    """Return all that a method's predictions on one fold depend on."""
    return {
        "rows": rows.fingerprint,
        "folds": [unit.seed, unit.fold, N_FOLDS],
        "head": [c, MAX_ITER, HEAD_CODE],
        "use": entry.use,
        "source": entry.source(),
        "versions": [version(name) for name in ("numpy", "scipy", "scikit-learn")],
    }


def chosen_c(kind: str, settings: Settings) -> dict[str, Any]:
    """Return the penalty of the heads of a kind, and the accuracies it was chosen by.

    Untouched is most accurate with it under three-fold cross-validation on the training rows
    of the first fold of the first seed: a rival is judged at its best.
    """
    rows = rows_of(kind, 0, settings)

    def compute() -> dict[str, Any]:
        parts = fold_rows(kind, 0, 0, settings)
        y, X = rows.y[parts.train], parts.X_train.astype(np.float32)
        found = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            for c in C_GRID:
                head = SharedHead(C=c, max_iter=MAX_ITER, folder=str(settings.work / "heads"))
                found[str(c)] = float(cross_val_score(head, X, y, cv=3).mean())
        best = max(found, key=lambda name: found[name])
        return {"C": float(best), "accuracy": found}

    key = {"rows": rows.fingerprint, "grid": C_GRID, "head": [MAX_ITER, HEAD_CODE]}
    return remembered(settings.work / "penalty" / f"{kind}.json", key, compute)


def run_missing(
    kinds: Mapping[str, Sequence[int]], entries: Sequence[str], settings: Settings,
    *, jobs: int, tell: Tell,
) -> int:  # fmt: skip
    """Fit every (kind, seed, fold, method) whose record is not on disk; return how many.

    ``kinds`` names the seeds of each kind.
    """
    units = []
    for kind, seeds in kinds.items():
        for seed in seeds:
            prepare(kind, seed, settings, tell)
        if not entries:
            continue
        tell(f"{kind}: the penalty of the heads", 0, len(C_GRID))
        chosen_c(kind, settings)
        for seed in seeds:
            units += list(_missing(kind, seed, entries, settings))
    total = sum(len(unit.entries) for unit in units)
    for done, told in enumerate(_run(units, jobs), start=1):
        tell(told, done, total)
    return total


def _missing(kind: str, seed: int, entries: Sequence[str], settings: Settings) -> Iterator[Unit]:
    rows, c = rows_of(kind, seed, settings), chosen_c(kind, settings)["C"]
    for fold in range(N_FOLDS):
        unit = Unit(kind, seed, fold, tuple(entries), settings)
        left = []
        for name in entries:
            key = record_key(unit, ENTRIES[name], rows, c)
            if read_record(record_path(unit, name), key) is None:
                left.append(name)
        if left:
            yield Unit(kind, seed, fold, tuple(left), settings)


def _run(units: Sequence[Unit], jobs: int) -> Iterator[str]:
    if jobs == 1:
        for unit in units:
            yield from run_unit(unit)
        return
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    for lines in pool(delayed(_lines)(unit) for unit in units):
        yield from lines


def _lines(unit: Unit) -> list[str]:
    return list(run_unit(unit))


def run_unit(unit: Unit) -> Iterator[str]:
    """Fit, judge the states and store each method of a fold; yield a line for each."""
    rows = rows_of(unit.kind, unit.seed, unit.settings)
    parts = fold_rows(unit.kind, unit.seed, unit.fold, unit.settings)
    c = chosen_c(unit.kind, unit.settings)["C"]
    head = SharedHead(C=c, max_iter=MAX_ITER, folder=str(unit.settings.work / "heads"))
    for name in unit.entries:
        entry = ENTRIES[name]
        found = fit_fold(entry, rows, parts, head, unit.seed)
        write_record(record_path(unit, name), record_key(unit, entry, rows, c), found)
        told = found.get("failed") or f"{found['fit_seconds']:.1f} s"
        yield f"{unit.kind}, seed {unit.seed}, fold {unit.fold}, {name}: {told}"


def fit_fold(
    entry: Entry, rows: Rows, parts: FoldRows, head: SharedHead, seed: int
) -> dict[str, Any]:
    """Return predictions, as positions in the sorted classes, what they cost, and leakage."""
    y, groups = (tuple(a[i] for i in (parts.train, parts.test)) for a in (rows.y, rows.groups))
    known = groups if entry.use == "given" else (None, None)
    take_saved_seconds()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = entry.fit(parts.X_train, y[0], groups[0], head=head, random_state=seed)
            spent = time.process_time() - start + take_saved_seconds()
            start = time.process_time()
            predicted = np.asarray(fitted.predict(parts.X_test, known[1]))
            used = time.process_time() - start
            states = _steered(fitted.steer, parts, known)
        except FAILURES as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return {"failed": said, "fit_seconds": round(time.process_time() - start, 3)}
    classes = np.unique(rows.y)
    return {
        "predictions": np.searchsorted(classes, predicted.astype(classes.dtype)).tolist(),
        "fit_seconds": round(spent, 3),
        "predict_seconds": round(used, 4),
        "states": measure_states(*states, y, groups),
        "warnings": sorted({f"{w.category.__name__}: {str(w.message)[:160]}" for w in caught}),
    }


def _steered(steer: Any, parts: FoldRows, known: Any) -> tuple[Any, Any]:
    if steer is None:
        return parts.X_train, parts.X_test
    return steer(parts.X_train, known[0]), steer(parts.X_test, known[1])


def read_fold(unit: Unit, name: str, rows: Rows) -> dict[str, Any] | None:
    """Return a stored record, or None."""
    c = chosen_c(unit.kind, unit.settings)["C"]
    return read_record(record_path(unit, name), record_key(unit, ENTRIES[name], rows, c))
