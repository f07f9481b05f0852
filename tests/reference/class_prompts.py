"""CLIP by class names, literally: one prompt at a time, without padding or anything kept."""

from __future__ import annotations

from typing import Any

import torch


def class_prompt_logits(
    model: Any, tokenizer: Any, pixels: torch.Tensor, prompts: list[list[str]]
) -> torch.Tensor:
    """Return exp(logit_scale) u . v_k with v_k the mean over templates of unit embeddings."""
    found = torch.zeros(len(pixels), len(prompts))
    with torch.no_grad():
        for k, of_class in enumerate(prompts):
            total = torch.zeros(model.config.projection_dim)
            for prompt in of_class:
                ids = torch.tensor([tokenizer(prompt)["input_ids"]])
                one = model.text_projection(model.text_model(input_ids=ids).pooler_output)[0]
                total += one / torch.sqrt((one * one).sum())
            mean = total / len(of_class)
            mean = mean / torch.sqrt((mean * mean).sum())
            for i in range(len(pixels)):
                state = model.vision_model(pixel_values=pixels[i : i + 1]).pooler_output
                image = model.visual_projection(state)[0]
                image = image / torch.sqrt((image * image).sum())
                found[i, k] = torch.exp(model.logit_scale) * (image * mean).sum()
    return found
