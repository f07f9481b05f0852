"""LoRA on a model, its targets found by what they do, its classification head trained along."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import peft
from torch import nn

from isonomy._validation import check_count, check_real
from isonomy.adapters._head._parts import head_parts, is_classifier
from isonomy.adapters._head._seeding import seeded
from isonomy.adapters._head._targets import find_targets
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._fold._layers import is_transposed
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["check_head", "lora_model"]

_WHERE = "lora_model"


def lora_model(
    model: Any,
    *,
    r: int = 8,
    lora_alpha: float = 16,
    lora_dropout: float = 0.0,
    target_modules: str | Sequence[str] = "attention",
    layer: int | Sequence[int] | None = None,
    tower: Literal["vision", "text", "both"] | None = None,
    random_state: int | None = None,
    **config: Any,
) -> Any:
    """Put LoRA into a model: on Q, K, V and O of its attention, the new head trained along.

    Parameters
    ----------
    model : Module
        A Hugging Face model without adapters: a decoder, an encoder, a classifier, CLIP or
        one of its towers. It is changed in place, as PEFT does it; its weights are frozen.
    r : int
        Rank, at least 1.
    lora_alpha : float
        The update is (lora_alpha / r) B A.
    lora_dropout : float
        Share of the adapter's inputs dropped in training, in [0, 1].
    target_modules : str or sequence of str
        "attention": the linear maps Q, K, V, O of self-attention, found in every block
        (``q_proj``; GPT-2's ``attn.c_attn`` and ``attn.c_proj`` but not the ``c_proj`` of
        its MLP; BERT's ``attention.output.dense`` but not ``output.dense``; ...). Anything
        else is what PEFT takes: "all-linear", names, or a regular expression.
    layer : int or sequence of int, optional
        Only these blocks, counted from 0. Default all.
    tower : "vision", "text" or "both", optional
        For a model of two towers (CLIP): where the adapters go; default both.
    random_state : int, optional
        Seed of ``lora_A``. Default: torch's own generator.
    **config
        Further arguments of ``peft.LoraConfig``. A ``modules_to_save`` of yours is kept;
        the classification head is added to it.

    Returns
    -------
    PeftModel
        In the mode (training or evaluation) of ``model``. ``lora_B`` is zero, so its output
        in evaluation mode is the model's.

    Raises
    ------
    InvalidInputError
        If the model has adapters already, no linear map matches (the message lists what
        there is), or an argument is none of ``LoraConfig``.

    Examples
    --------
    >>> import transformers
    >>> model = transformers.GPT2LMHeadModel(
    ...     transformers.GPT2Config(vocab_size=16, n_embd=8, n_layer=2, n_head=2)
    ... )
    >>> adapted = lora_model(model, r=2, layer=1, random_state=0)
    >>> [name for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
    ['base_model.model.transformer.h.1.attn.c_attn', 'base_model.model.transformer.h.1.attn.c_proj']
    """
    if isinstance(model, peft.PeftModel):
        raise InvalidInputError(
            f"`model` passed to `{_WHERE}` must be a model without adapters, got a "
            f"{type(model).__name__}. Pass `model.get_base_model()`, or merge its adapters first."
        )
    inner = unwrap(model)
    targets = find_targets(inner, target_modules, layer, tower)
    made = _config(
        inner,
        config,
        r=check_count("r", r, where=_WHERE),
        lora_alpha=check_real("lora_alpha", lora_alpha, where=_WHERE, low=0),
        lora_dropout=check_real("lora_dropout", lora_dropout, where=_WHERE, low=0, high=1),
        target_modules=targets,
    )
    training = inner.training
    with seeded(random_state, where=_WHERE):
        try:
            adapted = peft.get_peft_model(inner, made)
        except (ValueError, TypeError) as error:  # what PEFT finds wrong with the rest
            raise InvalidInputError(
                f"`config` passed to `{_WHERE}` must suit {type(inner).__name__}, but PEFT says: "
                f"{error}"
            ) from error
    return adapted.train(training)


def check_head(peft_model: Any) -> None:
    """Raise unless the classification head of a model is trained, and saved with its adapter.

    A head that is new is random: frozen, the adapter would be trained for random outputs;
    trained but not saved, the adapter would be loaded beside another random head.

    Parameters
    ----------
    peft_model : Module
        A model for classification, with PEFT's adapters or without. A model that has no
        classification head (a causal language model, CLIP) passes.

    Raises
    ------
    InvalidInputError
        If a part of the head is frozen, or is not in ``modules_to_save`` of the active
        adapter: the message says what to add.

    Examples
    --------
    >>> import peft, transformers
    >>> sizes = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    >>> config = transformers.BertConfig(**sizes, num_attention_heads=2)
    >>> model = transformers.BertForSequenceClassification(config)
    >>> bare = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"]))
    >>> check_head(bare)
    Traceback (most recent call last):
        ...
    isonomy.errors.InvalidInputError: ... Pass `modules_to_save=['classifier']` to ...
    """
    inner = unwrap(peft_model)
    adapted = isinstance(peft_model, peft.PeftModel)
    parts = head_parts(inner)
    good = _is_trained_copy if adapted else _is_trained
    wrong = [name for name in parts if not good(inner.get_submodule(name))]
    if not wrong:
        return
    parts_of = [inner.get_submodule(name) for name in wrong]
    frozen = any(_is_copied(part) or not _is_trained(part) for part in parts_of)
    state = "frozen" if frozen else "trained, but not saved with the adapter"
    if adapted and not all(_is_copied(part) for part in parts_of):
        advice = f"Pass `modules_to_save={parts!r}` to `LoraConfig`, or use `lora_model`."
    elif adapted:
        advice = "Load the adapter with `is_trainable=True`, or call `requires_grad_(True)` on it."
    else:
        advice = f"Call `requires_grad_(True)` on {', '.join(wrong)}."
    raise InvalidInputError(
        "`peft_model` passed to `check_head` must train its classification head and save it, but "
        f"{', '.join(wrong)} of {type(inner).__name__} would be {state}. {advice}"
    )


def _config(model: nn.Module, further: dict[str, Any], **known: Any) -> Any:
    allowed = {field.name for field in dataclasses.fields(peft.LoraConfig)} - {*known}
    unknown = sorted(set(further) - allowed)
    if unknown:
        raise InvalidInputError(
            f"`{unknown[0]}` passed to `{_WHERE}` must be an argument of `peft.LoraConfig`, which "
            f"has: {', '.join(sorted(allowed))}."
        )
    asked = further.get("modules_to_save") or []
    task = further.get("task_type", _task_of(model))
    # PEFT's wrapper for this task adds these two by itself
    known_to_peft = ("classifier", "score") if task == "SEQ_CLS" else ()
    parts = [name for name in head_parts(model) if name not in known_to_peft]
    saved = [*([asked] if isinstance(asked, str) else asked), *parts]
    usual = {"task_type": task, "fan_in_fan_out": _any_transposed(model)}
    return peft.LoraConfig(
        **{**usual, **further, **known, "modules_to_save": list(dict.fromkeys(saved)) or None}
    )


def _task_of(model: nn.Module) -> str | None:
    """Return PEFT's name of the task, where its wrapper for it can call the model."""
    reads_text = getattr(model, "main_input_name", "input_ids") == "input_ids"
    if is_classifier(model):
        # its wrapper passes tokens on, and no pixels
        return "SEQ_CLS" if reads_text and "Sequence" in type(model).__name__ else None
    can: Any = getattr(model, "can_generate", None)
    encoder_decoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    return "CAUSAL_LM" if callable(can) and can() and not encoder_decoder else None


def _any_transposed(model: nn.Module) -> bool:
    return any(is_transposed(module) for module in model.modules())


def _is_trained(part: nn.Module) -> bool:
    return all(parameter.requires_grad for parameter in part.parameters())


def _is_copied(part: nn.Module) -> bool:
    return isinstance(part, peft.utils.ModulesToSaveWrapper)


def _is_trained_copy(part: nn.Module) -> bool:
    """Whether PEFT trains a copy of the part for the active adapter, and saves it with that."""
    if not isinstance(part, peft.utils.ModulesToSaveWrapper):
        return False
    copies = part.modules_to_save
    return all(name in copies and _is_trained(copies[name]) for name in part.active_adapters)
