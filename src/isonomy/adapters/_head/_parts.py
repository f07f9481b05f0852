"""The parts of a model that a new task brings with it, told apart from its pretrained base."""

from __future__ import annotations

from typing import Any

from torch import nn

from isonomy.hidden_states._model._layout import unwrap

__all__ = ["TOWERS", "head_parts", "is_classifier", "tower_paths"]

TOWERS = {
    "vision": ("vision_model", "visual_projection"),
    "text": ("text_model", "text_projection"),
}
"""The two towers of CLIP, each with the map into the space that both share."""


def is_classifier(model: Any) -> bool:
    """Whether the model ends in a classification head of its own."""
    inner = unwrap(model)
    return hasattr(inner, "num_labels") or "Classification" in type(inner).__name__


def head_parts(model: Any) -> list[str]:
    """Return the names of what stands beside the base of a classification model.

    All of it is new where the checkpoint was a base model: not the last linear map alone,
    but also what some families put in front of it (DistilBERT's ``pre_classifier``,
    DeBERTa's ``pooler``). [] for a model without a classification head.
    """
    inner = unwrap(model)
    if not is_classifier(inner):
        return []
    bases = [name for name, child in inner.named_children() if _is_base(child)]
    return [
        name
        for name, child in inner.named_children()
        if name not in bases and any(True for _ in child.parameters())
    ]


def tower_paths(model: Any) -> dict[str, str]:
    """Return the path of each tower of a model of two ({} for any other)."""
    inner = unwrap(model)
    found = {name: paths[0] for name, paths in TOWERS.items() if hasattr(inner, paths[0])}
    return found if len(found) == 2 else {}


def _is_base(child: nn.Module) -> bool:
    return hasattr(child, "config") and hasattr(child, "base_model_prefix")
