"""The weights of tokens, one row and one token at a time."""

from __future__ import annotations


def literal_weights(positions, mask, n_tokens, *, past=0, prompt_length=None):
    """Return weights for the last ``n_tokens`` columns of ``mask`` (rows of 0 and 1)."""
    found = []
    for row in mask:
        start = len(row) - n_tokens
        real = [t for t in range(start, len(row)) if row[t]]
        weights = [0.0] * n_tokens
        if positions == "last" and real:
            weights[real[-1] - start] = 1.0
        if positions == "cls":
            every = [t for t in range(len(row)) if row[t]]
            if every and every[0] >= start:
                weights[every[0] - start] = 1.0
        for t in real:
            number = past + t - start
            if positions == "mean":
                weights[t - start] = 1.0 / len(real)
            if positions == "all":
                weights[t - start] = 1.0
            if positions == "prompt" and number < prompt_length:
                weights[t - start] = 1.0
            if positions == "generated" and number >= prompt_length:
                weights[t - start] = 1.0
        found.append(weights)
    return found
