"""``finetune`` from rows to a folder: judged before and after, read back, resumed, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

from finetune_files import tail_rows, without_charts
from isonomy.adapters import BiasAwareTrainer
from isonomy.adapters._finetune import _run
from isonomy.adapters.finetuning import FineTuned, finetune, plan_finetuning
from isonomy.adapters.heads import load_classifier
from isonomy.errors import DataFileError, InvalidInputError, OutputError
from tiny_models import save_tiny

QUICK: dict[str, Any] = {
    "text": "bio", "label": "job", "max_steps": 4, "batch_size": 8, "device": "cpu", "n_boot": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("llama", "bert"):
        save_tiny(kind, folder / kind)
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_rendered", without_charts)


@pytest.fixture(scope="module")
def tuned(models: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTuned:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_run, "_rendered", without_charts)
        out = tmp_path_factory.mktemp("tuned") / "out"
        seen: list[tuple[str, int, int]] = []
        found = finetune(
            str(models / "llama"),
            tail_rows(),
            group="sex",
            output=out,
            progress=lambda *step: seen.append(step),
            min_cell=2,
            **QUICK,
        )
    assert ("reading the data", 0, 1) in seen
    assert any(text.startswith("training") and (i, n) == (4, 4) for text, i, n in seen)
    return found


def test_the_folder_holds_adapter_card_and_numbers(tuned: FineTuned) -> None:
    names = {p.name for p in tuned.folder.iterdir()}
    assert names == {f["name"] for f in tuned.result["files"]}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "report.json"} <= names
    assert json.loads((tuned.folder / "report.json").read_text()) == tuned.to_dict()
    assert list(tuned.folder.parent.iterdir()) == [tuned.folder]
    card = (tuned.folder / "README.md").read_text()
    assert card.startswith("---\ntags:\n- isonomy\n")
    assert "library_name: peft" in card
    assert "base_model:" not in card  # a folder of this machine


def test_plain_peft_loads_the_adapter_and_decides_the_same(tuned: FineTuned, models: Path) -> None:
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        models / "llama", num_labels=3
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.folder)
    base.config.pad_token_id = tokenizer.pad_token_id
    model = peft.PeftModel.from_pretrained(base, tuned.folder).eval()
    texts = [row["bio"] for row in tail_rows()[:9]]
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        plain = torch.softmax(model(**inputs).logits.double(), dim=-1).numpy()
    np.testing.assert_allclose(plain, tuned.predict_proba(texts), atol=1e-6)
    assert tuned.predict(texts) == [tuned.classes[int(k)] for k in plain.argmax(axis=1)]
    assert tuned.result["adapter"]["verified"]["largest_difference"] < 1e-6
    classifier, _ = load_classifier(tuned.folder)
    with torch.no_grad():
        again = torch.softmax(classifier(**inputs).logits.double(), dim=-1).numpy()
    np.testing.assert_allclose(again, plain, atol=1e-6)


def test_the_base_weights_are_the_checkpoint_s(tuned: FineTuned, models: Path) -> None:
    plain = transformers.AutoModelForCausalLM.from_pretrained(models / "llama").model.state_dict()
    kept = {
        name.split("base_model.model.model.")[-1].replace(".base_layer", ""): value
        for name, value in tuned.model.state_dict().items()
        if "lora_" not in name and "score" not in name
    }
    assert set(plain) == set(kept)
    assert all(torch.equal(plain[name], kept[name]) for name in plain)


def test_the_result_says_what_was_done(tuned: FineTuned) -> None:
    result = tuned.result
    assert (result["kind"], result["schema"]) == ("finetuning", 1)
    before, after = result["judgements"]
    assert before["label"] == "frozen model, linear head"
    assert "new, so what it says before training is chance" in before["what"]
    assert after["n"] == before["n"] == result["data"]["n_test"]
    assert after["audit"]["groups"][0]["name"] == "F"
    training = result["training"]
    assert (training["strategy"], training["objective"], training["steps"]) == (
        "equity", "equity", 4,
    )  # fmt: skip
    assert training["start"]["init"] == "tail_structure"
    assert training["lora"]["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert training["trainable"]["head"] == 48
    assert [h["step"] for h in training["history"]] == [1, 2, 3, 4]
    assert set(result["cost"]["seconds"]) >= {"training", "judging before", "judging after"}
    assert result["data"]["ratio"] == pytest.approx(25 / 4)


def test_the_same_seed_gives_the_same_weights(models: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        found = finetune(
            str(models / "llama"), tail_rows(), output=tmp_path / name, before=False, **QUICK
        )
        files.append((found.folder / "adapter_model.safetensors").read_bytes())
        assert [j["name"] for j in found.result["judgements"]] == ["after"]
        assert {"what": "figures before training", "why": "it was not asked for"} in (
            found.result["not_computed"]
        )
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("kind", "options", "what"),
    [
        ("bert", {"strategy": "full"}, {"share": 1.0, "is_peft": False}),
        ("bert", {"strategy": "layer_norms"}, {"share": 243 / 12443, "is_peft": True}),
        ("llama", {"strategy": "intermediate"}, {"modules": ["down_proj", "o_proj"]}),
        ("llama", {"strategy": "logit_adjusted", "loss_settings": {"tau": 2.0}}, {"head": 48}),
        ("llama", {"head": "label_words"}, {"head": 0}),
    ],
    ids=["full", "layer_norms", "intermediate", "objective", "label_words"],
)
def test_every_strategy_trains_and_is_read_back(
    models: Path, tmp_path: Path, kind: str, options: dict[str, Any], what: dict[str, Any]
) -> None:
    told = QUICK | {"max_steps": 2} | options
    found = finetune(str(models / kind), tail_rows(), output=tmp_path / "out", **told)
    training, adapter = found.result["training"], found.result["adapter"]
    assert adapter["verified"]["n_same"] == adapter["verified"]["n"]
    assert adapter["verified"]["largest_difference"] < 1e-6
    assert adapter["is_peft"] == what.get("is_peft", True)
    if "share" in what and what["share"] == 1.0:
        assert training["trainable"]["share"] == 1.0
    if "modules" in what:
        assert training["lora"]["target_modules"] == what["modules"]
        assert training["layer"]["method"] == "middle"
        assert "The head is new" in training["description"]
    if "head" in what:
        assert training["trainable"]["head"] == what["head"]
    if "loss_settings" in options:
        assert training["objective_settings"]["tau"] == 2.0
    if options.get("head") == "label_words":
        assert found.result["judgements"][0]["label"] == "base model"
    assert len(found.predict(["She writes code."])) == 1


def test_a_plan_counts_and_times_and_writes_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {k: v for k, v in QUICK.items() if k != "max_steps"}
    plan = plan_finetuning(str(models / "llama"), tail_rows(), epochs=2, **told)
    assert plan["kind"] == "finetuning_plan"
    n_train = plan["data"]["n_train"]
    assert plan["cost"]["steps"] == 2 * -(-n_train // 8)
    assert plan["cost"]["seconds"] > 0
    assert plan["training"]["trainable"]["head"] == 48
    assert plan["cost"]["memory"]["weights_mb"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_is_resumed_to_the_same_weights(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path, **changes: Any) -> FineTuned:
        told = QUICK | {"max_steps": 6} | changes
        return finetune(str(models / "llama"), tail_rows(), output=out, **told)

    whole = run(tmp_path / "whole")
    step = BiasAwareTrainer.training_step

    def stopping(self: Any, *given: Any, **more: Any) -> Any:
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        return step(self, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(BiasAwareTrainer, "training_step", stopping)
        with pytest.raises(KeyboardInterrupt, match=r"kept in .*\.out\.unfinished: resume it"):
            run(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataFileError, match="resume it"):
        run(tmp_path / "out")
    with pytest.raises(DataFileError, match="changed since: `batch_size`"):
        run(tmp_path / "out", batch_size=4, resume=True)
    found = run(tmp_path / "out", resume=True)
    weights = [p / "adapter_model.safetensors" for p in (whole.folder, found.folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert found.result["judgements"] == whole.result["judgements"]
    assert "resumed at step 4" in found.result["cost"]["notes"][0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def test_a_run_that_fails_early_leaves_nothing(models: Path, tmp_path: Path) -> None:
    told = QUICK | {"loss": "equity", "loss_settings": {"speed": 1}, "before": False}
    with pytest.raises(InvalidInputError, match="speed"):
        finetune(str(models / "llama"), tail_rows(), output=tmp_path / "out", **told)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_never_replaced(models: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty and holds no earlier result"):
        finetune(str(models / "llama"), tail_rows(), output=tmp_path / "out", **QUICK)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match="must be a folder"):
        finetune(str(models / "llama"), tail_rows(), output=tmp_path / "file", **QUICK)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": None}, "`text` .--text. or `image` .--image., got neither"),
        ({"image": "bio"}, "got both"),
        ({"speed": 1}, "`speed` passed to `finetune` must be one of strategy"),
        ({"text": "byo"}, "no column 'byo'"),
        ({"head": "clip"}, "'classification' or 'label_words' for texts"),
        ({"strategy": "intermediate", "layer": 9}, "9"),
    ],
)
def test_wrong_use_is_one_clear_sentence(
    models: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    told = QUICK | {"before": False} | changes
    with pytest.raises(InvalidInputError, match=said):
        finetune(str(models / "llama"), tail_rows(), output=tmp_path / "out", **told)
    assert list(tmp_path.iterdir()) == []


def test_classes_of_equal_count_start_by_default_and_say_so(models: Path, tmp_path: Path) -> None:
    rows = tail_rows({"nurse": 10, "engineer": 10})
    found = finetune(str(models / "llama"), rows, output=tmp_path / "out", **QUICK)
    checks = {c["what"]: c["sentence"] for c in found.result["data"]["checks"]}
    assert "none is rare" in checks["classes of equal count"]
    assert found.result["training"]["start"]["init"] == "default"
    assert "as PEFT starts it: " in found.result["training"]["start_words"]
    assert found.result["judgements"][-1]["measures"][0]["value"] is None


def test_one_string_is_no_list_of_texts(tuned: FineTuned) -> None:
    with pytest.raises(InvalidInputError, match="must be a list, got one string"):
        tuned.predict("She writes code.")
