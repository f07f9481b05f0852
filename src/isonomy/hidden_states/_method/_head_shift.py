"""Offsets of class scores as translations of the hidden state that the head reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from isonomy.distributions._linalg import rank_tolerance
from isonomy.errors import InvalidInputError

__all__ = ["LinearHead", "is_fitted", "read_linear_head", "shift_of_scores"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearHead:
    """Class scores ``X @ weight.T + bias`` of a hidden state.

    Attributes
    ----------
    weight : (n_classes, d)
    bias : (n_classes,)
    classes : (n_classes,)
        The class of every row of ``weight``.
    """

    weight: Floats
    bias: Floats
    classes: NDArray[Any]

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, as scikit-learn spells them."""
        return self.classes

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the scores ``(n_samples, n_classes)``."""
        scores: Floats = np.asarray(X, dtype=np.float64) @ self.weight.T + self.bias
        return scores

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the softmax of the scores."""
        proba: Floats = softmax(self.decision_function(X), axis=1)
        return proba

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class of the largest score, the first one at a tie."""
        picked: NDArray[Any] = self.classes[self.decision_function(X).argmax(axis=1)]
        return picked


def is_fitted(head: Any) -> bool:
    """Whether a scikit-learn estimator has been fitted; other heads count as fitted."""
    if not hasattr(head, "fit"):
        return True
    try:
        check_is_fitted(head)
    except NotFittedError:
        return False
    return True


def read_linear_head(head: Any, *, d: int, classes: Any = None, where: str) -> LinearHead:
    """Return the affine scores that ``head`` computes of a state of ``d`` numbers.

    Parameters
    ----------
    head : classifier, torch Linear, (weight, bias), (weight, bias, classes) or LinearHead
        A fitted scikit-learn linear classifier, or a Pipeline of affine steps that ends in
        one; a module with ``weight`` and ``bias``; arrays, with or without the class of
        every row of the weight.
    d : int
        Size of the hidden state.
    classes : sequence, optional
        The class of every row of the weight, where ``head`` does not know it; default
        0, 1, 2, ...
    where : str
        Name of the calling function, for messages.

    Raises
    ------
    InvalidInputError
        If the head is not linear, or of another size.
    """
    if isinstance(head, LinearHead):
        found = head
    elif isinstance(head, Pipeline):
        matrix, offset = _affine_steps(head.steps[:-1], d, where=where)
        last = read_linear_head(head.steps[-1][1], d=matrix.shape[1], where=where)
        weight = last.weight @ matrix.T
        found = LinearHead(weight, last.bias + last.weight @ offset, last.classes)
    elif hasattr(head, "coef_"):
        found = _of_estimator(head)
    else:
        found = _of_arrays(head, classes, where=where)
    if found.weight.shape[1] != d:
        raise InvalidInputError(
            f"`head` of `{where}` must read the {d} numbers of the hidden state, got one that "
            f"reads {found.weight.shape[1]}. Pass the head behind these very states."
        )
    return found


def _of_estimator(head: Any) -> LinearHead:
    weight = np.atleast_2d(np.asarray(head.coef_, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(head.intercept_, dtype=np.float64), (len(weight),))
    if len(weight) == 1:  # two classes: the score of the second against that of the first
        weight = np.vstack([np.zeros_like(weight), weight])
        bias = np.append(0.0, bias)
    return LinearHead(weight, np.array(bias), np.asarray(head.classes_))


def _of_arrays(head: Any, classes: Any, *, where: str) -> LinearHead:
    if hasattr(head, "weight"):
        pair: tuple[Any, Any] = (head.weight, getattr(head, "bias", None))
    elif isinstance(head, tuple | list) and len(head) in (2, 3):
        pair = (head[0], head[1])
        classes = head[2] if len(head) == 3 else classes
    else:
        raise InvalidInputError(
            f"`head` of `{where}` must be linear: a scikit-learn classifier with `coef_`, a "
            "Pipeline of affine steps that ends in one, a torch Linear, or (weight, bias); got "
            f"{type(head).__name__}."
        )
    weight, bias = (None if part is None else _to_numpy(part) for part in pair)
    if weight is None or weight.ndim != 2 or len(weight) < 2:
        shape = None if weight is None else weight.shape
        raise InvalidInputError(
            f"`weight` of the `head` of `{where}` must be (n_classes, d) with at least 2 "
            f"classes, got shape {shape}."
        )
    labels = np.arange(len(weight)) if classes is None else np.asarray(classes)
    if len(labels) != len(weight) or (bias is not None and bias.shape != (len(weight),)):
        raise InvalidInputError(
            f"`head` of `{where}` must have one row of the weight and one bias a class "
            f"({len(labels)}), got {len(weight)} rows and a bias of shape "
            f"{None if bias is None else bias.shape}. Name the classes in order: "
            "`head=(weight, bias, classes)`."
        )
    return LinearHead(weight, np.zeros(len(weight)) if bias is None else bias, labels)


def _to_numpy(values: Any) -> Floats:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.array(values, dtype=np.float64)


def _affine_steps(steps: Any, d: int, *, where: str) -> tuple[Floats, Floats]:
    """Return (matrix (d, r), offset (r,)) with ``steps(X) = X @ matrix + offset``, checked."""

    def forward(rows: Floats) -> Floats:
        for _, step in steps:
            if step is not None and step != "passthrough":
                rows = step.transform(rows)
        return np.asarray(rows, dtype=np.float64)

    offset = forward(np.zeros((1, d)))[0]
    matrix = forward(np.eye(d)) - offset
    probe = np.random.default_rng(0).normal(size=(3, d)) * 3.0
    found = forward(probe)
    size = 1.0 + np.abs(found).max() + np.abs(probe) @ np.abs(matrix) + np.abs(offset)
    if (np.abs(probe @ matrix + offset - found) > 1e-8 * size).any():
        raise InvalidInputError(
            f"`head` of `{where}` must be linear in the hidden state, and its steps before the "
            "classifier are not affine. Use steps like `StandardScaler` or `PCA`."
        )
    return matrix, offset


def shift_of_scores(weight: Floats, offsets: Floats, *, where: str) -> Floats:
    """Return the shortest translations of the state that shift the scores by ``offsets``.

    Parameters
    ----------
    weight : (n_classes, d)
        Of the head.
    offsets : (n, n_classes)
        What is to be added to the scores, up to one number added to all of a row.

    Returns
    -------
    (n, d)
        Translations t with ``H weight t = H offset``, H = I - 11'/n_classes.

    Raises
    ------
    InvalidInputError
        If no translation does: the rows of ``H weight`` span fewer than n_classes - 1
        dimensions and the offsets lie outside. Names the part that is left.

    Notes
    -----
    ``t = (H weight)^+ H offset``: of all translations with this effect on every decision
    the one of least Euclidean length. What the head does not read does not move, so the
    metric decides only how the rest of the state is touched, and least change of the state
    as it is stored is what steering with least damage asks for.
    """
    centred = weight - weight.mean(axis=0)
    goal = offsets - offsets.mean(axis=1, keepdims=True)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    rank = int((values > rank_tolerance(values, size=max(weight.shape))).sum())
    rank = min(rank, len(weight) - 1)
    parts = goal @ left[:, :rank]
    missed = float(np.abs(goal - parts @ left[:, :rank].T).max(initial=0.0))
    if missed > rank_tolerance(goal.ravel(), size=max(weight.shape)):
        raise InvalidInputError(
            f"`head` of `{where}` must tell its {len(weight)} classes apart in "
            f"{len(weight) - 1} directions for offsets of its scores to be a translation of the "
            f"state, got {rank}: of offsets up to {np.abs(goal).max():.3g} the part up to "
            f"{missed:.3g} cannot be reached. Calibrate the scores instead (`GapCalibrator`)."
        )
    shifts: Floats = (parts / values[:rank]) @ right[:rank]
    return shifts
