"""One call loads every layout from a folder as from the hub, and `collect` takes the name."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from isonomy.errors import InvalidInputError, MissingExtraError
from isonomy.hidden_states import collect, load_model
from tiny_biographies import biographies, pictures
from tiny_models import KINDS, save_tiny, tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_tiny(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_on_disk_is_collected_by_its_name_alone(kind, folders):
    data = pictures(12) if kind == "clip_vision" else biographies(12)
    model, tokenizer = tiny(kind)
    options = {**COLUMNS, "site": "residual", "layers": "all", "batch_size": 5}
    by_name = collect(folders[kind], data, **options, device="cpu")
    in_hand = collect(model, data, **options, tokenizer=tokenizer)
    for layer in in_hand:
        np.testing.assert_array_equal(by_name[layer].means, in_hand[layer].means)
    assert by_name.model_name == str(folders[kind])


@pytest.mark.parametrize(
    ("kind", "task", "expected"),
    [
        ("llama", "auto", "LlamaForCausalLM"),
        ("llama", "causal", "LlamaForCausalLM"),
        ("llama", "encoder", "LlamaModel"),
        ("mistral", "encoder", "MistralModel"),
        ("gpt2", "auto", "GPT2LMHeadModel"),
        ("bert", "auto", "BertModel"),
        ("roberta", "encoder", "RobertaModel"),
        ("clip_text", "auto", "CLIPTextModelWithProjection"),
        ("clip_text", "clip_text", "CLIPTextModelWithProjection"),
        ("clip_text", "encoder", "CLIPTextModel"),
        ("clip_vision", "clip_vision", "CLIPVisionModelWithProjection"),
    ],
)
def test_the_configuration_and_the_task_decide_the_class(kind, task, expected, folders):
    model, reader = load_model(folders[kind], task=task, device="cpu")
    assert type(model).__name__ == expected
    assert not model.training and model.device.type == "cpu"
    assert hasattr(reader, "image_mean") == (kind == "clip_vision")


def test_a_new_classification_head_has_the_labels_asked_for(folders):
    model, _ = load_model(folders["gpt2"], task="classification", num_labels=28, device="cpu")
    assert model.score.out_features == 28


def both_towers(folder):
    text, vision = tiny("clip_text")[0], tiny("clip_vision")
    config = transformers.CLIPConfig(
        text_config=text.config.to_dict(), vision_config=vision[0].config.to_dict(),
        projection_dim=8,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    tiny("clip_text")[1].save_pretrained(folder)
    vision[1].save_pretrained(folder)
    return model


def test_one_tower_is_taken_out_of_a_checkpoint_of_two(tmp_path):
    model = both_towers(tmp_path)
    text, tokenizer = load_model(tmp_path, task="clip_text", device="cpu")
    inputs = tokenizer("a nurse", return_tensors="pt")
    with torch.no_grad():
        expected = model.text_projection(model.text_model(**inputs).pooler_output)
        torch.testing.assert_close(text(**inputs).text_embeds, expected)
    vision, processor = load_model(tmp_path, task="clip_vision", device="cpu")
    assert type(vision).__name__ == "CLIPVisionModelWithProjection"
    assert hasattr(processor, "image_mean")
    with pytest.raises(InvalidInputError, match='"clip_text" or "clip_vision" for a model of two'):
        load_model(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", torch.float64])
def test_the_dtype_is_the_one_asked_for(dtype, folders):
    model, _ = load_model(folders["llama"], dtype=dtype, device="cpu")
    assert str(model.dtype).removeprefix("torch.") == str(dtype).removeprefix("torch.")


def test_the_default_dtype_is_the_checkpoints_own(tmp_path):
    model, tokenizer = tiny("llama")
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu")[0].dtype == torch.bfloat16
    found = collect(tmp_path, biographies(12), **COLUMNS, device="cpu")
    assert found.dtype == "bfloat16"


def test_a_device_map_spreads_the_model_and_collects_the_same(folders, tmp_path):
    spread = {"transformer.wte": "cpu", "transformer.wpe": "cpu", "transformer.drop": "cpu",
              "transformer.h.0": "cpu", "transformer.h.1": "disk", "transformer.h.2": "cpu",
              "transformer.ln_f": "cpu", "lm_head": "cpu"}  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folders["gpt2"], device_map=spread, offload_folder=tmp_path
    )
    tokenizer = tiny("gpt2")[1]
    options = {**COLUMNS, "site": "residual", "layers": "all", "batch_size": 5}
    offloaded = collect(model, biographies(12), **options, tokenizer=tokenizer)
    plain = collect(folders["gpt2"], biographies(12), **options, device_map="cpu")
    for layer in plain:
        np.testing.assert_array_equal(offloaded[layer].means, plain[layer].means)
    # the weights went back to where they came from
    assert model.transformer.h[1].mlp.c_fc.weight.device.type == "meta"


@pytest.mark.parametrize("form", ["path", "bytes", "picture", "array", "undecoded"])
def test_pictures_are_read_in_every_form(form, folders, tmp_path):
    data = pictures(6)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for array, path in zip(data["bio"], paths, strict=True):
        Image.fromarray(array).save(path)
    made = {
        "path": [str(p) for p in paths],
        "bytes": [p.read_bytes() for p in paths],
        "picture": [Image.fromarray(array) for array in data["bio"]],
        "array": data["bio"],
        "undecoded": [{"bytes": p.read_bytes(), "path": p.name} for p in paths],
    }[form]
    found = collect(
        folders["clip_vision"], {**data, "bio": made}, **COLUMNS, device="cpu", rows="memory"
    )
    plain = collect(folders["clip_vision"], data, **COLUMNS, device="cpu", rows="memory")
    np.testing.assert_array_equal(found.rows()[0], plain.rows()[0])


# -- what cannot be loaded ----------------------------------------------------


def test_quantisation_without_bitsandbytes_names_it(folders, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "bitsandbytes" else real(n, *a)
    )
    with pytest.raises(MissingExtraError, match='`quantization="4bit"` .* install bitsandbytes'):
        load_model(folders["llama"], quantization="4bit")
    with pytest.raises(MissingExtraError, match="pip install bitsandbytes"):
        collect(folders["llama"], biographies(4), **COLUMNS, quantization="8bit")


@pytest.mark.parametrize(("bits", "name"), [("8bit", "load_in_8bit"), ("4bit", "load_in_4bit")])
def test_quantisation_goes_through_transformers(bits, name, folders, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *a: object())
    asked = {}

    def from_pretrained(path, **options):
        asked.update(options)
        return tiny("llama")[0]

    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", from_pretrained)
    load_model(folders["llama"], quantization=bits, dtype="float16")
    assert asked["device_map"] == "auto" and asked["dtype"] == torch.float16
    assert getattr(asked["quantization_config"], name) is True


def test_code_of_the_checkpoint_is_refused(folders, tmp_path):
    config = json.loads((folders["llama"] / "config.json").read_text())
    config |= {"model_type": "other", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise SystemExit('must not run')\n")
    with pytest.raises(InvalidInputError, match="wants code of its own to run; that is refused"):
        load_model(tmp_path)
    assert "code" not in {name.rpartition(".")[2] for name in sys.modules if "other" in name}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"task": "decoder"}, "`task` of `load_model` must be one of 'auto'"),
        ({"dtype": "int8"}, "`dtype` of `load_model` must be one of 'float16'"),
        ({"device": "gpu7"}, "`device` of `load_model` must name a device"),
        pytest.param(
            {"device": "cuda:0"},
            "one that this machine has .* got 'cuda:0'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA"),
        ),
        ({"device": "cpu", "device_map": "auto"}, "`device` .* cannot go with `device_map`"),
        ({"quantization": "2bit"}, "`quantization` of `load_model` must be one of"),
    ],
)
def test_wrong_options_are_named(options, match, folders):
    with pytest.raises(InvalidInputError, match=match):
        load_model(folders["llama"], **options)


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(InvalidInputError, match="could not be loaded: ") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="could not be loaded: there is no such folder"):
        load_model(tmp_path / "gone")


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_a_checkpoint_without_its_tokenizer_is_refused_or_takes_one(kind, tmp_path):
    # transformers makes a BERT tokenizer out of nothing, to which every word is unknown
    folder = save_tiny(kind, tmp_path / "model")
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(InvalidInputError, match="a checkpoint with its tokenizer") as caught:
        collect(folder, biographies(4), **COLUMNS, device="cpu")
    assert "\n" not in str(caught.value)
    model, tokenizer = tiny(kind)
    found = collect(folder, biographies(4), **COLUMNS, device="cpu", tokenizer=tokenizer)
    whole = collect(model, biographies(4), **COLUMNS, tokenizer=tokenizer)
    np.testing.assert_array_equal(found[None].means, whole[None].means)


def test_damaged_weights_are_one_sentence(tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InvalidInputError, match="could not be loaded: ") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
