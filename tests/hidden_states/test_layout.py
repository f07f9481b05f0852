"""Blocks and sites are found by configuration, in every family, and the data flow agrees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tiny_families
import tiny_models
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._layout import (
    SITES,
    Spot,
    blocks,
    find_spot,
    hidden_size,
    is_post_norm,
    n_blocks,
    unwrap,
)
from reference.steered_states import BASES, module_name

BLOCK_SITES = [site for site in SITES if site != "head_input"]

# sites that a family lacks: its attention (or MLP) reads no norm, or its MLP is many
LACKING = {
    "olmo2": {"norm_output", "mlp_norm_output"},
    "mixtral": {"mlp_output"},
    "mamba": {"norm_output", "mlp_norm_output", "attention_output", "mlp_output"},
}
WITHOUT_BLOCKS = ("t5", "albert")
WITH_BLOCKS = [name for name in tiny_families.FAMILIES if name not in WITHOUT_BLOCKS]


@pytest.mark.parametrize(("kind", "task"), BASES)
def test_every_site_of_the_seven_kinds_is_the_module_known_by_hand(kind, task):
    model, _ = tiny_models.tiny(kind, task=task)
    assert n_blocks(model) == tiny_models.N_BLOCKS
    assert hidden_size(model) == 16
    for site in SITES:
        layer = None if site == "head_input" else 1
        spot = find_spot(model, site, layer, where="attached")
        assert spot.name == module_name(kind, task, site, layer)
        assert spot.module is model.get_submodule(spot.name)
        assert spot.width == 16
        assert spot.reads == ("input" if site == "head_input" else "output")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("llama", "norm"),
        ("gpt2", "ln_f"),
        ("bert", "pooler"),
        ("roberta", "pooler"),
        ("clip_text", "final_layer_norm"),
        ("clip_vision", "post_layernorm"),
    ],
)
def test_a_model_without_a_head_is_read_behind_its_pooler_or_its_final_norm(kind, name):
    model, _ = tiny_models.tiny(kind, task="encoder")
    spot = find_spot(model, "head_input", None, where="attached")
    assert (spot.name, spot.reads) == (name, "output")


def test_a_model_without_head_pooler_and_final_norm_is_read_behind_its_last_block():
    model, _ = tiny_models.tiny("bert", task="encoder")
    model.pooler = None
    spot = find_spot(model, "head_input", None, where="attached")
    assert spot.name == f"encoder.layer.{tiny_models.N_BLOCKS - 1}"


def test_the_attention_of_the_first_block_of_a_post_norm_model_reads_the_embeddings_norm():
    model, _ = tiny_models.tiny("bert", task="classification")
    spot = find_spot(model, "norm_output", 0, where="attached")
    assert spot.name == "bert.embeddings.LayerNorm"
    assert is_post_norm(model)
    assert not is_post_norm(tiny_models.tiny("llama")[0])


def _marked(model: nn.Module, spot: Spot, modules: list[nn.Module]) -> list[bool]:
    """Say which modules are handed the very memory that the spot's module wrote."""
    kept: list[torch.Tensor] = []
    reads = [False] * len(modules)

    def reader(i):
        def hook(module, args, kwargs):
            given = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor)]
            reads[i] |= any(t.data_ptr() == m.data_ptr() for t in given for m in kept)

        return hook

    handles = [spot.hook(kept.append)]
    handles += [
        m.register_forward_pre_hook(reader(i), with_kwargs=True) for i, m in enumerate(modules)
    ]
    with torch.no_grad():
        model(**tiny_families.some_input(model))
    for handle in handles:
        handle.remove()
    assert kept, "no pass came through the spot"
    return reads


def _linears(module: nn.Module, *, under: str | None, outside: str | None) -> list[nn.Module]:
    found = []
    for name, one in module.named_modules():
        linear = isinstance(one, nn.Linear) or type(one).__name__ == "Conv1D"
        inside = under is not None and name.startswith(under)
        if linear and (inside or (outside is not None and not name.startswith(outside))):
            found.append(one)
    return found


@pytest.mark.parametrize("family", WITH_BLOCKS)
def test_what_is_found_in_a_family_is_what_flows_through_it(family):
    model = tiny_families.tiny_family(family)
    name, block = blocks(model)[1]
    lacking = LACKING.get(family, set())
    found = {}
    for site in BLOCK_SITES:
        if site in lacking:
            with pytest.raises(InvalidInputError, match=f"is its {site!r}"):
                find_spot(model, site, 1, where="attached")
        else:
            found[site] = find_spot(model, site, 1, where="attached")
    head = find_spot(model, "head_input", None, where="attached")
    assert any(_marked(model, found["residual"], [m for _, m in model.named_modules()]))
    if "attention_output" not in found:
        return
    inner = found["attention_output"].name.removeprefix(f"{name}.")
    attention = inner.rsplit(".", 2)[0] if inner.count(".") > 1 else inner.split(".", maxsplit=1)[0]
    attention = attention.removesuffix(".output")
    if "norm_output" in found:
        assert any(
            _marked(model, found["norm_output"], _linears(block, under=attention, outside=None))
        )
    if "mlp_norm_output" in found and family != "mixtral":
        assert any(
            _marked(model, found["mlp_norm_output"], _linears(block, under=None, outside=attention))
        )
    assert head.width == (8 if family == "opt_post_norm" else 16)


# others are post-norm, or norms and scales stand behind what attention and MLP write
PRE_NORM = ("opt", "gpt_neox", "gptj", "qwen3", "phi", "phi3", "falcon", "bloom", "cohere")
PRE_NORM += ("starcoder2", "modernbert", "t5_encoder", "vit", "siglip_vision")


@pytest.mark.parametrize("family", PRE_NORM)
def test_without_what_attention_and_mlp_write_a_pre_norm_block_passes_its_input_on(family):
    model = tiny_families.tiny_family(family)
    reads: list[torch.Tensor] = []
    writes: list[torch.Tensor] = []
    handles = [
        find_spot(model, "attention_output", 1, where="x").hook(torch.zeros_like),
        find_spot(model, "mlp_output", 1, where="x").hook(torch.zeros_like),
        find_spot(model, "residual", 0, where="x").hook(reads.append),
        find_spot(model, "residual", 1, where="x").hook(writes.append),
    ]
    with torch.no_grad():
        model(**tiny_families.some_input(model))
    for handle in handles:
        handle.remove()
    assert torch.equal(reads[0], writes[0])


def test_the_hook_sees_rows_and_tokens_where_the_block_flattens_them():
    model = tiny_families.tiny_family("opt")
    shapes = []
    handle = find_spot(model, "mlp_output", 1, where="x").hook(lambda t: shapes.append(t.shape))
    with torch.no_grad():
        model(**tiny_families.some_input(model))
    handle.remove()
    assert shapes == [(2, 5, 16)]


def test_a_hook_that_returns_nothing_changes_nothing_and_leaves_no_trace():
    model, reader = tiny_models.tiny("gpt2")
    batch = reader(["She codes"], return_tensors="pt")
    with torch.no_grad():
        before = model(**batch).logits
        for site in SITES:
            spot = find_spot(model, site, None if site == "head_input" else 0, where="x")
            handle = spot.hook(lambda tensor: None)
            assert torch.equal(model(**batch).logits, before)
            handle.remove()
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooks == []


def test_peft_and_compiled_wrappers_are_taken_off():
    from peft import LoraConfig, get_peft_model

    model, _ = tiny_models.tiny("llama", task="classification")
    plain = [
        find_spot(model, site, None if site == "head_input" else 1, where="x") for site in SITES
    ]
    wrapped = get_peft_model(
        torch.compile(model, backend="eager")._orig_mod,
        LoraConfig(r=2, target_modules=["q_proj", "o_proj", "down_proj"], task_type="SEQ_CLS"),
    )
    assert unwrap(wrapped) is model
    assert unwrap(torch.compile(model, backend="eager")) is model
    for spot in plain:
        found = find_spot(wrapped, spot.site, spot.layer, where="x")
        assert (found.name, found.width) == (spot.name, spot.width)


@pytest.mark.parametrize("layer", [3, -1, True, "1", 1.0, None])
def test_a_layer_that_does_not_exist_is_answered_with_those_that_do(layer):
    model, _ = tiny_models.tiny("llama")
    with pytest.raises(InvalidInputError, match=r"`layer` passed to `attached`.*0 to 2, got"):
        find_spot(model, "residual", layer, where="attached")


def test_the_head_has_no_layer():
    model, _ = tiny_models.tiny("llama")
    with pytest.raises(InvalidInputError, match='must be None where `site="head_input"`'):
        find_spot(model, "head_input", 1, where="attached")


def test_an_unknown_site_is_refused():
    model, _ = tiny_models.tiny("llama")
    with pytest.raises(InvalidInputError, match="`site` (passed to|of) `attached`"):
        find_spot(model, "middle", 1, where="attached")


def test_two_towers_ask_for_one():
    import transformers

    both = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=tiny_models.tiny("clip_text")[0].config.to_dict(),
            vision_config=tiny_models.tiny("clip_vision")[0].config.to_dict(),
        )
    )
    with pytest.raises(InvalidInputError, match=r"one stack of blocks.*`model.text_model`"):
        find_spot(both, "residual", 0, where="attached")
    assert n_blocks(both.text_model) == tiny_models.N_BLOCKS


@pytest.mark.parametrize(
    ("family", "said"), [("t5", "one stack of blocks"), ("albert", "whose layers are not shared")]
)
def test_what_has_no_single_stack_says_so(family, said):
    with pytest.raises(InvalidInputError, match=said):
        n_blocks(tiny_families.tiny_family(family))


def test_anything_but_a_module_is_refused():
    with pytest.raises(InvalidInputError, match="must be a Hugging Face model"):
        find_spot("bert", "residual", 0, where="attached")


def test_a_module_without_configuration_is_refused_with_what_was_seen():
    with pytest.raises(InvalidInputError, match="got Sequential with no lists of modules"):
        n_blocks(nn.Sequential(nn.Linear(2, 2)))
