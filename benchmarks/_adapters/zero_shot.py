"""The base model's own answer: log-probabilities of the labels' words after the text."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from _adapters.cells import Cell
from _adapters.data import CellRows, Rows, held_out_texts, read_cell
from isonomy import adapters

if TYPE_CHECKING:
    from _adapters.running import Settings

__all__ = ["ROWS", "few_rows", "zero_shot"]

BATCH = 16
ROWS = 300
"""Rows of each split that are scored, as many of every class: each is run with every label."""


@lru_cache(maxsize=2)
def few_rows(cell: Cell, folder: str) -> CellRows:
    """Return the rows of a cell, the first few of every class alone."""
    rows = read_cell(cell, folder)
    most = max(1, ROWS // len(rows.classes))

    def few(part: Rows) -> Rows:
        by_class = [np.flatnonzero(part.y == k)[:most] for k in range(len(rows.classes))]
        return part.take(np.sort(np.concatenate(by_class)))

    return replace(rows, val=few(rows.val), test=few(rows.test))


def zero_shot(cell: Cell, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record and the logits of `few_rows`; nothing is trained."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from _adapters.perplexity import perplexity

    rows = few_rows(cell, settings.folder)
    causal = AutoModelForCausalLM.from_pretrained(settings.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    words = adapters.LabelWords(causal.to(settings.device), tokenizer, list(rows.classes))
    logits = {
        part: _logits(words, r.inputs, settings.device)
        for part, r in (("val", rows.val), ("test", rows.test))
    }
    total = sum(p.numel() for p in causal.parameters())
    texts = held_out_texts(settings.folder)
    found = {
        "classes": list(rows.classes), "counts": rows.counts.tolist(), "n_test": len(rows.test.y),
        "trainable": 0, "total": total, "share": 0.0, "step_seconds": None, "start_seconds": 0.0,
        "perplexity": perplexity(causal, tokenizer, texts) if texts else None,
        "device": settings.device,
    }  # fmt: skip
    return found, logits


@torch.no_grad()
def _logits(words: Any, texts: list[str], device: str) -> Any:
    order = np.argsort([len(text) for text in texts], kind="stable")
    found = None
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = words.encode([texts[i] for i in rows])
        batch = {name: value.to(device) for name, value in batch.items()}
        z = words(**batch).logits.float().cpu().numpy()
        found = np.zeros((len(texts), z.shape[1]), dtype=np.float32) if found is None else found
        found[rows] = z
    return found
