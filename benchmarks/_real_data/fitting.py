"""Fit one method on one fold and keep its predictions; the unit that a rerun skips."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from _real_data.cases import N_FOLDS, SEED, Case, FoldRows, fold_rows, load_case
from _real_data.entries import ENTRIES, Entry
from _real_data.head import RememberedRegression, take_saved_seconds
from _real_data.sources import modules_of, source_fingerprint
from _real_data.store import read_record, write_record
from isonomy._validation import as_column
from isonomy.errors import IsonomyError, MissingExtraError, PluginError

__all__ = ["Unavailable", "fit_fold", "fold_key", "is_stored", "record_path", "run_task"]

OTHER_SEED = 12_345

# Rivals come from other people's packages and may fail in any of these ways; the others go on.
FAILURES = (
    IsonomyError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    NameError,
    MemoryError,
)
# Not there on this machine or not yet written: asked again at the next run.
ABSENT = (MissingExtraError, PluginError, ImportError)


class Unavailable(Exception):
    """A method that cannot be built here; the message says why."""


@dataclass(frozen=True)
class Task:
    """One method on one fold of one data set."""

    data: str
    fold: int
    entry: str
    folder: str
    work: str


def record_path(work: Path, data: str, entry: str, fold: int) -> Path:
    """Return where a fold's predictions lie; a colon is no part of a file's name."""
    return work / "folds" / data / entry.replace(":", "--") / f"{fold}.json"


def fold_key(case: Case, entry: Entry, fold: int) -> dict[str, Any]:
    """Return all that a fold's predictions depend on.

    Raises
    ------
    Unavailable
        If the method does not exist, or needs a package that is not installed.
    """
    if entry.binary and len(np.unique(case.y)) > 2:
        raise Unavailable("made for two classes")
    if entry.tables_only and case.is_text:
        raise Unavailable("asked of the tables only")
    try:
        model, use = entry.make(
            LogisticRegression(C=case.head_c, max_iter=case.head_iterations), SEED
        )
    except FAILURES + ABSENT as error:
        raise Unavailable(_said(error)) from error
    modules = modules_of(model)
    return {
        "rows": case.fingerprint,
        "folds": [fold, N_FOLDS, SEED],
        "model": model.__repr__(N_CHAR_MAX=10**6) if hasattr(model, "get_params") else repr(model),
        "use": use,
        "source": source_fingerprint(modules),
        "versions": _versions(modules),
    }


def _versions(modules: set[str]) -> list[str]:
    packages = ["numpy", "scipy", "scikit-learn"]
    packages += ["fairlearn"] if any("bridges" in module for module in modules) else []
    try:
        return [version(package) for package in packages]
    except PackageNotFoundError as error:
        raise Unavailable(f"needs the package {error.name}") from error


def is_stored(case: Case, entry: Entry, fold: int, work: Path) -> bool:
    """Whether the predictions of this very method on this fold are on disk."""
    path = record_path(work, case.name, entry.name, fold)
    return read_record(path, fold_key(case, entry, fold)) is not None


def run_task(task: Task) -> dict[str, Any]:
    """Fit, predict and store; return what a progress line needs."""
    work = Path(task.work)
    case, entry = load_case(task.data, task.folder), ENTRIES[task.entry]
    told = {"data": task.data, "entry": task.entry, "fold": task.fold, "seconds": 0.0}
    try:
        key = fold_key(case, entry, task.fold)
        found = fit_fold(case, entry, fold_rows(case, task.fold, work), work)
    except Unavailable as error:
        return {**told, "why": str(error)}
    write_record(record_path(work, task.data, task.entry, task.fold), key, found)
    return {**told, "seconds": found["fit_seconds"], "why": found.get("failed")}


def fit_fold(case: Case, entry: Entry, rows: FoldRows, work: Path) -> dict[str, Any]:
    """Return predictions, as positions in the sorted classes, and what they cost.

    Raises
    ------
    Unavailable
        If it turns out while fitting that a package is missing.
    """
    head = RememberedRegression(
        C=case.head_c, max_iter=case.head_iterations, folder=str(work / "heads")
    )
    model, use = entry.make(head, SEED)
    y, groups = case.y[rows.train], case.groups[rows.train]
    given = {"sensitive_features": case.groups[rows.test]} if use == "given" else {}
    take_saved_seconds()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(rows.X_train, y, sensitive_features=groups)
            fitted = time.process_time()
            predicted = as_column(model.predict(rows.X_test, **given))
            done = time.process_time()
            same = _same_under_another_seed(model, rows.X_test, given, predicted)
        except ABSENT as error:
            raise Unavailable(_said(error)) from error
        except FAILURES as error:
            seconds = time.process_time() - start
            return {"failed": _said(error), "fit_seconds": round(seconds, 4)}
    classes = np.unique(case.y)
    return {
        "use": use,
        "predictions": np.searchsorted(classes, predicted.astype(classes.dtype)).tolist(),
        "fit_seconds": round(fitted - start + take_saved_seconds(), 4),
        "predict_seconds": round(done - fitted, 4),
        "same_share": same,
        "warnings": sorted({_first_line(w) for w in caught}),
    }


def _same_under_another_seed(
    model: Any, X_test: Any, given: Mapping[str, Any], predicted: Any
) -> float:
    """Return the share of rows that are decided alike when decisions are drawn anew."""
    known = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    seeds = [name for name in known if name.split("__")[-1] == "random_state"]
    model.set_params(**dict.fromkeys(seeds, OTHER_SEED)) if seeds else None
    again = as_column(model.predict(X_test, **given))
    return float((again == predicted).mean())


def _first_line(warning: warnings.WarningMessage) -> str:
    line = str(warning.message).strip().split("\n")[0][:160]
    return f"{warning.category.__name__}: {line}"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
