"""Embeddings of class names by CLIP's text tower, kept as long as nothing there changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from isonomy.adapters._head._modes import evaluating

__all__ = ["TextSide", "features", "unit"]

_BATCH = 256
"""Prompts that the tower reads at once."""


def unit(rows: torch.Tensor) -> torch.Tensor:
    """Divide rows by their lengths."""
    return torch.nn.functional.normalize(rows, dim=-1)


def features(output: Any) -> torch.Tensor:
    """Return the projected embeddings, which transformers wraps from version 5 on."""
    found: torch.Tensor = getattr(output, "pooler_output", output)
    return found


class TextSide:
    """The prompts of K classes in M templates, and their mean embeddings.

    Parameters
    ----------
    tokenizer : tokenizer
    prompts : sequence of K sequences of M str
    max_length : int or None
        Tokens beyond which a prompt is cut.
    """

    def __init__(
        self, tokenizer: Any, prompts: Sequence[Sequence[str]], max_length: int | None
    ) -> None:
        self.shape = (len(prompts), len(prompts[0]))
        made = tokenizer(
            [prompt for of_class in prompts for prompt in of_class],
            padding=True, padding_side="right", truncation=max_length is not None,
            max_length=max_length, return_tensors="pt",
        )  # fmt: skip
        self.ids: torch.Tensor = made["input_ids"]
        self.mask: torch.Tensor = made["attention_mask"]
        self._kept: tuple[Any, torch.Tensor] | None = None

    def forget(self) -> None:
        """Drop what is kept."""
        self._kept = None

    def embeddings(self, clip: nn.Module) -> torch.Tensor:
        """Return the mean embedding of every class, (K, width), of length 1.

        With gradient where the text side has weights to train and gradients are on.
        """
        parts = _text_parts(clip)
        weights = [weight for part in parts for weight in part.parameters()]
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            return self._mean(clip)
        state = _state(parts, weights)
        if self._kept is None or self._kept[0] != state:
            # also out of inference mode, whose tensors no later backward pass may use
            with torch.inference_mode(False), torch.no_grad(), evaluating(*parts):
                self._kept = state, self._mean(clip)
        return self._kept[1]

    def _mean(self, clip: Any) -> torch.Tensor:
        device = clip.logit_scale.device
        found = [
            features(
                clip.get_text_features(
                    input_ids=self.ids[start : start + _BATCH].to(device),
                    attention_mask=self.mask[start : start + _BATCH].to(device),
                )
            ).float()
            for start in range(0, len(self.ids), _BATCH)
        ]
        return unit(unit(torch.cat(found)).reshape(*self.shape, -1).mean(dim=1))


def _text_parts(clip: Any) -> tuple[nn.Module, ...]:
    return clip.text_model, clip.text_projection


def _state(parts: Sequence[nn.Module], weights: Sequence[torch.Tensor]) -> Any:
    """Return what changes whenever the tower would answer differently: weights and switches."""
    adapters = [
        (tuple(m.active_adapters), m.disable_adapters, tuple(m.merged_adapters), str(scaling))
        for part in parts
        for m in part.modules()
        if isinstance(m, BaseTunerLayer)
        for scaling in [getattr(m, "scaling", None)]
    ]
    return [(w.data_ptr(), w._version, w.dtype) for w in weights], adapters
