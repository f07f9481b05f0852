"""Methods that train nothing: they move the logits of plain LoRA, tuned on validation rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _adapters.judging import softmax
from isonomy.metrics import cobias, macro_f1

__all__ = ["DERIVED", "Logits", "derive"]

Floats = NDArray[np.floating[Any]]
TAUS = tuple(np.round(np.arange(0.0, 2.01, 0.1), 1).tolist())


@dataclass(frozen=True)
class Logits:
    """Logits and labels of one run's validation and test rows, and its training counts."""

    val: Floats
    y_val: NDArray[np.intp]
    test: Floats
    y_test: NDArray[np.intp]
    counts: NDArray[np.intp]


def derive(name: str, run: Logits, setting: dict[str, Any]) -> Logits:
    """Return the moved logits of validation and test rows."""
    val, test = DERIVED[name](run, setting)
    return Logits(val, run.y_val, test, run.y_test, run.counts)


def post_hoc(run: Logits, setting: dict[str, Any]) -> tuple[Floats, Floats]:
    """Take tau times the log prior off (Menon et al., 2021)."""
    prior = np.log(run.counts / run.counts.sum())
    return run.val - setting["tau"] * prior, run.test - setting["tau"] * prior


def post_hoc_tuned(run: Logits, setting: dict[str, Any]) -> tuple[Floats, Floats]:
    """Do the same with the tau that is best on the cell's own validation rows."""
    scores = [macro_f1(run.y_val, post_hoc(run, {"tau": tau})[0].argmax(axis=1)) for tau in TAUS]
    return post_hoc(run, {"tau": TAUS[int(np.argmax(scores))]})


def batch_calibration(run: Logits, setting: dict[str, Any]) -> tuple[Floats, Floats]:
    """Divide by the mean prediction over the rows at hand (Zhou et al., 2024); no labels used."""
    return (
        run.val - np.log(softmax(run.val).mean(axis=0)),
        run.test - np.log(softmax(run.test).mean(axis=0)),
    )


def weight_search(run: Logits, setting: dict[str, Any]) -> tuple[Floats, Floats]:
    """Search weights of the classes one at a time (in the manner of DNIP, Lin and You, 2024).

    On the validation rows: error plus COBias falls with every change that is kept; weights from
    a grid of 30, classes in turn, until a whole turn changes nothing (five turns at most).
    """
    p, y = softmax(run.val), run.y_val
    k = p.shape[1]
    weight = np.ones(k)

    def cost(w: NDArray[np.float64]) -> float:
        predicted = (p * w).argmax(axis=1)
        return float((predicted != y).mean()) + cobias(y, predicted)

    best = cost(weight)
    for _ in range(5):
        before = best
        for c in range(k):
            for value in np.linspace(1 / 30, 1.0, 30)[::-3]:
                tried = weight.copy()
                tried[c] = value
                found = cost(tried)
                if found < best:
                    best, weight = found, tried
        if best == before:
            break
    return run.val + np.log(weight), run.test + np.log(weight)


DERIVED: dict[str, Callable[[Logits, dict[str, Any]], tuple[Floats, Floats]]] = {
    "post_hoc": post_hoc,
    "post_hoc_tuned": post_hoc_tuned,
    "batch_calibration": batch_calibration,
    "weight_search": weight_search,
}
