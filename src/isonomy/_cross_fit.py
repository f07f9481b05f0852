"""Class probabilities of every row from a model that did not train on that row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.parallel import Parallel, delayed

from isonomy._frames import is_frame
from isonomy._weighted_fit import fit_weighted
from isonomy.errors import InvalidInputError

__all__ = ["Split", "cell_splits", "class_probabilities", "cross_fitted", "indexable"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Row indices to train on, and those to be held out."""


def cell_splits(
    cv: Any,
    cells: NDArray[np.intp],
    *,
    counted: NDArray[np.intp] | None = None,
    random_state: Any,
    where: str,
) -> list[Split]:
    """Return the folds of ``cv``; an integer spreads every cell evenly over so many folds.

    Rows of a cell are shuffled and dealt to the folds in turn, going on where the last cell
    stopped: unlike ``StratifiedKFold`` this has no minimum of rows a cell. Only ``counted``
    rows are in the folds; a splitter sees all rows, so that ready-made indices stay true.

    Raises
    ------
    InvalidInputError
        If an integer is below 2 or above the number of rows.
    """
    if counted is None:
        counted = np.arange(len(cells))
    if not isinstance(cv, int | np.integer):
        splitter = check_cv(cv, cells, classifier=True)
        folds = splitter.split(np.zeros((len(cells), 1)), cells)
        kept = [(_among(train, counted), _among(test, counted)) for train, test in folds]
        return [(train, test) for train, test in kept if len(test)]
    n = len(counted)
    if not 2 <= cv <= n:
        raise InvalidInputError(
            f"`cv` of `{where}` must lie between 2 and the number of rows ({n}), "
            f"got {cv}; n_samples={n} is too small for so many folds."
        )
    order = check_random_state(random_state).permutation(n)
    order = order[np.argsort(cells[counted][order], kind="stable")]
    fold = np.empty(n, dtype=np.intp)
    fold[order] = np.arange(n) % int(cv)
    return [(counted[fold != f], counted[fold == f]) for f in range(int(cv))]


def _among(rows: Any, counted: NDArray[np.intp]) -> NDArray[np.intp]:
    indices = np.asarray(rows, dtype=np.intp)
    return indices[np.isin(indices, counted)]


def cross_fitted(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    splits: list[Split],
    *,
    classes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
    n_jobs: int | None = None,
    where: str,
) -> NDArray[np.float64]:
    """Return held-out probabilities ``(n_samples, n_classes)``; NaN in rows never held out."""
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_held_out)(estimator, X, y, split, classes, sample_weight, where)
        for split in splits
    )
    scores = np.full((len(y), len(classes)), np.nan)
    for (_, test), part in zip(splits, parts, strict=True):
        scores[test] = part
    return scores


def _held_out(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    split: Split,
    classes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None,
    where: str,
) -> NDArray[np.float64]:
    train, test = split
    weight = None if sample_weight is None else sample_weight[train]
    model = fit_weighted(clone(estimator), _safe_indexing(X, train), y[train], weight, where=where)
    return class_probabilities(model, _safe_indexing(X, test), classes)


def class_probabilities(estimator: Any, X: Any, classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities ``(n_samples, n_classes)`` in the order of the sorted ``classes``.

    Decision values become probabilities through the logistic or softmax function; a class
    that ``estimator`` never saw has probability 0.
    """
    if hasattr(estimator, "predict_proba"):
        found = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    else:
        values = np.asarray(estimator.decision_function(X), dtype=np.float64)
        if values.ndim == 1:
            found = np.column_stack([expit(-values), expit(values)])
        else:
            found = softmax(values, axis=1)
    scores = np.zeros((len(found), len(classes)))
    scores[:, np.searchsorted(classes, estimator.classes_)] = found
    return scores


def indexable(X: Any) -> Any:
    """Return rows of which some can be picked: frames as they are, else arrays or CSR."""
    if sparse.issparse(X):
        return X.tocsr()
    return X if is_frame(X) else np.asarray(X)
