"""Fine-tune language models and CLIP so that rare classes are served like common ones.

Needs the extra ``llm``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isonomy.errors import MissingExtraError

if TYPE_CHECKING:
    from isonomy.adapters.arguments import BiasAwareArguments
    from isonomy.adapters.choosing import LayerChoice, choose_layer
    from isonomy.adapters.finetuning import FineTuned, finetune
    from isonomy.adapters.finishing import FinishReport, class_means_finish
    from isonomy.adapters.heads import (
        ClassNamePrompts,
        LabelWords,
        check_head,
        classes_of,
        classification_model,
        load_classifier,
        load_clip,
        lora_model,
        save_classifier,
    )
    from isonomy.adapters.held_out_text import perplexity
    from isonomy.adapters.hub import load_image_set
    from isonomy.adapters.images import ImageData
    from isonomy.adapters.losses import make_objective
    from isonomy.adapters.profiling import LayerProfile, layer_profile
    from isonomy.adapters.single_layer import TrainableShare, single_layer_lora, trainable_share
    from isonomy.adapters.starting import StartReport, bias_aware_start
    from isonomy.adapters.trainer import BiasAwareTrainer

_HOME = {
    "BiasAwareArguments": "arguments",
    "BiasAwareTrainer": "trainer",
    "ClassNamePrompts": "heads",
    "FineTuned": "finetuning",
    "FinishReport": "finishing",
    "ImageData": "images",
    "LabelWords": "heads",
    "LayerChoice": "choosing",
    "LayerProfile": "profiling",
    "StartReport": "starting",
    "TrainableShare": "single_layer",
    "bias_aware_start": "starting",
    "check_head": "heads",
    "choose_layer": "choosing",
    "class_means_finish": "finishing",
    "classes_of": "heads",
    "classification_model": "heads",
    "finetune": "finetuning",
    "layer_profile": "profiling",
    "load_classifier": "heads",
    "load_clip": "heads",
    "load_image_set": "hub",
    "lora_model": "heads",
    "make_objective": "losses",
    "perplexity": "held_out_text",
    "save_classifier": "heads",
    "single_layer_lora": "single_layer",
    "trainable_share": "single_layer",
}

__all__ = [
    "BiasAwareArguments",
    "BiasAwareTrainer",
    "ClassNamePrompts",
    "FineTuned",
    "FinishReport",
    "ImageData",
    "LabelWords",
    "LayerChoice",
    "LayerProfile",
    "StartReport",
    "TrainableShare",
    "bias_aware_start",
    "check_head",
    "choose_layer",
    "class_means_finish",
    "classes_of",
    "classification_model",
    "finetune",
    "layer_profile",
    "load_classifier",
    "load_clip",
    "load_image_set",
    "lora_model",
    "make_objective",
    "perplexity",
    "save_classifier",
    "single_layer_lora",
    "trainable_share",
]

_EXTRA = frozenset({"torch", "transformers", "peft", "accelerate", "datasets"})


def __getattr__(name: str) -> Any:
    # lazily: the package may be imported, and its names listed, without the extra
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtraError(
            f"`isonomy.adapters.{name}` needs the extra 'llm'. Install it with: "
            "pip install 'isonomy[llm]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
