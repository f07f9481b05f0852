"""What the tests of folding and exporting share: models, batches, maps and a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isonomy.distributions import AffineMap
from tiny_models import N_TOKENS, tiny

TEXTS = ("She works as a nurse.", "He is a software engineer who writes code for robots.")

LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "causal", {}),
    "llama-tied": ("llama", "causal", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", "causal", {"attention_bias": True, "mlp_bias": True}),
    "llama-classifier": ("llama", "classification", {}),
    "mistral": ("mistral", "causal", {}),
    "gpt2-tied": ("gpt2", "causal", {}),
    "gpt2-classifier": ("gpt2", "classification", {}),
    "bert-classifier": ("bert", "classification", {}),
    "bert-masked-tied": ("bert", "masked", {}),
    "roberta-classifier": ("roberta", "classification", {}),
    "clip-text": ("clip_text", "clip_text", {}),
    "clip-vision": ("clip_vision", "clip_vision", {}),
}

PRE_NORM = ("norm_output", "mlp_norm_output")
SITES = ("head_input", *PRE_NORM, "attention_output", "mlp_output", "residual")
POST_NORM_LAYOUTS = ("bert-classifier", "bert-masked-tied", "roberta-classifier")


def exact_pairs() -> list[tuple[str, str]]:
    """Return every (layout, site) at which a fold must be exact."""
    return [
        (layout, site)
        for layout in LAYOUTS
        for site in SITES
        if not (layout in POST_NORM_LAYOUTS and site in PRE_NORM)
    ]


def layout(name: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a tiny model of the layout and a batch for it, padded where it is text."""
    kind, task, changes = LAYOUTS[name]
    model, reader = tiny(kind, task=task, **changes)
    if kind == "clip_vision":
        pictures = np.random.default_rng(5).normal(size=(2, 3, 16, 16))
        return model, {"pixel_values": torch.tensor(pictures, dtype=torch.float32)}
    batch = reader(list(TEXTS), return_tensors="pt", padding=True)
    return model, {key: batch[key][:, :N_TOKENS] for key in ("input_ids", "attention_mask")}


def layer_of(site: str) -> int | None:
    """Return the block at which the tests steer."""
    return None if site == "head_input" else 1


def map_for(site: str, *, d: int = 16, rank: int | None = None, seed: int = 3) -> AffineMap:
    """Return a map far from the identity: dense, of low rank, or a translation at "residual"."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(size=d)
    if site == "residual":
        return AffineMap(np.eye(d), offset)
    if rank is None:
        return AffineMap(np.eye(d) + 0.4 * rng.normal(size=(d, d)), offset)
    left, right = rng.normal(size=(2, d, rank)) / np.sqrt(d)
    return AffineMap.low_rank(left, right, offset)


def answer(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the model's logits or embeddings at the real tokens."""
    with torch.no_grad():
        output = model(**batch)
    found = output[0] if not hasattr(output, "logits") else output.logits
    if found.ndim == 3 and "attention_mask" in batch:
        return torch.as_tensor(found[batch["attention_mask"].bool()])
    return torch.as_tensor(found)


def distance(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the largest difference, in units of the largest number of ``wanted``."""
    return float((got - wanted).abs().max() / wanted.abs().max())
