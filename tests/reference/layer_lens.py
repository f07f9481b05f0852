"""The layer profile and the interchange ablation, one text (or one pair of texts) at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

Scores = Callable[[Any, torch.Tensor], list[float]]


def written_by_blocks(model: Any, blocks: Sequence[Any], inputs: dict[str, Any]) -> list[Any]:
    """Return (what the block read, what it wrote), each (1, tokens, d), of every block."""
    seen: list[Any] = []
    handles = [
        block.register_forward_hook(
            lambda module, args, out: seen.append(
                (args[0].clone(), (out[0] if isinstance(out, tuple) else out).clone())
            )
        )
        for block in blocks
    ]
    with torch.no_grad():
        model(**inputs)
    for handle in handles:
        handle.remove()
    return seen


def profile(
    scores: Sequence[Sequence[Sequence[float]]], labels: Sequence[Sequence[int]], n_classes: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Return h_c and h_n, ``[layer][label]``, from ``scores[text][layer][label]``."""
    n_layers = len(scores[0])
    with_label = [[0.0] * n_classes for _ in range(n_layers)]
    without = [[0.0] * n_classes for _ in range(n_layers)]
    for layer in range(n_layers):
        for k in range(n_classes):
            inside = [s[layer][k] for s, own in zip(scores, labels, strict=True) if k in own]
            outside = [s[layer][k] for s, own in zip(scores, labels, strict=True) if k not in own]
            with_label[layer][k] = sum(inside) / len(inside) if inside else math.nan
            without[layer][k] = sum(outside) / len(outside) if outside else math.nan
    return with_label, without


def std(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return [p / sum(powers) for p in powers]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def interchanged(
    model: Any,
    blocks: Sequence[Any],
    biased: dict[str, Any],
    well: dict[str, Any],
    *,
    at_biased: Sequence[int],
    at_well: Sequence[int],
    answer: Callable[[Any], list[float]],
    whole: bool = False,
) -> list[float]:
    """Return KL(P_biased || P_intervened) of every layer for one pair of unpadded texts.

    ``at_biased``, ``at_well``: the tokens from which the answer is read; ``answer`` gives the
    label scores of the model's output. With ``whole`` the whole state is swapped instead of
    the layer's own contribution.
    """
    own, theirs = (written_by_blocks(model, blocks, x) for x in (biased, well))
    with torch.no_grad():
        before = softmax(answer(model(**biased)))
    found = []
    for layer, block in enumerate(blocks):
        read, wrote = theirs[layer]
        added = sum((wrote - read)[0, t] for t in at_well) / len(at_well)
        mine = sum((own[layer][1] - own[layer][0])[0, t] for t in at_biased) / len(at_biased)

        def swap(module: Any, args: Any, out: Any, wrote=wrote, added=added, mine=mine) -> Any:
            hidden = (out[0] if isinstance(out, tuple) else out).clone()
            for t in at_biased:
                if whole:
                    hidden[0, t] = wrote[0, at_well[0]]
                elif len(at_biased) == 1:
                    hidden[0, t] = args[0][0, t] + added
                else:
                    hidden[0, t] = hidden[0, t] - mine + added
            return (hidden, *out[1:]) if isinstance(out, tuple) else hidden

        with ExitStack() as stack, torch.no_grad():
            stack.callback(block.register_forward_hook(swap).remove)
            after = softmax(answer(model(**biased)))
        found.append(divergence(before, after))
    return found
