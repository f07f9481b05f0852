"""Models that answer with a class, and LoRA on them: heads, label words, class-name prompts."""

from __future__ import annotations

from isonomy.adapters._head._class_prompts import ClassNamePrompts
from isonomy.adapters._head._clip_loading import load_clip
from isonomy.adapters._head._label_tokens import LabelTokens
from isonomy.adapters._head._label_words import LabelWords
from isonomy.adapters._head._lora import check_head, lora_model
from isonomy.adapters._head._reading import load_classifier
from isonomy.adapters._head._saving import save_classifier
from isonomy.adapters._head._sequence import classes_of, classification_model

__all__ = [
    "ClassNamePrompts",
    "LabelTokens",
    "LabelWords",
    "check_head",
    "classes_of",
    "classification_model",
    "load_classifier",
    "load_clip",
    "lora_model",
    "save_classifier",
]
