"""A folded model answers as the hooked one, at every site of every layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from isonomy.distributions import AffineMap
from isonomy.hidden_states.attaching import attached
from isonomy.hidden_states.folding import fold
from isonomy.steering import IdealSteerer
from reference.layouts import answer, distance, exact_pairs, layer_of, layout, map_for
from tiny_models import tiny

pytestmark = pytest.mark.filterwarnings("ignore::isonomy.errors.FoldWarning")

# the bound; what is seen is a few 1e-7, the rounding of float32
BOUND = 1e-5


@pytest.mark.parametrize(("name", "site"), exact_pairs())
def test_folded_model_answers_as_the_hooked_model(name: str, site: str) -> None:
    model, batch = layout(name)
    affine, layer = map_for(site), layer_of(site)
    with attached(model, affine, site=site, layer=layer, positions="all"):
        wanted = answer(model, batch)
    untouched = answer(model, batch)
    folded = fold(model, affine, site=site, layer=layer)
    assert distance(untouched, wanted) > 1e-2  # the map can be seen
    assert distance(answer(folded, batch), wanted) < BOUND
    assert torch.equal(answer(model, batch), untouched)  # a copy was folded


@pytest.mark.parametrize("kind", ["llama", "mistral", "gpt2"])
@pytest.mark.parametrize("site", ["head_input", "norm_output", "mlp_output", "residual"])
def test_folded_model_generates_as_the_hooked_model_with_its_cache(kind: str, site: str) -> None:
    model, reader = tiny(kind, task="causal")
    prompt = reader("She works as", return_tensors="pt").input_ids
    settings = {"max_new_tokens": 6, "do_sample": False, "output_logits": True}
    settings |= {"return_dict_in_generate": True, "use_cache": True}
    affine, layer = map_for(site), layer_of(site)
    mask = torch.ones_like(prompt)
    with attached(model, affine, site=site, layer=layer, positions="all"):
        wanted = model.generate(prompt, attention_mask=mask, **settings)
    folded = fold(model, affine, site=site, layer=layer)
    got = folded.generate(prompt, attention_mask=mask, **settings)
    assert torch.equal(got.sequences, wanted.sequences)
    assert distance(torch.stack(got.logits), torch.stack(wanted.logits)) < BOUND


@pytest.mark.parametrize("rank", [1, 5, 12, 16])
def test_factored_maps_fold_as_their_dense_form(rank: int) -> None:
    model, batch = layout("gpt2-tied")
    affine = map_for("norm_output", rank=rank)
    dense = AffineMap(affine.matrix, affine.offset)
    one, other = (fold(model, m, site="norm_output", layer=1) for m in (affine, dense))
    assert distance(answer(one, batch), answer(other, batch)) < 1e-6


def test_identity_leaves_every_weight_as_it_is() -> None:
    model, _ = layout("llama-tied")
    folded = fold(model, AffineMap.identity(16))
    assert folded is not model
    assert folded.lm_head.weight is folded.model.embed_tokens.weight
    for one, other in zip(folded.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_fold_and_inverse_give_the_model_back() -> None:
    model, batch = layout("bert-classifier")
    affine = map_for("mlp_output")
    there = fold(model, affine, site="mlp_output", layer=2)
    back = fold(there, affine.inverse(), site="mlp_output", layer=2)
    assert distance(answer(there, batch), answer(model, batch)) > 1e-2
    assert distance(answer(back, batch), answer(model, batch)) < BOUND


def test_two_folds_compose_as_the_maps() -> None:
    model, batch = layout("clip-vision")
    first, second = map_for("norm_output", seed=1), map_for("norm_output", seed=2)
    # the layer that reads sees the later fold first: W (M2) (M1 x + b1) ...
    twice = fold(
        fold(model, second, site="norm_output", layer=0), first, site="norm_output", layer=0
    )
    once = fold(model, second.compose(first), site="norm_output", layer=0)
    assert distance(answer(twice, batch), answer(once, batch)) < BOUND


def test_group_chooses_the_map() -> None:
    model, batch = layout("bert-classifier")
    maps = {"F": map_for("head_input", seed=1), "M": map_for("head_input", seed=2)}
    for group, affine in maps.items():
        folded = fold(model, maps, group=group)
        assert torch.equal(answer(folded, batch), answer(fold(model, affine), batch))


def test_inplace_changes_the_model_itself_and_keeps_its_parameters() -> None:
    model, batch = layout("bert-classifier")
    weight = model.classifier.weight
    wanted = answer(fold(model, map_for("head_input")), batch)
    assert fold(model, map_for("head_input"), inplace=True) is model
    assert model.classifier.weight is weight
    assert torch.equal(answer(model, batch), wanted)


def test_training_mode_is_left_as_it_was() -> None:
    model, _ = layout("bert-classifier")
    model.train()
    model.bert.encoder.layer[1].eval()
    before = [module.training for module in model.modules()]
    folded = fold(model, map_for("residual"), site="residual", layer=0)
    assert [module.training for module in folded.modules()] == before
    assert [module.training for module in model.modules()] == before


def test_compiled_model_is_folded_inside_its_wrapper() -> None:
    model, batch = layout("bert-classifier")
    compiled = torch.compile(model, backend="eager")
    folded = fold(compiled, map_for("head_input"))
    assert distance(answer(folded, batch), answer(fold(model, map_for("head_input")), batch)) == 0


def test_bfloat16_weights_are_rounded_once() -> None:
    model, _ = layout("llama-biases")
    half = layout("llama-biases")[0].to(torch.bfloat16)
    affine = map_for("mlp_output")
    folded = fold(half, affine, site="mlp_output", layer=1)
    weight = half.model.layers[1].mlp.down_proj.weight.detach().double().numpy()
    exact = torch.tensor(affine.matrix @ weight)
    got = folded.model.layers[1].mlp.down_proj.weight
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, exact.to(torch.bfloat16))
    assert model.dtype == torch.float32


SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "one norm for both": transformers.PhiConfig(**SIZES),
    "parallel": transformers.GPTNeoXConfig(**SIZES),
    "one reader for q, k and v": transformers.Phi3Config(**SIZES, pad_token_id=0),
    "norms on both sides": transformers.Gemma2Config(**SIZES, head_dim=4, num_key_value_heads=2),
    "normed queries": transformers.Qwen3Config(**SIZES, head_dim=4, num_key_value_heads=2),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("site", ["norm_output", "mlp_norm_output", "attention_output"])
def test_other_families_are_read_off_one_forward_pass(family: str, site: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
    ids = torch.arange(10, 22).reshape(2, 6)
    affine = map_for(site)
    with attached(model, affine, site=site, layer=1, positions="all"):
        wanted = answer(model, {"input_ids": ids})
    folded = fold(model, affine, site=site, layer=1)
    assert distance(answer(folded, {"input_ids": ids}), wanted) < BOUND


def test_offset_alone_moves_only_biases() -> None:
    model, batch = layout("gpt2-tied")
    shift = AffineMap(np.eye(16), np.arange(16.0) / 10)
    with attached(model, shift, positions="all"):
        wanted = answer(model, batch)
    folded = fold(model, shift)
    assert folded.lm_head.weight is folded.transformer.wte.weight  # nothing to untie for
    assert distance(answer(folded, batch), wanted) < BOUND


@pytest.mark.parametrize("groups", ["blind", "given"])
def test_fitted_steerer_is_folded_as_it_steers_rows(groups: str) -> None:
    model, batch = layout("bert-classifier")
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, size=400), rng.choice(["F", "M"], size=400)
    rows = rng.normal(size=(400, 16)) + np.outer(y, np.eye(16)[0]) * 2
    rows += np.outer(group == "F", np.eye(16)[1]) * 2
    rank = 1 if groups == "blind" else "auto"
    steerer = IdealSteerer(groups=groups, rank=rank).fit(rows, y, sensitive_features=group)
    asked = {"sensitive_features": ["F", "F"]} if groups == "given" else {}
    with attached(model, steerer, positions="all", **asked):
        wanted = answer(model, batch)
    folded = fold(model, steerer, group="F" if groups == "given" else None)
    assert distance(answer(model, batch), wanted) > 1e-3
    assert distance(answer(folded, batch), wanted) < BOUND
