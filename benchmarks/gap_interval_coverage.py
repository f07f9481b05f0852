"""How often the interval of the rms gap covers the truth, by simulation.

Run ``python benchmarks/gap_interval_coverage.py [replications]``. 28 classes whose sizes
fall like 1/rank, two groups, true-positive rates near .75 whose gap has one size and a
random sign per class. Prints, for every gap and weighting, the coverage of the 95 %
interval, the median upper bound, and how often the permutation test rejects at .05.
"""

from __future__ import annotations

import sys

import numpy as np

from isonomy.metrics._gap_statistics import CellRates, class_weights, mean_square
from isonomy.metrics.intervals import rms_gap_interval

N_CLASSES = 28
PAIR = (0, 1)


def draw_cells(gap: float, n_samples: int, rng: np.random.Generator) -> tuple[CellRates, CellRates]:
    """Return the true and the observed rates of one simulated test set."""
    share = 1 / np.arange(1, N_CLASSES + 1)
    size = np.maximum(n_samples * share / share.sum(), 8)
    tilt = rng.uniform(0.2, 0.8, N_CLASSES)
    n = np.maximum(np.round(np.stack([size * tilt, size * (1 - tilt)], axis=1)), 2.0)
    sign = rng.choice([-1, 1], N_CLASSES)
    base = rng.uniform(0.65, 0.85, N_CLASSES)
    truth = np.stack([base + sign * gap / 2, base - sign * gap / 2], axis=1)
    seen = rng.binomial(n.astype(int), truth) / n
    return CellRates(truth, n, n), CellRates(seen, n, n)


def simulate(
    gap: float, weighting: str, replications: int, n_samples: int, n_boot: int, seed: int
) -> dict[str, float]:
    """Return coverage, median upper bound and share of lower bounds above 0."""
    rng = np.random.default_rng(seed)
    covered, upper, detected = [], [], []
    for _ in range(replications):
        truth, seen = draw_cells(gap, n_samples, rng)
        weights = class_weights(truth, PAIR, weighting)
        true_gap = float(np.sqrt(mean_square(truth.rates, weights, PAIR)))
        found = rms_gap_interval(seen, [PAIR], weighting=weighting, n_boot=n_boot, rng=rng)
        covered.append(found.low <= true_gap <= found.high)
        upper.append(found.high)
        detected.append(found.low > 0)
    return {
        "coverage": float(np.mean(covered)),
        "median_upper": float(np.median(upper)),
        "detected": float(np.mean(detected)),
    }


def main() -> None:
    """Print one line per gap and weighting."""
    replications = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("n      weighting  gap   coverage  median upper  lower bound above 0")
    for n_samples in (3_500, 14_000):
        for weighting in ("equal", "precision"):
            for gap in (0.0, 0.05, 0.10):
                r = simulate(gap, weighting, replications, n_samples, 2_000, seed=0)
                print(
                    f"{n_samples:<6} {weighting:<10} {gap:.2f}  {r['coverage']:.3f}     "
                    f"{r['median_upper']:.3f}         {r['detected']:.3f}"
                )


if __name__ == "__main__":
    main()
