"""Where no weights can take the map exactly, nothing is changed and the message says where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from isonomy.distributions import AffineMap
from isonomy.errors import FoldError, InvalidInputError
from isonomy.hidden_states.attaching import attached
from isonomy.hidden_states.folding import fold
from reference.layouts import layout, map_for

POST = r"Exact here: 'head_input', 'attention_output', 'mlp_output', 'residual' \(a translation"


@pytest.mark.parametrize("name", ["bert-classifier", "roberta-classifier", "bert-masked-tied"])
@pytest.mark.parametrize("site", ["norm_output", "mlp_norm_output"])
def test_post_norm_models_refuse_their_norms(name: str, site: str) -> None:
    model, _ = layout(name)
    with pytest.raises(FoldError, match=rf"{site}' of block 1: .*Output \(aten.add\).*{POST}"):
        fold(model, map_for(site), site=site, layer=1)


def test_residual_takes_a_translation_only() -> None:
    model, _ = layout("llama")
    with pytest.raises(FoldError, match="must be a pure translation.*Exact here: 'head_input'"):
        fold(model, map_for("norm_output"), site="residual", layer=1)


def test_block_that_norms_what_its_mlp_writes_refuses_the_residual() -> None:
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 8, "head_dim": 4}
    config = transformers.Gemma2Config(
        **sizes, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, bos_token_id=1
    )
    model = transformers.Gemma2ForCausalLM(config)
    with pytest.raises(FoldError, match="is not a shift of the stream"):
        fold(model, map_for("residual"), site="residual", layer=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_huge_coordinate_does_not_hide_a_wrong_place(dtype: torch.dtype) -> None:
    # trained models have such coordinates: thousands of times the size of the others
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 8}
    config = transformers.GraniteConfig(
        **sizes, num_hidden_layers=2, num_attention_heads=4, residual_multiplier=0.5
    )
    model = transformers.GraniteForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 3] = 1e5
    with pytest.raises(FoldError, match="is not a shift of the stream"):
        fold(model.to(dtype), map_for("residual"), site="residual", layer=1)


def test_router_of_experts_reads_the_norm() -> None:
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 2}
    config = transformers.MixtralConfig(
        **sizes, num_attention_heads=4, num_key_value_heads=2, num_local_experts=2
    )
    model = transformers.MixtralForCausalLM(config)
    with pytest.raises(FoldError, match=r"read by 'model.layers.1.mlp.gate', a MixtralTopKRouter"):
        fold(model, map_for("mlp_norm_output"), site="mlp_norm_output", layer=1)


def test_model_without_a_head_refuses_head_input() -> None:
    model = layout("clip-text")[0].text_model
    with pytest.raises(FoldError, match="the model has no linear head that reads it"):
        fold(model, map_for("head_input"))


class Scaled(nn.Linear):
    """A layer that does not compute what is written into its weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(x)


def test_layer_with_a_forward_pass_of_its_own_is_refused() -> None:
    model, _ = layout("bert-classifier")
    model.classifier = Scaled(16, 3)
    with pytest.raises(FoldError, match="'classifier' is a Scaled, quantised or with a forward"):
        fold(model, map_for("head_input"))


def test_quantised_weight_is_refused_and_points_to_attached() -> None:
    model, _ = layout("bert-classifier")
    weight = model.classifier.weight
    weight.requires_grad_(False)
    weight.data = weight.data.to(torch.float8_e4m3fn)
    with pytest.raises(FoldError, match="weight is quantised .*float8.*`attached`"):
        fold(model, map_for("head_input"))


def test_second_reader_that_shares_its_weight_is_refused() -> None:
    model, _ = layout("llama")
    blocks = model.model.layers
    blocks[1].self_attn.q_proj.weight = blocks[0].self_attn.q_proj.weight
    with pytest.raises(FoldError, match="whose weight is also 'model.layers.1.self_attn.q_proj"):
        fold(model, map_for("norm_output"), site="norm_output", layer=0)


class Twice(nn.Module):
    """Runs what it holds a second time, on something else."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        once = self.inner(x)
        return once + self.inner(once)


def test_layer_that_runs_twice_is_refused() -> None:
    model, _ = layout("llama")
    model.model.layers[1].mlp = Twice(model.model.layers[1].mlp)
    with pytest.raises(FoldError, match="gate_proj', which runs 2 times in one forward pass"):
        fold(model, map_for("mlp_norm_output"), site="mlp_norm_output", layer=1)
    with pytest.raises(FoldError, match="down_proj' runs 2 times in one forward pass"):
        fold(model, map_for("mlp_output"), site="mlp_output", layer=1)


def test_shared_blocks_are_refused() -> None:
    model, _ = layout("llama")
    model.model.layers[1] = model.model.layers[0]
    with pytest.raises(FoldError, match="runs 2 times|whose weight is also"):
        fold(model, map_for("norm_output"), site="norm_output", layer=0)


class Peeking(nn.Module):
    """A gate that looks at what the linear layers read, without a module of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x) * x.mean().tanh()


def test_reader_that_is_no_module_is_seen() -> None:
    model, _ = layout("llama")
    model.model.layers[1].mlp = Peeking(model.model.layers[1].mlp)
    with pytest.raises(FoldError, match=r"'model.layers.1.mlp', a Peeking \(aten.mean\)"):
        fold(model, map_for("mlp_norm_output"), site="mlp_norm_output", layer=1)


def test_adapters_must_be_merged_first() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(layout("bert-classifier")[0], LoraConfig(target_modules=["query"]))
    with pytest.raises(FoldError, match=r"no adapters attached.*merge_and_unload"):
        fold(model, map_for("head_input"))


def test_adapters_that_are_no_lora_must_be_merged_too() -> None:
    from peft import IA3Config, get_peft_model

    config = IA3Config(target_modules=["query"], feedforward_modules=[])
    with pytest.raises(FoldError, match="no adapters attached"):
        fold(get_peft_model(layout("bert-classifier")[0], config), map_for("head_input"))


def test_learned_prompt_is_not_lost_in_silence() -> None:
    from peft import PromptTuningConfig, get_peft_model

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(FoldError, match="prompt learned by PEFT, which would be lost"):
        fold(get_peft_model(layout("llama")[0], config), map_for("head_input"))


def test_model_within_a_block_of_attached_is_refused() -> None:
    model, _ = layout("bert-classifier")
    affine = map_for("head_input")
    with attached(model, affine):
        with pytest.raises(FoldError, match="`fold` must have nothing attached"):
            fold(model, affine)
        assert model.classifier._forward_pre_hooks
    fold(model, affine)


class Demanding(torch.nn.Module):
    """A model that cannot run on token ids alone."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config, self.main_input_name = inner, inner.config, "input_ids"

    def forward(self, input_ids: torch.Tensor, boxes: torch.Tensor, **others: Any) -> Any:
        return self.inner(input_ids=input_ids, **others)


def test_model_that_cannot_run_on_dummy_input_says_so() -> None:
    model = Demanding(layout("llama")[0])
    with pytest.raises(FoldError, match="must run on a dummy input.*'boxes'"):
        fold(model, map_for("norm_output"), site="norm_output", layer=1)


def test_overflow_in_float16_is_refused_before_anything_changes() -> None:
    model, _ = layout("llama-tied")
    model.half()
    before = model.lm_head.weight.clone()
    with pytest.raises(FoldError, match="within the range of torch.float16"):
        fold(model, AffineMap(1e9 * np.eye(16), np.zeros(16)), inplace=True)
    assert torch.equal(model.lm_head.weight, before)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.tie_word_embeddings is True


WRONG = [
    ({"site": "head"}, "`site` .*`fold` must be one of 'head_input'"),
    ({"site": "norm_output", "layer": 7}, "`layer` passed to `fold`.*0 to 2, got 7"),
    ({"layer": 1}, "`layer` passed to `fold` must be None"),
    ({"group": "F"}, "`group` passed to `fold` must be None.*got 'F'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    model, _ = layout("llama")
    with pytest.raises(InvalidInputError, match=message):
        fold(model, map_for("norm_output"), **options)


@pytest.mark.parametrize("group", [None, "X"])
def test_one_map_per_group_needs_a_known_group(group: str | None) -> None:
    model, _ = layout("bert-classifier")
    maps = {"F": map_for("head_input"), "M": AffineMap.identity(16)}
    with pytest.raises(InvalidInputError, match="must be one of 'F', 'M'.*one model per group"):
        fold(model, maps, group=group)


def test_map_of_another_width_is_refused() -> None:
    model, _ = layout("bert-classifier")
    with pytest.raises(InvalidInputError, match="16"):
        fold(model, AffineMap.identity(8))
