"""A logistic regression that remembers its fits, so that methods share what they share.

LinearPost at ten tolerances, and every calibrated method, fit the same heads on the same
cross-fitted rows. The seconds that a remembered fit once took are counted again, so that
every method's cost is what it would be alone.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from isonomy._atomic import atomic_path

__all__ = ["RememberedRegression", "take_saved_seconds"]

_saved = [0.0]


def take_saved_seconds() -> float:
    """Return the seconds that remembered fits have saved since the last call."""
    saved, _saved[0] = _saved[0], 0.0
    return saved


class RememberedRegression(LogisticRegression):
    """LogisticRegression whose fitted state is looked up in a folder first."""

    def __init__(self, *, C: float = 1.0, max_iter: int = 100, folder: str = "") -> None:
        super().__init__(C=C, max_iter=max_iter)
        self.folder = folder

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RememberedRegression:
        """Fit, or take the fit of the same rows, labels and weights from the folder."""
        path = Path(self.folder) / f"{_digest((self.C, self.max_iter), X, y, sample_weight)}.npz"
        state = _read(path)
        if state is None:
            start = time.process_time()
            fitted = clone(LogisticRegression(C=self.C, max_iter=self.max_iter))
            fitted.fit(X, y, sample_weight=sample_weight)
            state = {
                "coef": fitted.coef_,
                "intercept": fitted.intercept_,
                "classes": fitted.classes_,
                "n_iter": fitted.n_iter_,
                "seconds": np.array(time.process_time() - start),
            }
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **state)
        else:
            _saved[0] += float(state["seconds"])
        self.coef_, self.intercept_ = state["coef"], state["intercept"]
        self.classes_, self.n_iter_ = state["classes"], state["n_iter"]
        self.n_features_in_ = self.coef_.shape[1]
        return self


def _digest(settings: tuple[float, int], *arrays: Any) -> str:
    state = hashlib.blake2b(f"{sklearn.__version__} {settings}".encode(), digest_size=16)
    for values in arrays:
        array = np.ascontiguousarray(values)
        state.update(f"{array.shape} {array.dtype.str}".encode())
        raw = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
        state.update(raw)
    return state.hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        # opened here: NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            state = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # not there, or damaged: fit again
    return state if {"coef", "intercept", "classes", "n_iter", "seconds"} <= set(state) else None
