"""LoRA on what one layer writes, and which share of a model's parameters is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft import LoraConfig
from torch import nn

from isonomy._validation import check_count
from isonomy.adapters._head._parts import head_parts
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._fold._layers import is_transposed
from isonomy.hidden_states._model._layout import find_spot, unwrap

__all__ = ["TrainableShare", "single_layer_lora", "trainable_share"]

_WHERE = "single_layer_lora"


@dataclass(frozen=True)
class TrainableShare:
    """How many of a model's parameters are trained.

    Parameters
    ----------
    trainable : int
        Parameters that are trained, without ``head``.
    total : int
        All parameters, adapters included; a part of which PEFT trains a copy counts once.
    share : float
        ``trainable / total``, in [0, 1].
    head : int
        Trained parameters of the copies in ``modules_to_save`` (a classification head): no
        adapters, so counted apart.
    """

    trainable: int
    total: int
    share: float
    head: int = 0

    def __str__(self) -> str:
        behind = f", and {self.head:,} of a head" if self.head else ""
        return (
            f"{self.trainable:,} of {self.total:,} parameters are trained "
            f"({100 * self.share:.3g} %){behind}."
        )


def single_layer_lora(
    model: Any, layer: int, *, r: int = 8, lora_alpha: int = 16, **config: Any
) -> LoraConfig:
    """Return a LoRA configuration for the two maps by which one layer writes.

    Parameters
    ----------
    model : Module
        A Hugging Face model; it is looked at, not changed.
    layer : int
        0-based block.
    r, lora_alpha : int
        Rank and scale, as in PEFT.
    **config
        Passed on to ``peft.LoraConfig``. ``modules_to_save`` is the classification head by
        default where the model has one; pass [] to keep it frozen.

    Returns
    -------
    peft.LoraConfig
        ``target_modules`` are the full names of the output maps of the layer's attention and
        MLP ("o_proj" and "down_proj" in Llama's layout), found by their role in any other.

    Raises
    ------
    InvalidInputError
        If the layer does not exist, the model has no such maps (the message lists what its
        block holds), or ``config`` names what this function sets.

    Examples
    --------
    >>> import transformers
    >>> config = transformers.CLIPVisionConfig(hidden_size=8, intermediate_size=8, image_size=8,
    ...     patch_size=4, num_hidden_layers=2, num_attention_heads=2)
    >>> lora = single_layer_lora(transformers.CLIPVisionModel(config), 1)
    >>> [name.split("layers.")[-1] for name in sorted(lora.target_modules)]
    ['1.mlp.fc2', '1.self_attn.out_proj']
    """
    check_count("r", r, where=_WHERE)
    check_count("lora_alpha", lora_alpha, where=_WHERE)
    own = [name for name in ("target_modules", "layers_to_transform") if name in config]
    if own:
        raise InvalidInputError(
            f"`{own[0]}` of `{_WHERE}` is set by `layer`. Leave it out, or write a "
            "`peft.LoraConfig` of your own."
        )
    spots = [find_spot(model, "attention_output", layer, where=_WHERE),
             find_spot(model, "mlp_output", layer, where=_WHERE)]  # fmt: skip
    settings = {"modules_to_save": head_parts(model) or None} | config
    # GPT-2 keeps its weights transposed; PEFT asks to be told so
    settings.setdefault("fan_in_fan_out", all(is_transposed(spot.module) for spot in spots))
    return LoraConfig(
        target_modules=[spot.name for spot in spots], r=r, lora_alpha=lora_alpha, **settings
    )


def trainable_share(model: nn.Module) -> TrainableShare:
    """Count the parameters that are trained, and all.

    Parameters
    ----------
    model : Module
        With or without adapters. Tied weights count once; weights packed into 4 bits count
        as the numbers they stand for.

    Returns
    -------
    TrainableShare

    Raises
    ------
    InvalidInputError
        If the model is no torch module or has no parameters.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(9, 1), nn.Linear(1, 5))
    >>> _ = model[0].requires_grad_(False)
    >>> trainable_share(model)
    TrainableShare(trainable=10, total=20, share=0.5, head=0)
    """
    unwrap(model)
    trainable = total = head = 0
    for name, parameter in model.named_parameters():
        n = _count(parameter)
        parts = name.split(".")
        copied = "modules_to_save" in parts
        if copied:
            head += n if parameter.requires_grad else 0
            continue  # it stands for the original, which is counted
        total += n
        trainable += n if parameter.requires_grad else 0
    if not total:
        raise InvalidInputError(
            "`model` passed to `trainable_share` must have parameters, got "
            f"{type(model).__name__} without any."
        )
    return TrainableShare(trainable, total, trainable / total, head)


def _count(parameter: Any) -> int:
    # under DeepSpeed's third stage a parameter is empty where it is not at work
    n = int(parameter.numel() or getattr(parameter, "ds_numel", 0))
    if type(parameter).__name__ != "Params4bit":
        return n
    storage = getattr(parameter, "quant_storage", None)
    return n * 2 * int(getattr(storage, "itemsize", 1))  # two numbers a byte
