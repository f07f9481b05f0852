"""Perplexity weighs tokens, not texts, and padding weighs nothing."""

from __future__ import annotations

import math

import pytest
import torch

from isonomy.adapters import perplexity
from isonomy.adapters.heads import LabelWords, lora_model
from isonomy.errors import InvalidInputError
from reference.perplexity import literal_perplexity
from tiny_models import tiny

TEXTS = [
    "She works as a nurse in a hospital and cares for children.",
    "law",
    "He studied law and is now an attorney.",
    "The surgeon treats patients every day.",
]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("side", ["left", "right"])
def test_perplexity_equals_the_sum_text_by_text(kind: str, batch_size: int, side: str) -> None:
    model, reader = tiny(kind)
    reader.padding_side = side
    found = perplexity(model, reader, TEXTS, batch_size=batch_size)
    assert found == pytest.approx(literal_perplexity(model, reader, TEXTS), rel=1e-5)


def test_long_texts_are_cut() -> None:
    model, reader = tiny("llama")
    wanted = literal_perplexity(model, reader, TEXTS, max_length=7)
    assert perplexity(model, reader, TEXTS, max_length=7) == pytest.approx(wanted, rel=1e-5)


def test_a_model_that_knows_nothing_is_as_perplexed_as_its_vocabulary_is_large() -> None:
    model, reader = tiny("llama")
    torch.nn.init.zeros_(model.lm_head.weight)
    assert perplexity(model, reader, TEXTS) == pytest.approx(model.config.vocab_size, rel=1e-5)


def test_adapters_count_and_label_words_are_read_through() -> None:
    model, reader = tiny("llama")
    before = perplexity(model, reader, TEXTS)
    adapted = lora_model(model, r=2, lora_dropout=0.5, random_state=0).train()
    assert perplexity(adapted, reader, TEXTS) == pytest.approx(before, rel=1e-6)
    assert adapted.training and model.model.layers[0].training
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(parameter, 0.3)
    after = perplexity(adapted, reader, TEXTS)
    assert after != pytest.approx(before, rel=1e-3)
    head = LabelWords(adapted, reader, ["joy", "fear"])
    assert perplexity(head, reader, TEXTS) == pytest.approx(after, rel=1e-6)


def test_wrong_input_of_perplexity_is_named() -> None:
    model, reader = tiny("gpt2")
    with pytest.raises(InvalidInputError, match="must be a causal language model, got a BertModel"):
        perplexity(*tiny("bert"), TEXTS)
    with pytest.raises(InvalidInputError, match="must be a list of texts, got a str"):
        perplexity(model, reader, "law")
    with pytest.raises(InvalidInputError, match="a text of two tokens or more, got 0 texts"):
        perplexity(model, reader, [])
    with pytest.raises(InvalidInputError, match="a text of two tokens or more, got 1 texts"):
        perplexity(model, reader, ["a"])
    with pytest.raises(InvalidInputError, match="`batch_size`"):
        perplexity(model, reader, TEXTS, batch_size=0)


def test_beyond_the_largest_float_it_is_infinite() -> None:
    model, reader = tiny("llama")
    with torch.no_grad():
        model.lm_head.weight.mul_(1e5)
    assert math.isinf(perplexity(model, reader, TEXTS))
