"""A tiny random CLIP of both towers, with a processor, made on the spot."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from tiny_models import END, PAD, START, tokenizer

_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def tiny_clip(*, seed: int = 0, **text: Any) -> tuple[Any, Any]:
    """Return a random CLIPModel in eval mode and its processor (Pillow alone)."""
    reader = tokenizer("clip_text")
    ids = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
    sizes = {"vocab_size": len(reader), "max_position_embeddings": 64}
    config = transformers.CLIPConfig(
        text_config={**_TOWER, **sizes, **ids, **text},
        vision_config={**_TOWER, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.CLIPModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    images = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    return model, transformers.CLIPProcessor(image_processor=images, tokenizer=reader)
