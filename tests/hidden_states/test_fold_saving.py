"""A folded model comes back from a folder as it was saved, or a warning says what is lost."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isonomy.distributions import AffineMap
from isonomy.errors import FoldWarning
from isonomy.hidden_states.folding import fold
from reference.layouts import answer, distance, layer_of, layout, map_for
from tiny_models import tiny


def reloaded(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder).eval()


SAVED = [
    ("llama", "norm_output"),  # attention_bias is switched on
    ("llama-tied", "attention_output"),
    ("llama", "mlp_norm_output"),  # mlp_bias is switched on
    ("llama", "residual"),
    ("llama-biases", "mlp_output"),
    ("gpt2-tied", "norm_output"),
    ("bert-masked-tied", "head_input"),
    ("bert-classifier", "residual"),
    ("roberta-classifier", "head_input"),
    ("clip-text", "mlp_norm_output"),
    ("clip-vision", "attention_output"),
]


@pytest.mark.parametrize(("name", "site"), SAVED)
def test_folded_model_is_saved_and_loaded(name: str, site: str, tmp_path: Path) -> None:
    model, batch = layout(name)
    folded = fold(model, map_for(site), site=site, layer=layer_of(site))
    again = reloaded(folded, tmp_path)
    assert torch.equal(answer(again, batch), answer(folded, batch))
    assert again.config.to_dict().keys() == folded.config.to_dict().keys()


@pytest.mark.parametrize("name", ["llama-tied", "gpt2-tied", "bert-masked-tied"])
@pytest.mark.parametrize("inplace", [False, True])
def test_tied_head_is_untied_and_the_embedding_stays(
    name: str, inplace: bool, tmp_path: Path
) -> None:
    model, batch = layout(name)
    before = model.get_input_embeddings().weight.detach().clone()
    directions = np.eye(16)[:, :2]
    eraser = AffineMap.low_rank(-0.5 * directions, directions, np.zeros(16))
    folded = fold(model, eraser, inplace=inplace)
    again = reloaded(folded, tmp_path)
    folded.tie_weights()  # as resizing the embedding does
    for one in (folded, again):
        head, embedding = one.get_output_embeddings().weight, one.get_input_embeddings().weight
        assert torch.equal(embedding, before)
        assert head is not embedding
        assert not torch.equal(head, embedding)
        assert one.config.tie_word_embeddings is False
    assert torch.equal(answer(again, batch), answer(folded, batch))
    assert model.config.tie_word_embeddings is not inplace


def test_biases_that_come_with_a_flag_are_zeros() -> None:
    model, batch = layout("llama")
    folded = fold(model, map_for("norm_output"), site="norm_output", layer=1)
    assert folded.config.attention_bias is True
    assert model.config.attention_bias is False
    assert torch.count_nonzero(folded.model.layers[0].self_attn.q_proj.bias) == 0
    assert torch.count_nonzero(folded.model.layers[1].self_attn.o_proj.bias) == 0
    assert torch.count_nonzero(folded.model.layers[1].self_attn.k_proj.bias) > 0
    assert folded.model.layers[0].mlp.down_proj.bias is None
    assert distance(answer(folded, batch), answer(model, batch)) > 1e-2


LOST = [
    ("llama", "head_input", r"lm_head\.bias.*LlamaForCausalLM cannot load back"),
    ("llama-classifier", "head_input", r"score\.bias.*export_adapters"),
    ("mistral", "norm_output", r"q_proj\.bias, .*k_proj\.bias, .*v_proj\.bias"),
    ("clip-text", "head_input", r"text_projection\.bias"),
]


@pytest.mark.parametrize(("name", "site", "message"), LOST)
def test_bias_that_a_class_cannot_load_warns(name: str, site: str, message: str) -> None:
    model, _ = layout(name)
    with pytest.warns(FoldWarning, match=message):
        fold(model, map_for(site), site=site, layer=layer_of(site))


def test_map_without_offset_needs_no_bias_and_no_warning(tmp_path: Path) -> None:
    model, batch = layout("mistral")
    affine = AffineMap(map_for("norm_output").matrix, [0.0] * 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folded = fold(model, affine, site="norm_output", layer=1)
    assert folded.model.layers[1].self_attn.q_proj.bias is None
    assert torch.equal(answer(reloaded(folded, tmp_path), batch), answer(folded, batch))


def test_frozen_parameters_stay_frozen() -> None:
    model, _ = tiny("llama", task="causal", tie_word_embeddings=True)
    model.requires_grad_(False)
    folded = fold(model, map_for("norm_output"), site="norm_output", layer=1)
    assert not any(parameter.requires_grad for parameter in folded.parameters())
