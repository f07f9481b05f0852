"""What steered states still tell of the group: a linear probe, and nearest neighbours.

All of it is judged on held-out rows, steered as they would be when decided.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _biographies.softmax import fit_softmax

__all__ = ["N_NEIGHBOURS", "leakage", "measure_states", "neighbour_share"]

N_NEIGHBOURS = 10
PROBE_C = 0.1

Floats = NDArray[Any]
_known: OrderedDict[str, dict[str, float]] = OrderedDict()


def measure_states(
    train: Floats, test: Floats, y: tuple[Any, Any], groups: tuple[Any, Any]
) -> dict[str, float]:
    """Return probe accuracies and neighbour shares, each beside what chance would give.

    ``y`` and ``groups`` are those of the training rows and of the test rows. Methods that
    leave the states as they were are measured once.
    """
    state = hashlib.blake2b(train.tobytes(), digest_size=16)
    state.update(test.tobytes())
    key = state.hexdigest()
    if key not in _known:
        _known[key] = leakage(train, test, y, groups) | neighbour_share(test, y[1], groups[1])
        if len(_known) > 32:
            _known.popitem(last=False)
    return _known[key]


def leakage(
    train: Floats, test: Floats, y: tuple[Any, Any], groups: tuple[Any, Any]
) -> dict[str, float]:
    """Return the held-out accuracy of linear probes for the group, and of the best constant.

    "within" lets the probe know the class: states less their class's training mean, with an
    intercept a class; what it is compared with is the larger group of each class.
    """
    overall = _probe_accuracy(train, groups[0], test, groups[1])
    found, larger = np.unique(groups[0], return_counts=True)
    classes = np.unique(y[0])
    known = np.isin(y[1], classes)
    codes = [np.searchsorted(classes, part) for part in (y[0], y[1][known])]
    means = np.stack([train[codes[0] == k].mean(axis=0) for k in range(len(classes))])
    inner = [
        np.hstack([part - means[code], np.eye(len(classes))[code]])
        for part, code in zip((train, test[known]), codes, strict=True)
    ]
    within = _probe_accuracy(inner[0], groups[0], inner[1], groups[1][known])
    usual = np.array([_most_common(groups[0][codes[0] == k]) for k in range(len(classes))])
    return {
        "probe": overall,
        "probe_chance": float((groups[1] == found[larger.argmax()]).mean()),
        "within": within,
        "within_chance": float((groups[1][known] == usual[codes[1]]).mean()),
    }


def _probe_accuracy(rows: Floats, groups: Any, test: Floats, truth: Any) -> float:
    """Return the accuracy on ``test`` of a logistic regression fitted on ``rows``."""
    found, codes = np.unique(groups, return_inverse=True)
    penalty = 1 / (PROBE_C * len(rows))
    weight, bias, _ = fit_softmax(rows, codes, len(found), penalty=penalty, tol=1e-3)
    return float((found[(test @ weight.T + bias).argmax(axis=1)] == truth).mean())


def _single(rows: Floats) -> Floats:
    return np.ascontiguousarray(rows, dtype=np.float32)


def _most_common(groups: Any) -> Any:
    found, counts = np.unique(groups, return_counts=True)
    return found[counts.argmax()]


def neighbour_share(rows: Floats, y: Any, groups: Any) -> dict[str, float]:
    """Return the share of a row's nearest neighbours of its class that are of its group.

    Euclidean, ten neighbours, over classes with more than ten rows and two groups. Chance is
    (n_group - 1) / (n_class - 1), averaged over the same rows.
    """
    same, chance, n = 0.0, 0.0, 0
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        if len(own) <= N_NEIGHBOURS or len(np.unique(groups[own])) < 2:
            continue
        part, group = _single(rows[own]), groups[own]
        squares = (part**2).sum(axis=1)
        far = squares[:, None] + squares - 2 * part @ part.T
        np.fill_diagonal(far, np.inf)
        near = np.argpartition(far, N_NEIGHBOURS - 1, axis=1)[:, :N_NEIGHBOURS]
        same += float((group[near] == group[:, None]).mean(axis=1).sum())
        chance += float(((group[:, None] == group).sum(axis=1) - 1).sum() / (len(own) - 1))
        n += len(own)
    if n == 0:
        return {"neighbours": float("nan"), "neighbours_chance": float("nan")}
    return {"neighbours": same / n, "neighbours_chance": chance / n}
