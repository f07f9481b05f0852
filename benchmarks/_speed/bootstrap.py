"""Replicates of a fairness metric: fairlearn resamples rows, isonomy draws the counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isonomy.auditing import audit
from isonomy.metrics import confusion_counts
from isonomy.metrics._gap_statistics import cell_rates, group_pairs, selection_rates
from isonomy.metrics.intervals import difference_band, multinomial_rates, rms_gap_interval
from isonomy.metrics.permutation import permuted_rates

__all__ = ["FAIRLEARN_BOOT", "N_BOOT", "fairlearn_calls", "make_predictions", "our_calls"]

N_BOOT, FAIRLEARN_BOOT = 10_000, 3


def make_predictions(n: int, n_classes: int, n_groups: int) -> tuple[np.ndarray, ...]:
    """Return labels, predictions that are right three times in four, and groups."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_classes + 1)
    y = rng.choice(n_classes, n, p=share / share.sum())
    p = np.where(rng.random(n) < 0.75, y, rng.choice(n_classes, n, p=share / share.sum()))
    return y, p, rng.integers(0, n_groups, n)


def our_calls(n: int, n_boot: int = N_BOOT) -> dict[str, Callable[[], Any]]:
    """Return every count-based interval and test on 28 classes, counting apart."""
    y, p, g = make_predictions(n, 28, 2)
    counts = confusion_counts(y, p, sensitive_features=g)
    cells, shares, pairs = cell_rates(counts), selection_rates(counts), group_pairs(2, None)
    size = np.broadcast_to(counts.n_group, shares.shape)
    rng = np.random.default_rng(0)
    return {
        "counting the rows": lambda: confusion_counts(y, p, sensitive_features=g),
        "rms TPR gap interval": lambda: rms_gap_interval(cells, pairs, n_boot=n_boot, rng=rng),
        "demographic parity interval": lambda: difference_band(
            shares, size, multinomial_rates(size[:1], shares[None], rng), pairs, n_boot=n_boot
        ),
        "permutation test": lambda: permuted_rates(counts, n_boot, rng),
        "whole audit": lambda: audit(y, p, sensitive_features=g, n_boot=n_boot),
    }


def fairlearn_calls(n: int, n_groups: int, n_boot: int = N_BOOT) -> dict[str, Callable[[], Any]]:
    """Return both sides on two classes: selection and true positive rates with intervals.

    "fairlearn, 0" is its frame without replicates: to be taken off.
    """
    from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate

    y, p, g = make_predictions(n, 2, n_groups)
    metrics = {"selection_rate": selection_rate, "tpr": true_positive_rate}
    frame = {"metrics": metrics, "y_true": y, "y_pred": p, "sensitive_features": g}
    drawn = {"n_boot": FAIRLEARN_BOOT, "ci_quantiles": [0.025, 0.975], "random_state": 0}

    def ours() -> None:
        rng = np.random.default_rng(0)
        counts = confusion_counts(y, p, sensitive_features=g)
        pairs = group_pairs(n_groups, None)
        rms_gap_interval(cell_rates(counts), pairs, n_boot=n_boot, rng=rng)
        shares = selection_rates(counts)
        size = np.broadcast_to(counts.n_group, shares.shape)
        draws = multinomial_rates(size[:1], shares[None], rng)
        difference_band(shares, size, draws, pairs, n_boot=n_boot)

    return {
        "fairlearn": lambda: MetricFrame(**frame, **drawn),
        "fairlearn, 0": lambda: MetricFrame(**frame),
        "isonomy": ours,
    }
