"""What attached steering costs: generation and classification at d = 2048, batch 16.

    python benchmarks/attach_overhead.py --layers 4 --rounds 15 --threads 2

Prints Markdown: for each steerer the ratio of seconds attached to seconds untouched, with
an interval, beside the count of floating-point operations (FLOPs). One layer is steered;
the ratio therefore depends on how many layers there are, and the counts per layer say what
it is for a deeper model.
"""

from __future__ import annotations

import argparse
import functools
import gc
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from _speed.machine import describe_machine
from _speed.timing import Timing
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from isonomy.distributions import AffineMap
from isonomy.hidden_states import attached
from isonomy.hidden_states._attach._moves import move_flops
from isonomy.hidden_states._attach._steering_maps import as_steering_maps

D, FEED_FORWARD, HEADS, VOCABULARY, N_CLASSES = 2048, 5632, 16, 4096, 28
BATCH, N_TOKENS, PROMPT, NEW = 16, 16, 8, 8
DEEP = 22
"""Layers of the public model whose widths these are."""


def steerers(seed: int = 0) -> dict[str, Any]:
    """Return what a user would attach: blind, one map a group of low rank, and dense ones."""
    rng = np.random.default_rng(seed)

    def low(rank: int) -> AffineMap:
        basis = np.linalg.qr(rng.normal(size=(D, rank)))[0]
        return AffineMap.low_rank(-0.1 * basis, basis, 0.01 * rng.normal(size=D))

    def dense() -> AffineMap:
        return AffineMap(np.eye(D) + 0.001 * rng.normal(size=(D, D)), 0.01 * rng.normal(size=D))

    return {
        "blind, rank 10": low(10),
        "2 groups, rank 27": {"a": low(27), "b": low(27)},
        "2 groups, dense": {"a": dense(), "b": dense()},
    }


def layer_flops(context: int) -> int:
    """Return the FLOPs of one layer for one token that attends to ``context`` tokens.

    2 (4 d^2 + 3 d f) for the linear maps (f: width of the MLP) and 4 d context for scores
    and their mean; norms, rotations and the softmax are left out.
    """
    return 2 * (4 * D * D + 3 * D * FEED_FORWARD) + 4 * D * context


def model_of(kind: type[Any], layers: int) -> Any:
    """Return a random model in the Llama layout."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=D,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_labels=N_CLASSES,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    return kind(config).eval()


def batch_of(n_tokens: int) -> dict[str, torch.Tensor]:
    """Return a batch padded on the left by 0 to 3 tokens."""
    ids = torch.randint(
        1, VOCABULARY, (BATCH, n_tokens), generator=torch.Generator().manual_seed(0)
    )
    mask = torch.ones_like(ids)
    for row in range(BATCH):
        mask[row, : row % 4] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def measured(
    run: Callable[[], Any], model: Any, site: str, layer: int | None, positions: Any, rounds: int
) -> dict[str, Timing]:
    """Return the timings of ``run`` untouched and under every steerer, side by side."""
    blocks = {"untouched": nullcontext} | {
        name: functools.partial(_attached, model, steerer, site, layer, positions)
        for name, steerer in steerers().items()
    }
    found = {name: Timing() for name in blocks}
    for turn in range(rounds + 1):
        for name, block in blocks.items():
            with block(), torch.no_grad():
                # within the block: who attaches once runs many batches
                gc.collect()
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn > 0:  # the first round warms up
                found[name].cpu_runs.append(cpu)
                found[name].wall_runs.append(wall)
            print(f"round {turn}/{rounds}  {name}: {cpu:.3f} CPU s", file=sys.stderr, flush=True)
    return found


def _attached(model: Any, steerer: Any, site: str, layer: int | None, positions: Any) -> Any:
    groups = ["a", "b"] * (BATCH // 2) if isinstance(steerer, dict) else None
    return attached(
        model, steerer, layer=layer, site=site, positions=positions, sensitive_features=groups
    )


def ratio(timing: Timing, untouched: Timing, which: str) -> tuple[float, float, float]:
    """Return the median of the rounds' ratios and its 95% interval by the bootstrap."""
    rounds = np.array(getattr(timing, which)) / np.array(getattr(untouched, which))
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(rounds, size=(10_000, len(rounds))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(rounds)), float(low), float(high)


def table(found: dict[str, Timing], flops: Callable[[int, Any], float], layers: int) -> list[str]:
    """Return one Markdown row a steerer."""
    rows = []
    for name, steerer in steerers().items():
        one = move_flops(as_steering_maps(steerer, d=D, where="benchmark"))
        cells = [
            "{:.3f} [{:.3f}, {:.3f}]".format(*ratio(found[name], found["untouched"], which))
            for which in ("cpu_runs", "wall_runs")
        ]
        rows.append(
            f"| {name} | {cells[0]} | {cells[1]} | {one:,} | {1 + flops(layers, one):.5f} | "
            f"{1 + flops(DEEP, one):.5f} |"
        )
    return rows


HEADER = (
    "| steerer | ratio of CPU seconds | ratio of wall seconds | FLOPs of the map, a state | "
    "ratio of FLOPs, {layers} layers | {deep} layers |\n|---|---|---|---|---|---|"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    header = HEADER.format(layers=given.layers, deep=DEEP)
    middle = given.layers // 2

    def generated(layers: int, one: float) -> float:
        tokens = PROMPT + NEW - 1
        whole = layers * layer_flops(tokens // 2) * tokens + 2 * D * VOCABULARY * NEW
        return one * NEW / whole  # the prompt's last token, then every new one that goes in

    def classified(layers: int, one: float) -> float:
        return one / (layers * layer_flops(N_TOKENS // 2) * N_TOKENS)

    print("### What attached steering costs\n")
    model = model_of(LlamaForCausalLM, given.layers)
    batch = batch_of(PROMPT)
    fixed = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW}
    found = measured(
        lambda: model.generate(**batch, **fixed), model, "residual", middle, "last", given.rounds
    )
    print(f"Generation, {PROMPT} + {NEW} tokens, the last token steered at layer {middle}:\n")
    print("\n".join([header, *table(found, generated, given.layers)]))
    print(f"\nUntouched: {found['untouched'].wall:.2f} s a batch (median).\n")
    model = model_of(LlamaForSequenceClassification, given.layers)
    batch = batch_of(N_TOKENS)
    found = measured(lambda: model(**batch), model, "head_input", None, "last", given.rounds)
    print(f"Classification, {N_TOKENS} tokens, steered at the head's input:\n")
    print("\n".join([header, *table(found, classified, given.layers)]))
    print(f"\nUntouched: {found['untouched'].wall:.2f} s a batch (median).\n")
    print(
        f"d = {D}, MLP {FEED_FORWARD}, batch {BATCH}, {given.layers} layers, float32; a layer "
        f"costs 2 (4 d^2 + 3 d f) = {layer_flops(0):,} FLOPs a token and 4 d = {4 * D:,} for each "
        f"token attended to. A map costs 4 d r + d at rank r and 2 d^2 + d dense, ranks added up "
        f"over groups. {given.rounds} rounds, each run once a round in turn; the figure is the "
        f"median of the rounds' ratios with its 95% bootstrap interval.\n"
    )
    print(describe_machine(given.threads))


if __name__ == "__main__":
    main()
