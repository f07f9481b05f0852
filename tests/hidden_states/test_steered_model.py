"""A steered model: texts in, classes out; saved, loaded, and written as a plain classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import PeftModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.errors import (
    ArtefactError,
    CorruptArtefactError,
    GroupsRequiredError,
    InvalidInputError,
)
from isonomy.hidden_states import collect
from isonomy.hidden_states._classifier_folder import write_classifier
from isonomy.hidden_states._steered_head import head_of
from isonomy.hidden_states.steered_model import SteeredModel, load_steered_model
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier
from tiny_models import save_tiny, tiny

JOBS = ("nurse", "engineer", "attorney")


def texts(n: int = 150) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Short texts with a class and a group, no two alike."""
    rng = np.random.default_rng(0)
    jobs, groups = rng.choice(JOBS, n), rng.choice(["F", "M"], n)
    made = [
        f"{'She' if g == 'F' else 'He'} is a {j} number {i} and works {'hard ' * (i % 4)}."
        for i, (j, g) in enumerate(zip(jobs, groups, strict=True))
    ]
    return made, jobs, groups


STEERERS = {
    "blind": (lambda: IdealSteerer(rank=1), None),
    "given": (lambda: IdealSteerer(groups="given"), GapCalibrator()),
    "infer": (lambda: IdealSteerer(groups="infer"), GapCalibrator(groups="infer")),
}


def steered(
    folder: Path, kind: str, mode: str, *, positions: Any = "last", block: int | None = None
) -> SteeredModel:
    """Save a tiny model, fit a head on its states, and put the two together."""
    name = save_tiny(kind, folder / kind)
    model, tokenizer = tiny(kind)
    bios, jobs, groups = texts()
    site: Any = "head_input" if block is None else "residual"
    states, _, _ = collect(
        model,
        {"text": bios},
        text="text",
        site=site,
        layers=block,
        positions=positions,
        tokenizer=tokenizer,
        rows="memory",
    ).rows(block)
    steerer, calibrator = STEERERS[mode]
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    fitted = SteeredClassifier(
        head, steerer=steerer(), calibrator=calibrator, cv=2, random_state=0
    ).fit(states, jobs, sensitive_features=groups)
    return SteeredModel(
        model, tokenizer, head_of(fitted), site, block, positions, None, str(name), None,
        fitted.steerer_,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "mode", "block"), [("llama", "given", None), ("bert", "infer", 1)]
)
def test_a_loaded_model_decides_as_the_saved_one(
    tmp_path: Path, kind: str, mode: str, block: int | None
) -> None:
    made = steered(tmp_path, kind, mode, positions="mean", block=block)
    made.save(tmp_path / "out")
    again = load_steered_model(tmp_path / "out", device="cpu")
    bios, _, groups = texts()
    given = groups[:40] if mode == "given" else None
    expected = made.decision_function(bios[:40], sensitive_features=given)
    found = again.decision_function(bios[:40], sensitive_features=given, batch_size=7)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert again.classes == made.classes == tuple(sorted(JOBS))
    assert (again.mode, again.groups) == (mode, ("F", "M"))
    predicted = again.predict(bios[:40], sensitive_features=given)
    assert set(predicted) <= set(JOBS)
    proba = again.predict_proba(bios[:40], sensitive_features=given)
    np.testing.assert_array_equal(np.asarray(again.classes)[proba.argmax(axis=1)], predicted)
    assert again.steerer is not None
    assert again.steerer.certificate_ is not None


def test_states_are_those_that_collect_reads(tmp_path: Path) -> None:
    made = steered(tmp_path, "gpt2", "blind", block=1)
    bios, _, _ = texts()
    expected, _, _ = collect(
        made.model, {"text": bios}, text="text", site="residual", layers=1,
        tokenizer=made.tokenizer, rows="memory",
    ).rows(1)  # fmt: skip
    np.testing.assert_allclose(made.hidden_states(bios, batch_size=5), expected, atol=1e-4)


def test_what_cannot_be_decided_is_one_sentence(tmp_path: Path) -> None:
    made = steered(tmp_path, "llama", "given")
    with pytest.raises(GroupsRequiredError, match="one group a row"):
        made.predict(["She is a nurse."])
    with pytest.raises(InvalidInputError, match="not empty, got ' ' at place 1"):
        made.predict(["She is a nurse.", " "], sensitive_features=["F", "F"])
    with pytest.raises(InvalidInputError, match="got one string"):
        made.predict("She is a nurse.", sensitive_features=["F"])


def test_another_model_is_refused(tmp_path: Path) -> None:
    made = steered(tmp_path, "llama", "blind")
    made.save(tmp_path / "out")
    other, tokenizer = tiny("llama", seed=1)
    with pytest.raises(ArtefactError, match=r"the one given is another \(its state"):
        load_steered_model(tmp_path / "out", model=other, tokenizer=tokenizer)
    small, tokenizer = tiny("llama", hidden_size=8)
    with pytest.raises(ArtefactError, match="the one given is another"):
        load_steered_model(tmp_path / "out", model=small, tokenizer=tokenizer)
    with pytest.raises(InvalidInputError, match="`tokenizer` of `load_steered_model`"):
        load_steered_model(tmp_path / "out", model=other)
    moved = (tmp_path / "llama").rename(tmp_path / "moved")
    with pytest.raises(InvalidInputError, match="could not be loaded"):
        load_steered_model(tmp_path / "out")
    found = load_steered_model(tmp_path / "out", model=str(moved), dtype="bfloat16")
    assert found.mode == "blind"  # rounding is not another model
    assert found.model.dtype == torch.bfloat16
    found.save(tmp_path / "narrow")
    kept = load_steered_model(tmp_path / "narrow", model=str(moved))
    assert kept.model.dtype == torch.bfloat16


def test_a_folder_without_the_steerer_is_refused(tmp_path: Path) -> None:
    made = steered(tmp_path, "llama", "blind")
    made.save(tmp_path / "out")
    (tmp_path / "out" / "steerer.safetensors").unlink()
    with pytest.raises(ArtefactError, match="does not exist"):
        load_steered_model(tmp_path / "out")
    made.steerer.save(tmp_path / "out" / "artefact.safetensors")
    with pytest.raises(ArtefactError, match="steered-model"):
        load_steered_model(tmp_path / "out")
    assert issubclass(CorruptArtefactError, ArtefactError)


def logits(folder: Path, bios: list[str], adapter: Path | None = None) -> Any:
    """Score texts as anybody would: plain transformers and PEFT, nothing of ours."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    with torch.no_grad():
        inputs = reader(bios, padding=True, return_tensors="pt")
        return model.eval()(**inputs).logits.double().numpy()


@pytest.mark.filterwarnings("ignore:.lora_bias=True. was passed but:UserWarning")
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("mode", ["blind", "given"])
def test_adapters_on_the_classifier_decide_as_we_do(tmp_path: Path, kind: str, mode: str) -> None:
    made = steered(tmp_path, kind, mode)
    (tmp_path / "out").mkdir()
    bios, _, _ = texts()
    served = write_classifier(made, tmp_path / "out", texts=bios)
    assert served.reason is None
    assert served.exported is not None
    names = ("F", "M") if mode == "given" else ("steered",)
    assert tuple(served.exported.adapters) == names
    for name in names:
        home = tmp_path / "out" / "adapters" / name
        found = logits(tmp_path / "out" / "classifier", bios[:20], home)
        groups = [name] * 20 if mode == "given" else None
        expected = made.decision_function(bios[:20], sensitive_features=groups)
        # what all classes share moves no decision
        found, expected = (v - v.mean(axis=1, keepdims=True) for v in (found, expected))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert all(check["n_same"] == check["n"] == 64 for check in served.checks)
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out" / "classifier")
    assert sorted(config.id2label.values()) == sorted(JOBS)


def test_a_head_with_a_bias_holds_a_blind_map_itself(tmp_path: Path) -> None:
    made = steered(tmp_path, "bert", "blind")
    (tmp_path / "out").mkdir()
    bios, _, _ = texts()
    served = write_classifier(made, tmp_path / "out", texts=bios)
    assert served.reason is None
    assert served.folded
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["classifier"]
    found = logits(tmp_path / "out" / "classifier", bios[:20])
    expected = made.decision_function(bios[:20])
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize(
    ("kind", "mode", "settings", "why"),
    [
        ("llama", "infer", {}, "no linear layer of a plain classifier"),
        ("llama", "blind", {"block": 1}, "behind the last block"),
        ("llama", "blind", {"positions": "mean"}, "reads another tensor"),
        ("roberta", "given", {}, "reads another tensor"),
        ("clip_text", "blind", {}, "it could not be written: Unrecognized configuration class"),
    ],
)
def test_what_no_plain_classifier_computes_is_said_and_not_written(
    tmp_path: Path, kind: str, mode: str, settings: dict[str, Any], why: str
) -> None:
    made = steered(tmp_path, kind, mode, **settings)
    (tmp_path / "out").mkdir()
    served = write_classifier(made, tmp_path / "out", texts=texts()[0])
    assert served.reason is not None
    assert why in served.reason
    assert list((tmp_path / "out").iterdir()) == []


def test_a_classifier_that_decides_otherwise_from_disk_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isonomy.hidden_states import _classifier_folder

    made = steered(tmp_path, "llama", "blind")
    (tmp_path / "out").mkdir()
    right = _classifier_folder._read_back

    def wrong(other: SteeredModel, *rest: Any) -> Any:
        return right(replace(other, head=replace(other.head, intercept=[9.0, 0.0, 0.0])), *rest)

    monkeypatch.setattr(_classifier_folder, "_read_back", wrong)
    served = write_classifier(made, tmp_path / "out", texts=texts()[0])
    assert "decides as before on" in str(served.reason)
    assert list((tmp_path / "out").iterdir()) == []
