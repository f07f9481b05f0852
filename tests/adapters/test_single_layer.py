"""LoRA goes to the two maps by which one layer writes, and its share is counted."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
import transformers
from torch import nn

from isonomy.adapters import TrainableShare, single_layer_lora, trainable_share
from isonomy.adapters.heads import check_head
from isonomy.errors import InvalidInputError
from tiny_models import N_BLOCKS, tiny

WRITERS = {
    ("llama", "causal"): ["model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj"],
    ("gpt2", "causal"): ["transformer.h.1.attn.c_proj", "transformer.h.1.mlp.c_proj"],
    ("bert", "classification"): [
        "bert.encoder.layer.1.attention.output.dense",
        "bert.encoder.layer.1.output.dense",
    ],
    ("clip_vision", "encoder"): [
        "encoder.layers.1.self_attn.out_proj",
        "encoder.layers.1.mlp.fc2",
    ],
}


@pytest.mark.parametrize(("kind", "task"), WRITERS)
def test_only_what_one_layer_writes_is_adapted(kind: str, task: str) -> None:
    model, _ = tiny(kind, task=task)
    total = sum(p.numel() for p in model.parameters())
    sizes = [model.get_submodule(name).weight.shape for name in WRITERS[kind, task]]
    config = single_layer_lora(model, 1, r=4)
    assert isinstance(config, peft.LoraConfig) and (config.r, config.lora_alpha) == (4, 16)
    adapted = peft.get_peft_model(model, config)
    names = [n for n, m in adapted.named_modules() if hasattr(m, "lora_A")]
    assert [n.removeprefix("base_model.model.") for n in names] == WRITERS[kind, task]
    found = trainable_share(adapted)
    assert found.trainable == sum(4 * (a + b) for a, b in sizes)
    assert found.total == total + found.trainable
    assert found.share == found.trainable / found.total
    head = [p for n, p in model.named_parameters() if n.startswith("classifier")]
    assert found.head == sum(p.numel() for p in head if p.requires_grad)
    assert (found.head > 0) == (task == "classification")
    check_head(adapted)


def test_a_model_of_seven_billion_is_trained_by_three_in_a_hundred_thousand() -> None:
    # Llama-2: o_proj 4096 x 4096 and down_proj 11008 -> 4096, r = 8:
    # 8 * (4096 + 4096) + 8 * (11008 + 4096) = 186,368 of 6,738,415,616 weights
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(vocab_size=32000, intermediate_size=11008)
        )
        adapted = peft.get_peft_model(model, single_layer_lora(model, 16))
    found = trainable_share(adapted)
    assert (found.trainable, found.total) == (186_368, 6_738_415_616 + 186_368)
    assert found.share < 0.01 and str(found).startswith("186,368 of 6,738,601,984 parameters")
    assert "(0.00277 %)." in str(found)


def test_a_head_is_counted_apart() -> None:
    model, _ = tiny("llama", task="classification")
    total = sum(p.numel() for p in model.parameters())
    adapted = peft.get_peft_model(model, single_layer_lora(model, 0, r=1))
    found = trainable_share(adapted)
    # score: 16 -> 3, no bias; o_proj 16 -> 16 and down_proj 24 -> 16
    assert found == TrainableShare(32 + 40, total + 72, 72 / (total + 72), 48)
    assert str(found).endswith(", and 48 of a head.")
    frozen = single_layer_lora(tiny("llama", task="classification")[0], 0, modules_to_save=[])
    assert frozen.modules_to_save == []


def test_tied_weights_count_once_and_full_training_is_all() -> None:
    model, _ = tiny("llama", tie_word_embeddings=True)
    distinct = {id(p): p.numel() for p in model.parameters()}
    assert trainable_share(model) == TrainableShare(
        sum(distinct.values()), sum(distinct.values()), 1.0, 0
    )


def test_numbers_packed_into_four_bits_are_counted_by_what_they_stand_for() -> None:
    class Params4bit(nn.Parameter):
        quant_storage = torch.uint8

    made = nn.Module()
    made.weight = Params4bit(torch.zeros(6, dtype=torch.uint8), requires_grad=False)
    made.bias = nn.Parameter(torch.zeros(3))
    assert trainable_share(made) == TrainableShare(3, 15, 0.2)


def test_settings_are_passed_on_and_what_is_wrong_is_named() -> None:
    model, _ = tiny("llama")
    config = single_layer_lora(model, 2, r=2, lora_alpha=3, lora_dropout=0.1, use_rslora=True)
    assert (config.lora_alpha, config.lora_dropout, config.use_rslora) == (3, 0.1, True)
    for layer in (N_BLOCKS, -1, None, 1.5, True):
        with pytest.raises(InvalidInputError, match="`layer` passed to `single_layer_lora` must"):
            single_layer_lora(model, layer)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="`r` of `single_layer_lora` must be a whole"):
        single_layer_lora(model, 0, r=0)
    for name in ("target_modules", "layers_to_transform"):
        with pytest.raises(InvalidInputError, match=f"`{name}` of `single_layer_lora` is set by"):
            single_layer_lora(model, 0, **{name: ["q_proj"]})


def test_models_without_layers_or_parameters_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="must hold a list of as many blocks"):
        single_layer_lora(nn.Linear(2, 2), 0)
    wrong: Any = "no model"
    with pytest.raises(InvalidInputError, match="must be a Hugging Face model"):
        trainable_share(wrong)
    with pytest.raises(InvalidInputError, match="`model` passed to `trainable_share` must have"):
        trainable_share(nn.Module())
