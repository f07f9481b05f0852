"""Time LEACE beside concept-erasure, and MiMiC beside Python Optimal Transport.

Run ``python benchmarks/bench_baselines.py`` (768 columns) or with ``--wide`` (2048 too).
Both sides run on the same rows, in turn, with the threads the environment gives them;
the table shows medians of wall seconds and their ratio (theirs / ours: above 1, ours is
faster). A result is timed only where both give the same rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from isonomy.baselines import LEACE, MiMiC

N_ROWS, N_CLASSES = 20_000, 28


def make_rows(d: int, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 rows of correlated columns, and the group of each."""
    rng = np.random.default_rng(0)
    groups = rng.integers(n_groups, size=N_ROWS)
    # well conditioned: on near-singular float32 covariances POT gives NaN, and no time to compare
    mixing = 0.3 * rng.standard_normal((d, d)).astype(np.float32) / np.sqrt(d)
    X = rng.standard_normal((N_ROWS, d), dtype=np.float32) @ (mixing + np.eye(d, dtype=np.float32))
    X *= 1.0 + 0.3 * (groups == 1)[:, None]
    return (X + rng.standard_normal((n_groups, d))[groups]).astype(np.float32), groups


def leace_ours(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return LEACE().fit_transform(X, sensitive_features=groups)


def leace_theirs(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    import torch
    from concept_erasure import LeaceFitter

    rows = torch.from_numpy(X)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(groups)).to(rows.dtype)
    return LeaceFitter.fit(rows, one_hot, shrinkage=False).eraser(rows).numpy()


def mimic_ours(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return MiMiC(reference=0).fit_transform(X, sensitive_features=groups)


def mimic_theirs(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    import ot

    moved = X.copy()
    transport = ot.da.LinearTransport().fit(Xs=X[groups == 1], Xt=X[groups == 0])
    moved[groups == 1] = transport.transform(Xs=X[groups == 1])
    return moved


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def compare(
    name: str, ours: Any, theirs: Any, d: int, n_groups: int, repeats: int
) -> dict[str, Any]:
    """Alternate both sides; return medians, their ratio and how far the rows differ."""
    X, groups = make_rows(d, n_groups)
    times: tuple[list[float], list[float]] = ([], [])
    difference = float("nan")
    for repeat in range(repeats + 1):
        mine, moved = seconds(lambda: ours(X, groups))
        other, reference = seconds(lambda: theirs(X, groups))
        difference = float(np.abs(moved - reference).max() / np.abs(reference).max())
        if repeat:  # the first run of each warms caches and imports
            times[0].append(mine)
            times[1].append(other)
    one, two = statistics.median(times[0]), statistics.median(times[1])
    return {
        "method": name, "d": d, "n": N_ROWS, "groups": n_groups, "ours": one, "theirs": two,
        "ratio": two / one, "relative_difference": difference,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wide", action="store_true", help="also 2048 columns")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # POT announces back ends it cannot find
        for d in [768, 2048] if arguments.wide else [768]:
            for case in (
                ("LEACE", leace_ours, leace_theirs, d, N_CLASSES),
                ("MiMiC", mimic_ours, mimic_theirs, d, 2),
            ):
                row = compare(*case, arguments.repeats)
                print(json.dumps(row) if arguments.json else _sentence(row), flush=True)


def _sentence(row: dict[str, Any]) -> str:
    return (
        f"{row['method']:6} d={row['d']:5} groups={row['groups']:3}  ours {row['ours']:.3f} s  "
        f"theirs {row['theirs']:.3f} s  ratio {row['ratio']:.2f}  "
        f"rows differ by {row['relative_difference']:.1e}"
    )


if __name__ == "__main__":
    main()
