"""LoRA goes to Q, K, V and O of attention and nowhere else; a new head is trained and saved."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch

from isonomy.adapters.heads import check_head, lora_model
from isonomy.errors import InvalidInputError
from tiny_clip import tiny_clip
from tiny_families import some_input, tiny_family
from tiny_models import N_BLOCKS, tiny

QKVO = {
    "llama": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
    "mistral": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
    "gpt2": ["attn.c_attn", "attn.c_proj"],
    "bert": [
        "attention.self.query", "attention.self.key", "attention.self.value",
        "attention.output.dense",
    ],
    "roberta": [
        "attention.self.query", "attention.self.key", "attention.self.value",
        "attention.output.dense",
    ],
    "qwen3": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"],
    "distilbert": ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    "gpt_neox": ["attention.query_key_value", "attention.dense"],
    "opt": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"],
    "falcon": ["self_attention.query_key_value", "self_attention.dense"],
    "phi": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"],
    "phi3": ["self_attn.qkv_proj", "self_attn.o_proj"],
    "deberta_v2": [
        "attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj",
        "attention.output.dense",
    ],
}  # fmt: skip


def made(family: str) -> Any:
    return tiny(family)[0] if family in ("llama", "mistral", "gpt2", "bert", "roberta") else (
        tiny_family(family)
    )  # fmt: skip


def adapted_names(model: Any) -> list[str]:
    return sorted(
        name.removeprefix("base_model.model.")
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    )


@pytest.mark.parametrize("family", QKVO)
def test_attention_means_q_k_v_o_of_every_block_and_nothing_else(family: str) -> None:
    model = lora_model(made(family), r=2)
    found = adapted_names(model)
    n = len(found) // len(QKVO[family])
    assert n == (N_BLOCKS if family in ("llama", "mistral", "gpt2", "bert", "roberta") else 2)
    ends = {end: [name for name in found if name.endswith(f".{end}")] for end in QKVO[family]}
    assert {end: len(names) for end, names in ends.items()} == dict.fromkeys(QKVO[family], n)
    assert sorted(name for names in ends.values() for name in names) == found


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("layer", [1, [0, 2]])
def test_layer_names_the_blocks_that_are_adapted(family: str, layer: Any) -> None:
    found = adapted_names(lora_model(made(family), r=2, layer=layer))
    wanted = {layer} if isinstance(layer, int) else set(layer)
    numbers = {int(part) for name in found for part in name.split(".") if part.isdigit()}
    assert numbers == wanted
    assert len(found) == len(QKVO[family]) * len(wanted)


@pytest.mark.parametrize(
    ("tower", "starts"),
    [
        ("vision", {"vision_model"}),
        ("text", {"text_model"}),
        ("both", {"vision_model", "text_model"}),
        (None, {"vision_model", "text_model"}),
    ],
)
def test_clip_is_adapted_in_the_towers_asked_for(tower: Any, starts: set[str]) -> None:
    found = adapted_names(lora_model(tiny_clip()[0], r=2, tower=tower))
    assert {name.split(".")[0] for name in found} == starts
    assert len(found) == 2 * 4 * len(starts)
    assert {name.rsplit(".", 1)[1] for name in found} == {"q_proj", "k_proj", "v_proj", "out_proj"}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"target_modules": ["c_proj"]}, 2 * N_BLOCKS),
        ({"target_modules": r".*\.mlp\.c_proj"}, N_BLOCKS),
        ({"target_modules": ["c_proj", "c_fc"], "layer": 1}, 3),
        ({"target_modules": "all-linear"}, 4 * N_BLOCKS),
        ({"target_modules": "all-linear", "layer": [0, 1]}, 8),
        ({"target_modules": ["transformer.h.0.attn.c_attn"]}, 1),
    ],
)
def test_other_targets_mean_what_they_mean_to_peft(options: dict[str, Any], wanted: int) -> None:
    assert len(adapted_names(lora_model(tiny("gpt2")[0], r=2, **options))) == wanted


@pytest.mark.parametrize("target", ["attn.q_proj", ["c_attn", "q_proj"], ["q_proj"]])
def test_targets_that_match_nothing_list_the_candidates_with_counts(target: Any) -> None:
    model = tiny("gpt2")[0]
    with pytest.raises(
        InvalidInputError, match=r"q_proj.* matches none.*c_attn \(3\), c_fc \(3\), c_proj \(6\)"
    ):
        lora_model(model, target_modules=target)
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_a_model_without_attention_lists_the_candidates() -> None:
    with pytest.raises(InvalidInputError, match=r"'attention' matches none.*in_proj \(2\)"):
        lora_model(tiny_family("mamba"))
    with pytest.raises(InvalidInputError, match=r"matches none.*query \(1\)"):
        lora_model(tiny_family("albert"))  # its layers are shared: no list of blocks


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("llama", ["score"]),
        ("gpt2", ["score"]),
        ("bert", ["classifier"]),
        ("roberta", ["classifier"]),
        ("clip_vision", ["classifier"]),
        ("distilbert", ["pre_classifier", "classifier"]),
        ("deberta_v2", ["pooler", "classifier"]),
        ("modernbert", ["head", "classifier"]),
    ],
)
def test_every_new_part_of_a_head_is_trained_and_saved(family: str, parts: list[str]) -> None:
    known = family in ("llama", "gpt2", "bert", "roberta", "clip_vision")
    model = tiny(family, task="classification")[0] if known else tiny_family(family)
    adapted = lora_model(model, r=2)
    check_head(adapted)
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad and "lora_" not in n}
    inner = adapted.get_base_model()
    wanted = {
        f"base_model.model.{part}.modules_to_save.default.{name}"
        for part in parts
        for name, _ in inner.get_submodule(part).original_module.named_parameters()
    }
    assert trained == wanted


def test_adapted_model_answers_as_before_and_keeps_its_mode() -> None:
    for training in (True, False):
        model = tiny_family("opt").train(training)
        batch = some_input(model)
        before = model.eval()(**batch).logits
        adapted = lora_model(model.train(training))
        assert adapted.training is training
        assert torch.equal(adapted.eval()(**batch).logits, before)


def test_random_state_alone_decides_the_start() -> None:
    def start(seed: int | None) -> torch.Tensor:
        model = lora_model(tiny("llama")[0], r=2, random_state=seed)
        return next(p for n, p in model.named_parameters() if "lora_A" in n).detach()

    state = torch.random.get_rng_state()
    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(start(None), start(None))


def test_further_settings_reach_peft_and_unknown_ones_do_not_pass_in_silence() -> None:
    model = lora_model(
        tiny("bert", task="classification")[0], r=4, lora_alpha=2, lora_dropout=0.25,
        use_rslora=True, modules_to_save=["pooler"],
    )  # fmt: skip
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (4, 2, 0.25)
    assert config.use_rslora
    assert {"pooler", "classifier"} <= set(config.modules_to_save)
    with pytest.raises(InvalidInputError, match="`rank` passed to `lora_model` must be"):
        lora_model(tiny("bert")[0], rank=3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"r": 0}, "`r` of `lora_model` must be a whole number"),
        ({"lora_dropout": 1.5}, "`lora_dropout`.*must lie in"),
        ({"lora_alpha": "8"}, "`lora_alpha`.*must be a number"),
        ({"layer": 3}, "`layer` of `lora_model` must name blocks.*0 to 2, got 3"),
        ({"layer": -1}, "got -1"),
        ({"layer": []}, r"got \[\]"),
        ({"tower": "vision"}, "`tower`.*must be None for a model of one tower"),
        ({"random_state": "a"}, "`random_state`"),
        ({"init_lora_weights": "nothing"}, "PEFT says"),
    ],
)
def test_wrong_settings_of_lora_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        lora_model(tiny("llama")[0], **options)


def test_a_model_with_adapters_and_an_unknown_tower_are_refused() -> None:
    adapted = lora_model(tiny("llama")[0])
    with pytest.raises(InvalidInputError, match="must be a model without adapters"):
        lora_model(adapted)
    with pytest.raises(InvalidInputError, match="`tower` of `lora_model` must be one of"):
        lora_model(tiny_clip()[0], tower="audio")


def test_check_head_says_what_to_add() -> None:
    model = tiny("bert", task="classification")[0]
    bare = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"]))
    with pytest.raises(
        InvalidInputError,
        match=r"classifier of BertFor\w+ would be frozen. Pass `modules_to_save=\['classifier'\]`",
    ):
        check_head(bare)
    model.classifier.requires_grad_(True)
    with pytest.raises(InvalidInputError, match="trained, but not saved with the adapter"):
        check_head(bare)


def test_check_head_refuses_a_head_that_is_saved_but_frozen() -> None:
    adapted = lora_model(tiny("bert", task="classification")[0])
    check_head(adapted)
    adapted.requires_grad_(False)
    with pytest.raises(InvalidInputError, match="would be frozen. Load .* `is_trainable=True`"):
        check_head(adapted)


def test_check_head_finds_the_part_that_peft_forgets() -> None:
    """PEFT adds "classifier" and "score" for SEQ_CLS; DeBERTa's new pooler is neither."""
    config = peft.LoraConfig(target_modules=["query_proj"], task_type="SEQ_CLS")
    adapted = peft.get_peft_model(tiny_family("deberta_v2"), config)
    with pytest.raises(InvalidInputError, match="pooler of Deberta.* would be frozen"):
        check_head(adapted)


def test_check_head_passes_what_has_no_head_or_trains_all() -> None:
    check_head(lora_model(tiny("llama")[0]))
    check_head(lora_model(tiny_clip()[0]))
    full = tiny("bert", task="classification")[0]
    check_head(full)
    full.requires_grad_(False)
    with pytest.raises(InvalidInputError, match=r"Call `requires_grad_\(True\)` on classifier"):
        check_head(full)


def test_quantised_linear_maps_are_found_like_others() -> None:
    """bitsandbytes subclasses ``nn.Linear``; the search asks for sizes, not for the class."""

    class Linear4bit(torch.nn.Linear):
        pass

    model = tiny("llama")[0]
    for block in model.model.layers:
        old = block.self_attn.q_proj
        block.self_attn.q_proj = Linear4bit(old.in_features, old.out_features, bias=False)
    assert len(adapted_names(lora_model(model, r=2))) == 4 * N_BLOCKS
