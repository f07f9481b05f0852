"""Batches of toy texts and pictures whose classes differ, with padding."""

from __future__ import annotations

import torch

SIZES = (12, 9, 7, 4)
"""Rows of each class in the toy data; the last two are fewer than the mean."""


def texts(seed=0, sizes=SIZES, n_tokens=9, vocabulary=60):
    """Return rows of tokens (lists) and their labels: a class prefers some tokens."""
    generator = torch.Generator().manual_seed(seed)
    rows, labels = [], []
    for k, n in enumerate(sizes):
        for _ in range(n):
            length = int(torch.randint(3, n_tokens + 1, (1,), generator=generator))
            row = torch.randint(5, vocabulary, (length,), generator=generator)
            row[torch.rand(length, generator=generator) < 0.5] = 5 + 7 * k
            rows.append(row.tolist())
            labels.append(k)
    order = torch.randperm(len(rows), generator=generator).tolist()
    return [rows[i] for i in order], [labels[i] for i in order]


def padded(rows, pad=0):
    """Return input_ids and attention_mask of a list of rows, padded on the right."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def text_loader(size=8, **settings):
    """Return a list of batches with labels."""
    rows, labels = texts(**settings)
    return [
        {**padded(rows[i : i + size]), "labels": torch.tensor(labels[i : i + size])}
        for i in range(0, len(rows), size)
    ]


def picture_loader(size=8, seed=0, sizes=SIZES, side=16):
    """Return a list of (pixels, labels) pairs: a class has its own pattern in the noise."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn((len(sizes), 3, side, side), generator=generator)
    labels = torch.tensor([k for k, n in enumerate(sizes) for _ in range(n)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    pixels = patterns[labels] + torch.randn((len(labels), 3, side, side), generator=generator)
    return [(pixels[i : i + size], labels[i : i + size]) for i in range(0, len(labels), size)]
