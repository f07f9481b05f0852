"""The classifier of all methods: a logistic regression that remembers its fits.

Methods share what they share: the same rows, labels and weights are fitted once. The seconds
that a remembered fit once took are counted again, so that every method's cost is what it
would be alone.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from _biographies.softmax import fit_softmax
from isonomy._atomic import atomic_path

__all__ = ["SharedHead", "take_saved_seconds"]

_saved = [0.0]


def take_saved_seconds() -> float:
    """Return the seconds that remembered fits have saved since the last call."""
    saved, _saved[0] = _saved[0], 0.0
    return saved


class SharedHead(LogisticRegression):
    """scikit-learn's LogisticRegression, fitted by our own descent, looked up first."""

    def __init__(self, *, C: float = 1.0, max_iter: int = 300, folder: str = "") -> None:
        super().__init__(C=C, max_iter=max_iter)
        self.folder = folder

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SharedHead:
        """Fit, or take the fit of the same rows, labels and weights from the folder."""
        rows = np.asarray(X, dtype=np.float64)
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self.n_features_in_ = rows.shape[1]
        weight = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, float)
        digest = _digest(f"{self.C} {self.max_iter}", rows, codes, weight)
        path = Path(self.folder) / digest[:2] / f"{digest}.npz"
        state = _read(path)
        if state is None:
            state = self._fitted(rows, codes, weight)
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **state)
        else:
            _saved[0] += float(state["seconds"])
        self.coef_, self.intercept_ = state["coef"], state["intercept"]
        self.n_iter_ = state["n_iter"]
        return self

    def _fitted(
        self, rows: NDArray[np.float64], codes: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> dict[str, Any]:
        start = time.process_time()
        # two rows of weights pay half of what their difference alone would pay
        half = 2 if len(self.classes_) == 2 else 1
        coef, intercept, n_iter = fit_softmax(
            rows,
            codes,
            len(self.classes_),
            penalty=half / (self.C * weight.sum()),
            weight=weight,
            max_iter=self.max_iter,
        )
        if len(self.classes_) == 2:  # scikit-learn keeps one row of scores
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        seconds = np.array(time.process_time() - start)
        steps = np.array([n_iter])
        return {"coef": coef, "intercept": intercept, "n_iter": steps, "seconds": seconds}


def _digest(settings: str, *arrays: NDArray[Any]) -> str:
    state = hashlib.blake2b(settings.encode(), digest_size=16)
    for values in arrays:
        array = np.ascontiguousarray(values)
        state.update(f"{array.shape} {array.dtype.str}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        # opened here: NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            state = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # not there, or damaged: fit again
    return state if {"coef", "intercept", "n_iter", "seconds"} <= set(state) else None
