"""An exported adapter, loaded by plain PEFT, answers as the hooked model."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file

from isonomy.distributions import AffineMap
from isonomy.errors import FoldError, InvalidInputError, OutputError
from isonomy.hidden_states._attach._steering_maps import SteeringMaps
from isonomy.hidden_states.attaching import attached
from isonomy.hidden_states.exporting import Exported, export_adapters
from isonomy.hidden_states.folding import fold
from reference.layouts import (
    answer,
    distance,
    exact_pairs,
    layer_of,
    layout,
    map_for,
)

# PEFT says that a bias without a base bias cannot be merged, and that a head is tied
pytestmark = [
    pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
]

BOUND = 1e-5
PAIRS = [
    (name, site)
    for name, site in exact_pairs()
    if name not in ("bert-classifier", "bert-masked-tied", "roberta-classifier")
    or site != "residual"  # a norm's bias, which LoRA does not reach
]


def without_offset(site: str, **options: Any) -> AffineMap:
    affine = map_for(site, **options)
    if affine.factors is not None:
        return AffineMap.low_rank(*affine.factors, np.zeros(16))
    return AffineMap(affine.matrix, np.zeros(16))


@pytest.mark.parametrize(("name", "site"), PAIRS)
def test_adapter_answers_as_the_hooked_model(name: str, site: str, tmp_path: Path) -> None:
    model, batch = layout(name)
    affine, layer = map_for(site), layer_of(site)
    with attached(model, affine, site=site, layer=layer, positions="all"):
        wanted = answer(model, batch)
    untouched = answer(model, batch)
    made = export_adapters(model, affine, tmp_path / "out", site=site, layer=layer)
    assert torch.equal(answer(model, batch), untouched)
    assert made.bias
    loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"]).eval()
    assert distance(answer(loaded, batch), wanted) < BOUND
    with loaded.disable_adapter():
        assert torch.equal(answer(loaded, batch), untouched)
    if made.merges:
        assert distance(answer(loaded.merge_and_unload(), batch), wanted) < BOUND


@pytest.mark.parametrize("name", ["llama", "llama-classifier", "gpt2-classifier", "clip-text"])
@pytest.mark.parametrize("site", ["head_input", "norm_output"])
def test_map_without_offset_needs_no_bias_and_merges(name: str, site: str, tmp_path: Path) -> None:
    model, batch = layout(name)
    affine = without_offset(site, rank=2)
    wanted = answer(fold(model, affine, site=site, layer=layer_of(site)), batch)
    made = export_adapters(model, affine, tmp_path, site=site, layer=layer_of(site))
    assert (made.bias, made.merges, made.rank) == (False, True, 2)
    tensors = load_file(made.adapters["steered"] / "adapter_model.safetensors")
    assert {key.rpartition("lora_")[2] for key in tensors} == {"A.weight", "B.weight"}
    loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"]).eval()
    assert distance(answer(loaded, batch), wanted) < BOUND
    assert distance(answer(loaded.merge_and_unload(), batch), wanted) < BOUND


def test_layer_with_a_bias_needs_one_even_without_an_offset(tmp_path: Path) -> None:
    model, batch = layout("gpt2-tied")
    affine = without_offset("mlp_output", rank=3)
    made = export_adapters(model, affine, tmp_path, site="mlp_output", layer=0)
    assert (made.bias, made.rank) == (True, 3)
    loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"]).eval()
    with_fold = fold(layout("gpt2-tied")[0], affine, site="mlp_output", layer=0)
    assert distance(answer(loaded, batch), answer(with_fold, batch)) < BOUND


def test_offset_that_no_reader_sees_needs_no_bias(tmp_path: Path) -> None:
    model, _ = layout("llama-classifier")
    weight = model.score.weight.detach().double().numpy()
    unseen = np.linalg.svd(weight)[2][-1]  # three classes: most directions are unseen
    affine = AffineMap.low_rank(np.eye(16)[:, :1], np.eye(16)[:, 1:2], unseen)
    assert not export_adapters(model, affine, tmp_path).bias


def test_one_adapter_per_group_and_set_adapter(tmp_path: Path) -> None:
    model, batch = layout("bert-classifier")
    maps = {"she/her": map_for("head_input", seed=1), "M": AffineMap.identity(16), "m": None}
    maps["m"] = map_for("head_input", rank=1)
    wanted = {group: answer(fold(model, maps, group=group), batch) for group in maps}
    made = export_adapters(model, maps, tmp_path)
    assert {group: folder.name for group, folder in made.adapters.items()} == {
        "she/her": "she_her",
        "M": "M",
        "m": "m_2",
    }
    first, *others = made.adapters.items()
    loaded = peft.PeftModel.from_pretrained(model, first[1], adapter_name=first[1].name)
    for _, folder in others:
        loaded.load_adapter(folder, adapter_name=folder.name)
    loaded.eval()
    for group, folder in made.adapters.items():
        loaded.set_adapter(folder.name)
        assert distance(answer(loaded, batch), wanted[group]) < BOUND


def test_classifier_is_a_lora_target_and_no_module_to_save(tmp_path: Path) -> None:
    for name, head in (
        ("llama-classifier", "score"),
        ("roberta-classifier", "classifier.out_proj"),
    ):
        model, _ = layout(name)
        made = export_adapters(model, map_for("head_input"), tmp_path / name)
        config = json.loads((made.adapters["steered"] / "adapter_config.json").read_text())
        assert config["target_modules"] == [head]
        assert config["modules_to_save"] is None
        assert config["task_type"] is None  # SEQ_CLS would copy the classifier and hide ours
        loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"])
        found = loaded.base_model.model.get_submodule(head)
        assert isinstance(found, peft.tuners.lora.Linear)
        assert made.rank == 3  # as many as classes, not as directions


def test_configuration_holds_nothing_foreign(tmp_path: Path) -> None:
    model, _ = layout("gpt2-tied")
    made = export_adapters(model, map_for("norm_output"), tmp_path, site="norm_output", layer=1)
    folder = made.adapters["steered"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert set(config) <= set(peft.LoraConfig(r=1).to_dict())
    assert config["lora_alpha"] == config["r"] == made.rank
    assert config["fan_in_fan_out"] is True
    assert config["task_type"] == "CAUSAL_LM"
    assert all(
        t.dtype == torch.float32 for t in load_file(folder / "adapter_model.safetensors").values()
    )


def test_record_and_card_say_what_is_needed(tmp_path: Path) -> None:
    model, _ = layout("llama-tied")
    maps = {"F": map_for("head_input", rank=2), "M": AffineMap.identity(16)}
    made = export_adapters(model, maps, tmp_path)
    record = json.loads((tmp_path / "isonomy_adapters.json").read_text())
    assert record["site"] == "head_input"
    assert record["positions"] == "all"
    assert record["adapters"]["F"]["bias"] is True
    assert record["adapters"]["M"] == {**record["adapters"]["M"], "bias": False, "rank": 1}
    assert record["target_modules"] == ["lm_head"]
    assert re.fullmatch("[0-9a-f]{64}", record["target_sha256"]["lm_head"])
    assert record["servers"]["vllm"]["serves"] is False
    assert record["merges"] is made.merges is False
    assert made.servers == ("peft",)
    assert "removed adapter biases" in made.reasons["vllm"]
    card = (tmp_path / "README.md").read_text()
    assert "| F | `F` | 2 | yes |" in card
    assert "tied to the embedding" in card
    assert "One adapter per group" in card


def test_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    model, _ = layout("llama")
    for place in ("one", "two"):
        export_adapters(
            model, map_for("norm_output"), tmp_path / place, site="norm_output", layer=1
        )
    files = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*")]
    assert len(files) >= 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_earlier_export_is_replaced_whole_and_nothing_else(tmp_path: Path) -> None:
    model, _ = layout("bert-classifier")
    maps = {"F": map_for("head_input"), "M": map_for("head_input")}
    export_adapters(model, maps, tmp_path / "out")
    export_adapters(model, map_for("head_input"), tmp_path / "out")
    assert not (tmp_path / "out" / "F").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="new or empty folder or an earlier export"):
        export_adapters(model, map_for("head_input"), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_full_disk_leaves_the_earlier_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = layout("bert-classifier")
    made = export_adapters(model, map_for("head_input"), tmp_path / "out")
    before = (made.adapters["steered"] / "adapter_model.safetensors").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_adapters(model, map_for("head_input", seed=9), tmp_path / "out")
    assert (made.adapters["steered"] / "adapter_model.safetensors").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_file_that_cannot_grow_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    model, _ = layout("bert-classifier")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            export_adapters(model, map_for("head_input"), tmp_path / "new" / "deep" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


NAMES = [
    (("a/b", ".."), ["a_b", "group"]),
    (("CON", "nul"), ["group_CON", "group_nul"]),
    (("F", "f"), ["F", "f_2"]),
    ((1, "1"), ["1", "1_2"]),
    (("x" * 300, "x" * 301), ["x" * 64, "x" * 64 + "_2"]),
    ((True, None), ["True", "None"]),
    (("f|m", "two\nlines"), ["f_m", "two_lines"]),
]


@pytest.mark.parametrize(("groups", "folders"), NAMES, ids=range(len(NAMES)))
def test_any_group_gets_a_folder_a_record_and_a_row(
    groups: tuple[Any, Any], folders: list[str], tmp_path: Path
) -> None:
    model, _ = layout("bert-classifier")
    maps = dict(zip(groups, (map_for("head_input"), map_for("head_input", seed=9)), strict=True))
    made = export_adapters(model, maps, tmp_path / "out")
    assert [made.adapters[group].name for group in groups] == folders
    assert all((folder / "adapter_config.json").is_file() for folder in made.adapters.values())
    record = json.loads((tmp_path / "out" / "isonomy_adapters.json").read_text())
    assert sorted(one["folder"] for one in record["adapters"].values()) == sorted(folders)
    card = (tmp_path / "out" / "README.md").read_text()
    for folder in folders:
        (row,) = [line for line in card.splitlines() if f"| `{folder}` |" in line]
        assert row.replace("\\|", "").count("|") == 5


def test_inferred_groups_are_refused(tmp_path: Path) -> None:
    model, _ = layout("bert-classifier")
    maps = (map_for("head_input"), AffineMap.identity(16))
    steerer = SteeringMaps(("F", "M"), maps, posterior=lambda x: x[:, :2].softmax(dim=1))
    with pytest.raises(FoldError, match="`export_adapters` must not infer the group"):
        export_adapters(model, steerer, tmp_path / "out")
    with pytest.raises(FoldError, match="`fold` must not infer the group"):
        fold(model, steerer)
    assert not (tmp_path / "out").exists()


def test_norm_of_a_post_norm_model_is_out_of_reach(tmp_path: Path) -> None:
    model, _ = layout("bert-classifier")
    with pytest.raises(FoldError, match="the norm 'bert.encoder.layer.1.output.LayerNorm'"):
        export_adapters(model, map_for("residual"), tmp_path / "out", site="residual", layer=1)


def test_layer_that_does_not_exist_is_named(tmp_path: Path) -> None:
    model, _ = layout("llama")
    with pytest.raises(InvalidInputError, match="`layer` passed to `export_adapters`.*0 to 2"):
        export_adapters(model, map_for("mlp_output"), tmp_path, site="mlp_output", layer=3)


def test_translation_is_a_bias_and_nothing_else(tmp_path: Path) -> None:
    model, _ = layout("llama")
    shift = map_for("residual")
    made = export_adapters(model, shift, tmp_path, site="residual", layer=1)
    assert isinstance(made, Exported)
    assert (made.rank, made.bias) == (1, True)
    tensors = load_file(made.adapters["steered"] / "adapter_model.safetensors")
    for key, value in tensors.items():
        assert bool(value.any()) == key.endswith("bias")
    assert {key.rpartition(".lora")[0] for key in tensors} == {
        "base_model.model.model.layers.1.mlp.down_proj"
    }


@pytest.mark.parametrize("site", ["norm_output", "mlp_output"])
def test_compiled_blocks_go_by_their_plain_names(site: str, tmp_path: Path) -> None:
    model, batch = layout("llama")
    affine = map_for(site)
    with attached(model, affine, site=site, layer=1, positions="all"):
        wanted = answer(model, batch)
    compiled, _ = layout("llama")
    for i, block in enumerate(compiled.model.layers):
        compiled.model.layers[i] = torch.compile(block, backend="eager")
    made = export_adapters(compiled, affine, tmp_path, site=site, layer=1)
    loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"]).eval()
    assert distance(answer(loaded, batch), wanted) <= BOUND
    folded = fold(compiled, affine, site=site, layer=1)
    assert distance(answer(folded, batch), wanted) <= BOUND


def test_generation_with_a_cache_is_that_of_the_folded_model(tmp_path: Path) -> None:
    model, batch = layout("mistral")
    affine = without_offset("mlp_output")
    folded = fold(model, affine, site="mlp_output", layer=1)
    made = export_adapters(model, affine, tmp_path, site="mlp_output", layer=1)
    loaded = peft.PeftModel.from_pretrained(model, made.adapters["steered"]).eval()
    settings = {"max_new_tokens": 6, "do_sample": False, "use_cache": True}
    ids = batch["input_ids"][1:]
    prompt = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    assert torch.equal(loaded.generate(**prompt, **settings), folded.generate(**prompt, **settings))
