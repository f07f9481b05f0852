"""Measure what `docs/how-to/many-machines.md` counts with: rates of each step of a collection.

    OMP_NUM_THREADS=1 python benchmarks/collect_cost.py [--features 4096] [--rows 4096]

One thread each, so that rates are those of one core: the model's forward pass through
`collect`, the sums of squares of `DeviceMoments`, packing and merging of moments, reading.
CPU seconds count, since the machine may be shared. Then the same steps at the size asked
for (10^8 rows by default), on this core and on GPUs, whose published peaks and assumed
utilisation are written in this file: no GPU is used here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
import torch
import transformers

from isonomy.distributed._moment_tables import Part, merge_tables, read_table, write_table
from isonomy.hidden_states import collect
from isonomy.hidden_states._collect._device_moments import DeviceMoments
from isonomy.hidden_states._collect._text_data import read_examples

GROUPS, CLASSES = 2, 28
WORDS = [f"w{i}" for i in range(1000)]


@dataclass(frozen=True)
class Gpu:
    """Published dense peaks, in FLOP/s, and the share of them assumed to be reached."""

    name: str
    bf16: float
    fp64: float
    forward_share: float = 0.4
    moments_share: float = 0.5


GPUS = (Gpu("H100 SXM", 989e12, 67e12), Gpu("A100 SXM", 312e12, 19.5e12))


def cpu_seconds(act: Callable[[], object], repeats: int = 3) -> float:
    """Return the least CPU seconds of several runs: noise only adds."""
    least = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        act()
        least = min(least, time.process_time() - start)
    return least


def forward_rate(n_tokens: int) -> float:
    """Return FLOP/s of a forward pass inside `collect`: 2 a weight and token, and attention."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(["<pad>", *WORDS])})
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>")
    d, n_blocks, n_rows = 512, 4, 64
    config = transformers.LlamaConfig(
        vocab_size=1001, hidden_size=d, intermediate_size=4 * d, num_hidden_layers=n_blocks,
        num_attention_heads=8, max_position_embeddings=2 * n_tokens,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaModel(config).eval()
    weights = sum(p.numel() for layer in model.layers for p in layer.parameters())
    text = " ".join(WORDS[:n_tokens])
    data = {"text": [text] * n_rows}
    seconds = cpu_seconds(
        lambda: collect(model, data, text="text", tokenizer=tokenizer, batch_size=16)
    )
    return n_rows * n_tokens * (2 * weights + 4 * n_blocks * n_tokens * d) / seconds


def moments_rate(n_features: int, n_rows: int) -> float:
    """Return FLOP/s of the sums of squares, counted as 2 n d^2, in batches of 512 rows."""
    sums = DeviceMoments(n_features, range(CLASSES), range(GROUPS), device="cpu")
    rows = torch.randn(512, n_features, generator=torch.Generator().manual_seed(0))
    codes = np.arange(512)
    n_batches = max(1, n_rows // 512)

    def act() -> None:
        for _ in range(n_batches):
            sums.update(rows, codes % CLASSES, codes % GROUPS)

    return 2 * 512 * n_batches * n_features**2 / cpu_seconds(act)


def merge_seconds(n_features: int) -> tuple[float, float, float]:
    """Return (bytes of one block's moments, seconds to pack them, seconds to merge two)."""
    sums = DeviceMoments(n_features, range(CLASSES), range(GROUPS), device="cpu")
    codes = np.arange(64)
    sums.update(torch.randn(64, n_features), codes % CLASSES, codes % GROUPS)
    part = Part(sums.to_cell_moments(), {"n_truncated": 0.0}, {"n_layers": 1})
    table = write_table({None: part})
    packing = cpu_seconds(lambda: write_table({None: part}))
    merging = cpu_seconds(lambda: merge_tables([table, table])) - packing
    assert read_table(table)[None].moments.n_rows.sum() == 64
    return float(table.nbytes), packing, merging


def reading_rate(n_rows: int = 100_000, n_words: int = 65) -> float:
    """Return rows/s of texts read and checked from Parquet."""
    text = " ".join(WORDS[:n_words])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        labels = [f"class {i % CLASSES}" for i in range(n_rows)]
        groups = [f"group {i % GROUPS}" for i in range(n_rows)]
        pq.write_table(pa.table({"bio": [text] * n_rows, "job": labels, "gender": groups}), path)
        rows = read_examples(path, text="bio", label="job", group="gender")
        return n_rows / cpu_seconds(lambda: sum(1 for _ in rows))


def hours(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 3600:
        return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 1e7 else f"{seconds / 3.156e7:,.0f} years"


def main() -> None:
    """Measure, then scale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=4096, help="d")
    parser.add_argument("--rows", type=int, default=4096, help="rows of the measured sums")
    parser.add_argument("--asked-rows", type=float, default=1e8, help="n")
    parser.add_argument("--tokens", type=int, default=128, help="T, mean tokens a text")
    parser.add_argument("--weights", type=float, default=6.5e9, help="P, without embeddings")
    parser.add_argument("--blocks", type=int, default=32, help="L, layers collected at most")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--rows-per-block", type=int, default=32_768)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    n, d, T = asked.asked_rows, asked.features, asked.tokens
    rates = {"forward": forward_rate(T), "moments": moments_rate(d, asked.rows)}
    size, packing, merging = merge_seconds(d)
    reading = reading_rate()
    print("| measured on one core | rate |\n|---|---:|")
    print(f"| forward pass in `collect`, float32 | {rates['forward'] / 1e9:,.1f} GFLOP/s |")
    print(f"| sums of squares, float64, d = {d} | {rates['moments'] / 1e9:,.1f} GFLOP/s |")
    print(f"| pack the moments of a block, {size / 1e6:,.0f} MB | {packing:.2f} s |")
    print(f"| merge two of them | {merging:.2f} s |")
    print(f"| read and check texts, Parquet | {reading:,.0f} rows/s |\n")

    attention = 4 * asked.blocks * T * d
    forward, squares = n * T * (2 * asked.weights + attention), 2 * n * d * d
    n_blocks = n / asked.rows_per_block
    for gpu in GPUS:
        print(
            f"{gpu.name}: peak {gpu.bf16 / 1e12:g} TFLOP/s bf16, {gpu.fp64 / 1e12:g} float64; "
            f"assumed {gpu.forward_share:.0%} and {gpu.moments_share:.0%} of it"
        )
    print(f"\nn = {n:.0e}, d = {d}, T = {T}, P = {asked.weights:.2g}, L = {asked.blocks}\n")
    print(f"forward {forward:.3g} FLOP; squares {squares:.3g} FLOP a layer")
    print(f"rows in bf16: {n * d * 2 / 1e12:.2f} TB a layer; moments {size / 1e6:,.0f} MB a layer")
    print(f"{n_blocks:,.0f} blocks send {n_blocks * size / 1e12:.2f} TB a layer in all\n")
    print("| step | one core here | " + " | ".join(f"{asked.gpus} x {g.name}" for g in GPUS) + " |")
    print("|---|---:|" + "---:|" * len(GPUS))
    steps = {
        "forward": (forward, [g.bf16 * g.forward_share for g in GPUS]),
        "squares, 1 layer": (squares, [g.fp64 * g.moments_share for g in GPUS]),
        f"squares, {asked.blocks} layers": (
            squares * asked.blocks, [g.fp64 * g.moments_share for g in GPUS]
        ),
    }  # fmt: skip
    for (step, (flop, speeds)), rate in zip(
        steps.items(), [rates["forward"], *[rates["moments"]] * 2], strict=True
    ):
        cells = [hours(flop / rate), *(hours(flop / speed / asked.gpus) for speed in speeds)]
        print(f"| {step} | {' | '.join(cells)} |")
    merged = hours(n_blocks * (packing + merging))
    print(f"| pack and merge, 1 layer | {merged} | " + " | ".join(["the CPUs'"] * len(GPUS)) + " |")
    print(f"| read | {hours(n / reading)} | " + " | ".join(["the CPUs'"] * len(GPUS)) + " |")


if __name__ == "__main__":
    main()
