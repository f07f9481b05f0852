"""Time the bootstrap of gaps beside fairlearn's, on the same rows.

Run ``python benchmarks/bench_bootstrap.py [n_samples]``. fairlearn resamples rows
(``MetricFrame(n_boot=...)``); isonomy draws the counts. Prints seconds per 10,000
replicates (fairlearn's from a few replicates) and their ratio; larger is quicker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from isonomy.auditing import audit
from isonomy.metrics import confusion_counts
from isonomy.metrics._gap_statistics import cell_rates, group_pairs, selection_rates
from isonomy.metrics.intervals import difference_band, multinomial_rates, rms_gap_interval
from isonomy.metrics.permutation import permuted_rates

N_BOOT = 10_000
FAIRLEARN_BOOT = 3


def make_rows(n: int, n_classes: int, n_groups: int) -> tuple[np.ndarray, ...]:
    """Return labels, predictions that are right three times in four, and groups."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_classes + 1)
    y = rng.choice(n_classes, n, p=share / share.sum())
    p = np.where(rng.random(n) < 0.75, y, rng.choice(n_classes, n, p=share / share.sum()))
    return y, p, rng.integers(0, n_groups, n)


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """Return the least wall time of a few runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def time_isonomy(n: int) -> dict[str, float]:
    """Return the seconds of every count-based interval and test, counting included."""
    y, p, g = make_rows(n, 28, 2)
    counts = confusion_counts(y, p, sensitive_features=g)
    cells, shares, pairs = cell_rates(counts), selection_rates(counts), group_pairs(2, None)
    size = np.broadcast_to(counts.n_group, shares.shape)
    rng = np.random.default_rng(0)
    return {
        "counting the rows": seconds(lambda: confusion_counts(y, p, sensitive_features=g)),
        "rms gap interval": seconds(lambda: rms_gap_interval(cells, pairs, n_boot=N_BOOT, rng=rng)),
        "parity interval": seconds(
            lambda: difference_band(
                shares, size, multinomial_rates(size[:1], shares[None], rng), pairs, n_boot=N_BOOT
            )
        ),
        "permutation test": seconds(lambda: permuted_rates(counts, N_BOOT, rng)),
        "whole audit": seconds(lambda: audit(y, p, sensitive_features=g), repeat=1),
    }


def time_fairlearn(n: int, n_groups: int) -> tuple[float, float]:
    """Return (fairlearn's, isonomy's) seconds per 10,000 replicates, binary, four groups."""
    from fairlearn.metrics import MetricFrame, selection_rate, true_positive_rate

    y, p, g = make_rows(n, 2, n_groups)
    metrics = {"selection_rate": selection_rate, "tpr": true_positive_rate}

    def resample(n_boot: int) -> None:
        MetricFrame(
            metrics=metrics, y_true=y, y_pred=p, sensitive_features=g,
            n_boot=n_boot, ci_quantiles=[0.025, 0.975], random_state=0,
        )  # fmt: skip

    theirs = seconds(lambda: resample(FAIRLEARN_BOOT), repeat=1) * N_BOOT / FAIRLEARN_BOOT

    def ours() -> None:
        rng = np.random.default_rng(0)
        counts = confusion_counts(y, p, sensitive_features=g)
        rms_gap_interval(cell_rates(counts), group_pairs(n_groups, None), n_boot=N_BOOT, rng=rng)
        shares = selection_rates(counts)
        size = np.broadcast_to(counts.n_group, shares.shape)
        draws = multinomial_rates(size[:1], shares[None], rng)
        difference_band(shares, size, draws, group_pairs(n_groups, None), n_boot=N_BOOT)

    return theirs, seconds(ours)


def main() -> None:
    """Print the seconds and the ratio."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{n} rows, 28 classes, 2 groups, {N_BOOT} replicates, seconds:")
    for name, taken in time_isonomy(n).items():
        print(f"  {name:<20} {taken:8.3f}")
    theirs, ours = time_fairlearn(n, 4)
    print(f"{n} rows, 2 classes, 4 groups, {N_BOOT} replicates, seconds:")
    print(f"  fairlearn {theirs:.0f} (from {FAIRLEARN_BOOT} replicates), isonomy {ours:.3f}")
    print(f"  ratio {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
