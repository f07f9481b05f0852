"""Steer and audit a Parquet file of 20 million rows and 30 columns, beside plain NumPy.

    python benchmarks/big_files.py --folder /tmp/big-files [--rows 1000000,5000000,20000000]

Makes the files itself, batch by batch, and keeps them in the folder. ``isonomy steer``,
``isonomy audit`` and the NumPy passes run as processes of their own, so that seconds, CPU
seconds and peak memory are those of each alone. The NumPy passes are the least that such a
job can do: for steering one pass that reads every column, adds up X'X and writes the rows
again (without knowing groups, and without moving anything); for the audit one that reads
label, prediction and group and counts them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N_FEATURES = 24
CLASSES = 4
ROW_GROUP = 1_000_000
BATCH = 65_536
FEATURES = [f"x{j}" for j in range(N_FEATURES)]
GROUPS = np.array(["women", "men"])
REGIONS = np.array(["north", "south", "east", "west", "centre"])


@dataclass(frozen=True)
class Cost:
    """What one process took; ``megabytes`` is its peak resident memory."""

    seconds: float
    cpu: float
    megabytes: float


def make_rows(rng: np.random.Generator, first: int, n: int) -> pa.Table:
    """Normal features whose means depend on class and group, with a biased prediction."""
    group = (rng.random(n) < 0.4).astype(np.int8)
    label = (rng.random(n) ** (1 + 0.5 * group) * CLASSES).astype(np.int8)
    X = rng.standard_normal((n, N_FEATURES), dtype=np.float32)
    X[:, :CLASSES] += 1.5 * (label[:, None] == np.arange(CLASSES))
    X[:, 2:6] += (0.6 * group)[:, None]
    X[:, 6:] += 0.5 * X[:, :1]
    score = 1 / (1 + np.exp(-X[:, CLASSES - 1]))
    wrong = rng.random(n) < 0.2 + 0.1 * group
    prediction = np.where(wrong, rng.integers(0, CLASSES, n), label).astype(np.int8)
    columns: dict[str, object] = {"row": np.arange(first, first + n)}
    columns |= {name: X[:, j] for j, name in enumerate(FEATURES)}
    columns |= {"label": label, "prediction": prediction, "score": score.astype(np.float32)}
    columns |= {"group": GROUPS[group], "region": REGIONS[rng.integers(0, len(REGIONS), n)]}
    return pa.table(columns)


def make_file(path: Path, n_rows: int) -> None:
    """Write the file, unless it is there."""
    if path.exists():
        return
    rng = np.random.default_rng(0)
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, make_rows(rng, 0, 10).schema) as writer:
        for first in range(0, n_rows, ROW_GROUP):
            writer.write_table(make_rows(rng, first, min(ROW_GROUP, n_rows - first)))
            print(f"  {path.name}: {min(first + ROW_GROUP, n_rows):,} rows", file=sys.stderr)
    part.rename(path)


def numpy_steer(source: Path, target: Path) -> None:
    """Read every column, add up X'X, write the rows again."""
    file = pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)
    scatter = np.zeros((N_FEATURES, N_FEATURES))
    repeating = [n for n in file.schema_arrow.names if n not in FEATURES]
    with pq.ParquetWriter(target, file.schema_arrow, use_dictionary=repeating) as writer:
        for batch in file.iter_batches(batch_size=BATCH):
            X = np.column_stack([batch.column(n).to_numpy() for n in FEATURES]).astype(np.float64)
            scatter += X.T @ X
            rows = pa.Table.from_batches([batch])
            for j, name in enumerate(FEATURES):
                place = rows.schema.get_field_index(name)
                rows = rows.set_column(place, name, pa.array(X[:, j].astype(np.float32)))
            writer.write_table(rows)
    assert np.isfinite(scatter).all()


def numpy_audit(source: Path) -> None:
    """Count the rows of every label, prediction and group."""
    file = pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False)
    counts = np.zeros(CLASSES * CLASSES * 2, dtype=np.int64)
    for batch in file.iter_batches(batch_size=BATCH, columns=["label", "prediction", "group"]):
        label, prediction = (batch.column(n).to_numpy() for n in ("label", "prediction"))
        women = (batch.column("group").to_numpy(zero_copy_only=False) == "women").astype(np.int64)
        codes = (label.astype(np.int64) * CLASSES + prediction) * 2 + women
        counts += np.bincount(codes, minlength=len(counts))
    assert counts.sum() == file.metadata.num_rows


def run(*command: str) -> Cost:
    """Run a process to its end and return what it took."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - start
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def measure(file: Path, folder: Path, mode: str) -> dict[str, Cost]:
    """Return the cost of every job on one file."""
    me, out = str(Path(__file__).resolve()), folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    asked = ["--label", "label", "--group", "group", "--batch-rows", str(BATCH)]
    features = ["--features", "x*", "--mode", mode, "-o", str(out)]
    jobs = {
        "NumPy pass: read, X'X, write": [me, "--job", "steer", str(file), str(folder / "copy")],
        f"isonomy steer --mode {mode}": ["-m", "isonomy", "steer", str(file), *asked, *features],
        "NumPy pass: read, count": [me, "--job", "audit", str(file)],
        "isonomy audit": [
            "-m", "isonomy", "audit", str(file), *asked, "--prediction", "prediction",
        ],
    }  # fmt: skip
    found = {}
    for name, command in jobs.items():
        found[name] = run(*command)
        print(f"  {name}: {found[name]}", file=sys.stderr)
    (folder / "copy").unlink()
    shutil.rmtree(out)
    return found


def print_table(sizes: list[int], found: list[dict[str, Cost]]) -> None:
    """Print costs, and ratios to the NumPy pass that stands before each command."""
    print("| rows | job | s | CPU s | rows / s | s / NumPy's s | CPU / NumPy's CPU | peak MB |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for n, costs in zip(sizes, found, strict=True):
        base = Cost(1.0, 1.0, 1.0)
        for name, cost in costs.items():
            base = cost if name.startswith("NumPy") else base
            print(
                f"| {n:,} | {name} | {cost.seconds:.1f} | {cost.cpu:.1f} | "
                f"{n / cost.seconds:,.0f} | {cost.seconds / base.seconds:.1f} | "
                f"{cost.cpu / base.cpu:.1f} | {cost.megabytes:.0f} |"
            )
    if len(sizes) > 1:
        more = sizes[-1] - sizes[0]
        print(f"\nFor each further million rows, from {sizes[0]:,} to {sizes[-1]:,}:\n")
        for name in found[0]:
            first, last = found[0][name], found[-1][name]
            seconds, cpu = last.seconds - first.seconds, last.cpu - first.cpu
            print(f"- {name}: {seconds / more * 1e6:.2f} s, {cpu / more * 1e6:.2f} CPU s")


def main() -> None:
    """Parse, make files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the files are made and kept")
    parser.add_argument("--rows", default="1000000,5000000,20000000", help="sizes, with commas")
    parser.add_argument("--mode", default="given", choices=["blind", "given", "infer"])
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        name, source, *more = options.job
        if name == "make":
            make_file(Path(source), int(more[0]))
        elif name == "steer":
            numpy_steer(Path(source), Path(more[0]))
        else:
            numpy_audit(Path(source))
        return
    sizes = [int(n) for n in options.rows.split(",")]
    options.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(options.folder).free
    if free < max(sizes) * 450:  # the file, its copy, the steered file: 110 bytes a row each
        raise SystemExit(f"{options.folder} needs {max(sizes) * 450 >> 30} GB free.")
    found = []
    for n in sizes:
        file = options.folder / f"rows-{n}.parquet"
        # in a process of its own: a child's peak memory begins with its parent's
        run(str(Path(__file__).resolve()), "--job", "make", str(file), str(n))
        found.append(measure(file, options.folder, options.mode))
    print_table(sizes, found)


if __name__ == "__main__":
    main()
