"""Interchange ablation: give a badly answered text what one layer adds for a well-answered one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._layer._block_run import Passed
from isonomy.adapters._layer._labelled import Labelled, membership, read_labelled
from isonomy.adapters._layer._pairs import Pairs, draw_pairs, margins
from isonomy.adapters._layer._readout import Answers

__all__ = ["Interchanged", "interchange"]


@dataclass(frozen=True)
class Interchanged:
    """The mean divergence of every layer, (L,), and the pairs over which it was taken."""

    scores: NDArray[np.float64]
    pairs: Pairs
    n_rows: int


def interchange(
    answers: Answers,
    data: Any,
    *,
    text: str,
    label: str,
    n_pairs: int,
    batch_size: int,
    random_state: int,
    progress: Callable[[int, int | None], None] | None,
) -> Interchanged:
    """Return mean KL(P_biased || P_intervened) over pairs of texts, for every layer.

    Notes
    -----
    With u_l(x) what block l writes and v_l(x) what it reads at the token from which the
    answer is read, c_l = u_l - v_l is the layer's own contribution (attention + MLP). Text b
    runs with u_l(b) replaced by v_l(b) + c_l(g), g its partner; P is the softmax over the K
    scores. Where the answer is a mean over several tokens, c_l is the mean over them.

    A batch of pairs costs one pass for each of its two sides, and for layer l the part of a
    pass behind it: together about L / 2 + 2 passes.
    """
    where = answers.run.where
    rows = list(read_labelled(data, text=text, label=label, classes=answers.classes, where=where))
    codes = [row.codes for row in rows]
    with answers.ready():
        margin = _margins(answers, rows, batch_size)
        pairs = draw_pairs(margin, codes, n_pairs, random_state=random_state, where=where)
        total = np.zeros(answers.run.n_layers)
        for start in range(0, len(pairs.biased), batch_size):
            part = slice(start, start + batch_size)
            biased = [rows[i] for i in pairs.biased[part]]
            total += _divergences(answers, biased, [rows[i] for i in pairs.well[part]])
            if progress is not None:
                progress(min(start + batch_size, len(pairs.biased)), len(pairs.biased))
    return Interchanged(total / len(pairs.biased), pairs, len(rows))


def _margins(answers: Answers, rows: Sequence[Labelled], batch_size: int) -> NDArray[np.float64]:
    margin = np.empty(len(rows))
    window = batch_size * answers.batcher.window_batches
    for first in range(0, len(rows), window):
        encoded = answers.encode(rows[first : first + window])
        order = sorted(range(len(encoded)), key=lambda i: answers.batcher.length(encoded[i]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            scores = answers.plain(answers.batch([encoded[i] for i in chosen])).numpy()
            places = [first + i for i in chosen]
            carried = membership([rows[i].codes for i in places], len(answers.classes))
            margin[places] = margins(scores, carried)
    return margin


def _divergences(
    answers: Answers, biased: Sequence[Labelled], well: Sequence[Labelled]
) -> NDArray[np.float64]:
    """Return the sum over the pairs of the divergence, for every layer."""
    theirs, _, _ = _contributions(answers, answers.batch(answers.encode(well)))
    inputs = answers.batch(answers.encode(biased))
    own, passed, read = _contributions(answers, inputs)
    before = answers.scores(passed.logits).log_softmax(dim=1)
    sums = []
    for layer, state in enumerate(passed.states):
        shift = (theirs[layer] - own[layer]).to(state.device)
        swapped = state + (read.to(state.device)[:, :, None] * shift[:, None, :]).to(state.dtype)
        logits = answers.run.on_from(inputs, layer, swapped)
        after = answers.scores(logits).log_softmax(dim=1)
        sums.append(float((before.exp() * (before - after)).sum()))
    return np.array(sums)


def _contributions(
    answers: Answers, inputs: dict[str, torch.Tensor]
) -> tuple[list[torch.Tensor], Passed, torch.Tensor]:
    """Return c_l of every layer, (batch, d) each, with the pass and the tokens read."""
    passed = answers.run.through(inputs)
    read = answers.read_tokens(inputs, passed)
    share = read / read.sum(dim=1, keepdim=True)
    pooled = [_pooled(state, share) for state in (passed.entry, *passed.states)]
    changes = [after - before.to(after.device) for before, after in pairwise(pooled)]
    return changes, passed, read


def _pooled(state: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    weights = share.to(state.device)[:, None, :]
    # what padding holds stays out, whatever it is
    return (weights @ state.float().masked_fill(weights[:, 0, :, None] == 0, 0.0))[:, 0]
