"""What is saved loads with PEFT alone, and with ``load_classifier``, to bit-equal logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from isonomy.adapters.heads import (
    ClassNamePrompts,
    LabelWords,
    check_head,
    classes_of,
    classification_model,
    load_classifier,
    load_clip,
    lora_model,
    save_classifier,
)
from isonomy.errors import (
    ArtefactVersionError,
    CorruptArtefactError,
    InvalidInputError,
    OutputError,
    PaddingTokenWarning,
)
from tiny_clip import tiny_clip
from tiny_families import some_input, tiny_family
from tiny_models import save_tiny, tiny, tokenizer

CLASSES = ["joy", "fear", "sadness"]
TEXTS = ["She works as a nurse.", "He studied law and is now an attorney."]
HEADS = ["llama", "gpt2", "bert", "roberta"]
DTYPES = [torch.float32, torch.bfloat16]


def train(model: Any, batch: dict[str, Any], steps: int = 3) -> None:
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch, labels=torch.tensor([0, 2])).loss.backward()
        optimizer.step()
    model.eval()


def changed(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Train, make sure that it did something, and return the logits."""
    with torch.no_grad():
        before = model.eval()(**batch).logits
    train(model, batch)
    with torch.no_grad():
        after = model(**batch).logits
    assert not torch.allclose(before.float(), after.float(), atol=1e-2)
    return after


def logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch).logits


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", HEADS)
def test_trained_classifier_loads_with_plain_peft_bit_equal(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    base = tiny(kind, task="classification")[0].to(dtype)
    model, reader = classification_model(base, classes=CLASSES, tokenizer=tokenizer(kind))
    adapted = lora_model(model, r=2, random_state=0)
    batch = dict(reader(TEXTS, padding=True, return_tensors="pt"))
    wanted = changed(adapted, batch)
    save_classifier(adapted, tmp_path, tokenizer=reader)
    fresh = tiny(kind, task="classification")[0].to(dtype)
    fresh.config.pad_token_id = reader.pad_token_id
    assert torch.equal(logits(peft.PeftModel.from_pretrained(fresh, tmp_path), batch), wanted)


@pytest.mark.parametrize("family", ["distilbert", "deberta_v2", "modernbert", "electra"])
def test_every_part_of_a_head_is_saved(family: str, tmp_path: Path) -> None:
    model = tiny_family(family)
    adapted = lora_model(model, r=2)
    batch = some_input(model)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    adapted(**batch, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    wanted = logits(adapted, batch)
    adapted.save_pretrained(tmp_path)
    again = tiny_family(family)
    with torch.no_grad():  # as from a base checkpoint: the head is another random one
        for name, parameter in again.named_parameters():
            if name.split(".")[0] in ("classifier", "pre_classifier", "pooler", "head"):
                parameter.add_(1.0)
    assert torch.equal(logits(peft.PeftModel.from_pretrained(again, tmp_path), batch), wanted)


@pytest.mark.parametrize("kind", HEADS)
def test_classifier_of_a_base_checkpoint_comes_back_whole(kind: str, tmp_path: Path) -> None:
    base = save_tiny(kind, tmp_path / "base", task="encoder")
    model, reader = classification_model(base, classes=CLASSES, device="cpu", random_state=0)
    adapted = lora_model(model, r=2, random_state=0)
    check_head(adapted)
    batch = dict(reader(TEXTS, padding=True, return_tensors="pt"))
    wanted = changed(adapted, batch)
    save_classifier(adapted, tmp_path / "out", tokenizer=reader)
    loaded, own = load_classifier(tmp_path / "out", device="cpu")
    assert torch.equal(logits(loaded, batch), wanted)
    assert not loaded.training
    assert classes_of(loaded) == tuple(CLASSES)
    assert own(TEXTS)["input_ids"] == reader(TEXTS)["input_ids"]


def test_fully_trained_classifier_is_saved_whole(tmp_path: Path) -> None:
    base = save_tiny("bert", tmp_path / "base")
    model, reader = classification_model(base, classes=CLASSES, device="cpu")
    batch = dict(reader(TEXTS, padding=True, return_tensors="pt"))
    wanted = changed(model, batch)
    save_classifier(model, tmp_path / "out", tokenizer=reader)
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    loaded, _ = load_classifier(tmp_path / "out", device="cpu")
    assert torch.equal(logits(loaded, batch), wanted)
    assert loaded.config.id2label == dict(enumerate(CLASSES))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_label_words_come_back_with_their_settings(dtype: str, tmp_path: Path) -> None:
    base = save_tiny("llama", tmp_path / "base")
    made = getattr(torch, dtype)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=made)
    options = {"template": "{text} is {label}.", "length_normalised": True, "max_length": 40}
    head = LabelWords(
        lora_model(model, r=2, random_state=0), tokenizer("llama"), CLASSES, **options
    )
    batch = head.encode(TEXTS)
    wanted = changed(head, batch)
    head.save_pretrained(tmp_path / "out")
    loaded, _ = load_classifier(tmp_path / "out", device="cpu")
    assert isinstance(loaded, LabelWords)
    assert (loaded.classes, loaded.settings) == (head.classes, head.settings)
    assert torch.equal(logits(loaded, loaded.encode(TEXTS)), wanted)
    plain = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=made), tmp_path / "out"
    )
    again = LabelWords(plain, tokenizer("llama"), CLASSES, **options)
    assert torch.equal(logits(again, batch), wanted)


@pytest.mark.parametrize("tower", ["vision", "text", "both"])
def test_class_name_prompts_come_back_with_their_settings(tower: Any, tmp_path: Path) -> None:
    model, processor = tiny_clip()
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    model, processor = load_clip(tmp_path / "base", device="cpu")
    adapted = lora_model(model, r=2, tower=tower, random_state=0)
    head = ClassNamePrompts(adapted, processor, CLASSES, template=["a {label}.", "the {label}"])
    batch = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    wanted = changed(head, batch)
    head.save_pretrained(tmp_path / "out")
    loaded, own = load_classifier(tmp_path / "out", device="cpu")
    assert isinstance(loaded, ClassNamePrompts)
    assert (loaded.classes, loaded.settings) == (head.classes, head.settings)
    assert torch.equal(logits(loaded, batch), wanted)
    plain = peft.PeftModel.from_pretrained(tiny_clip()[0], tmp_path / "out")
    again = ClassNamePrompts(plain, own, CLASSES, template=["a {label}.", "the {label}"])
    assert torch.equal(logits(again, batch), wanted)


def test_adapter_of_a_model_in_memory_needs_that_model(tmp_path: Path) -> None:
    head = LabelWords(lora_model(tiny("gpt2")[0], r=2), tokenizer("gpt2"), CLASSES)
    wanted = changed(head, head.encode(TEXTS))
    head.save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match="`model` of `load_classifier` must be passed"):
        load_classifier(tmp_path)
    loaded, _ = load_classifier(tmp_path, model=tiny("gpt2")[0])
    assert torch.equal(logits(loaded, loaded.encode(TEXTS)), wanted)


def test_loaded_adapter_can_be_trained_further_if_asked(tmp_path: Path) -> None:
    head = LabelWords(lora_model(tiny("gpt2")[0], r=2), tokenizer("gpt2"), CLASSES)
    head.save_pretrained(tmp_path)
    for wanted in (True, False):
        loaded, _ = load_classifier(tmp_path, model=tiny("gpt2")[0], is_trainable=wanted)
        assert any(p.requires_grad for p in loaded.parameters()) is wanted


def test_side_file_holds_classes_and_pefts_own_file_is_pefts(tmp_path: Path) -> None:
    head = LabelWords(lora_model(tiny("gpt2")[0], r=2), tokenizer("gpt2"), ["Ärger", "joy"])
    head.save_pretrained(tmp_path)
    header = json.loads((tmp_path / "isonomy_head.json").read_text(encoding="utf-8"))
    assert (header["kind"], header["classes"]) == ("label_words", ["Ärger", "joy"])
    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    assert not any("isonomy" in key for key in config)


def test_half_written_folder_leaves_the_earlier_one_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = LabelWords(lora_model(tiny("gpt2")[0], r=2), tokenizer("gpt2"), CLASSES)
    head.save_pretrained(tmp_path / "out")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    train(head, head.encode(TEXTS))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(head.reader, "save_pretrained", full)
    with pytest.raises(OutputError, match="'.*out' could not be: No space left"):
        head.save_pretrained(tmp_path / "out")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_folders_without_or_with_a_damaged_side_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no isonomy_head.json in"):
        load_classifier(tmp_path)
    file = tmp_path / "isonomy_head.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(CorruptArtefactError, match=r"isonomy_head.json in .* is damaged"):
        load_classifier(tmp_path)
    file.write_text('{"schema": 2, "kind": "label_words"}', encoding="utf-8")
    with pytest.raises(ArtefactVersionError, match="knows more than this one"):
        load_classifier(tmp_path)


def test_damaged_adapter_and_another_base_are_named(tmp_path: Path) -> None:
    head = LabelWords(lora_model(tiny("gpt2")[0], r=2), tokenizer("gpt2"), CLASSES)
    head.save_pretrained(tmp_path)
    with pytest.raises(CorruptArtefactError, match="Pass the base model that it was trained on"):
        load_classifier(tmp_path, model=tiny("gpt2", n_embd=32)[0])
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CorruptArtefactError, match="could not be loaded into a GPT2LMHeadModel"):
        load_classifier(tmp_path, model=tiny("gpt2")[0])


def test_a_model_without_a_head_is_not_saved_as_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must be a classifier.*got a GPT2LMHeadModel"):
        save_classifier(tiny("gpt2")[0], tmp_path)


# classification_model


@pytest.mark.parametrize("multi_label", [False, True])
def test_classification_model_names_its_outputs(multi_label: bool, tmp_path: Path) -> None:
    base = save_tiny("gpt2", tmp_path, task="encoder")
    model, reader = classification_model(
        base, classes=CLASSES, multi_label=multi_label, device="cpu", dtype="bfloat16"
    )
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    assert model.config.problem_type == kind
    assert model.config.id2label == {0: "joy", 1: "fear", 2: "sadness"}
    assert model.config.label2id == {"joy": 0, "fear": 1, "sadness": 2}
    assert model.dtype == torch.bfloat16
    assert model.config.pad_token_id == reader.pad_token_id
    assert not model.training


def test_classification_model_without_padding_token_answers_as_with_one(tmp_path: Path) -> None:
    save_tiny("llama", tmp_path, task="classification")
    reader = tokenizer("llama")
    model, _ = classification_model(tmp_path, classes=CLASSES, tokenizer=reader, device="cpu")
    wanted = logits(model, dict(reader(TEXTS, padding=True, return_tensors="pt")))
    reader.pad_token = None
    with pytest.warns(PaddingTokenWarning, match="`classification_model` has no padding token"):
        model, reader = classification_model(
            tmp_path, classes=CLASSES, tokenizer=reader, device="cpu"
        )
    found = logits(model, dict(reader(TEXTS, padding=True, return_tensors="pt")))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_new_head_is_decided_by_random_state(tmp_path: Path) -> None:
    base = save_tiny("bert", tmp_path)

    def head(seed: int) -> torch.Tensor:
        made, _ = classification_model(base, classes=CLASSES, device="cpu", random_state=seed)
        return made.classifier.weight

    assert torch.equal(head(0), head(0))
    assert not torch.equal(head(0), head(1))


def test_a_trained_head_is_not_replaced_or_renamed_in_silence(tmp_path: Path) -> None:
    model, reader = tiny("bert", task="classification")
    model.config.id2label = {0: "sadness", 1: "joy", 2: "fear"}
    model.save_pretrained(tmp_path)
    reader.save_pretrained(tmp_path)
    with pytest.raises(InvalidInputError, match=r"as many as the outputs.*\(3: sadness.*got 2"):
        classification_model(tmp_path, classes=["joy", "fear"])
    with pytest.raises(InvalidInputError, match=r"in the order of the outputs.*'sadness', 'joy'"):
        classification_model(tmp_path, classes=CLASSES)
    with pytest.raises(InvalidInputError, match="as many as the outputs of the head of the Bert"):
        classification_model(model, classes=["joy", "fear"], tokenizer=reader)
    kept, _ = classification_model(tmp_path, classes=["sadness", "joy", "fear"], device="cpu")
    assert torch.equal(kept.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classes": ["joy"]}, "at least 2 classes"),
        ({"classes": ["joy", "joy", "fear"]}, "different names"),
        ({"classes": CLASSES, "dtype": "float32"}, "`dtype` of .* must be left out"),
        ({"classes": CLASSES, "tokenizer": None}, "`tokenizer` of .* must be passed"),
        ({"classes": CLASSES, "tokenizer": 3}, "must be a tokenizer, got int"),
    ],
)
def test_wrong_arguments_of_classification_model_are_named(
    options: dict[str, Any], match: str
) -> None:
    model, reader = tiny("bert", task="classification")
    with pytest.raises(InvalidInputError, match=match):
        classification_model(model, **{"tokenizer": reader, **options})


def test_a_model_in_memory_must_have_a_head() -> None:
    with pytest.raises(InvalidInputError, match="must have a classification head.*got a GPT2LM"):
        classification_model(tiny("gpt2")[0], classes=CLASSES)


def test_a_checkpoint_of_one_tower_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must be a checkpoint of two towers"):
        load_clip(save_tiny("bert", tmp_path))
