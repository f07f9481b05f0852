"""The finish inside ``finetune``: joined, kept apart, taken back, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.utils.other import ModulesToSaveWrapper

from finetune_files import tail_rows, without_charts
from isonomy.adapters import finishing
from isonomy.adapters._finetune import _finishing, _run
from isonomy.adapters.finetuning import FineTuned, finetune
from isonomy.errors import InvalidInputError
from tiny_models import save_tiny

QUICK: dict[str, Any] = {
    "text": "bio", "label": "job", "max_steps": 4, "batch_size": 8, "device": "cpu", "n_boot": 100,
    "before": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "llama"
    save_tiny("llama", folder)
    return str(folder)


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_rendered", without_charts)


def head(found: FineTuned) -> torch.Tensor:
    wrapped = next(m for m in found.model.modules() if isinstance(m, ModulesToSaveWrapper))
    weight: torch.Tensor = wrapped.modules_to_save["default"].weight.detach()
    return weight


def test_it_joins_the_trained_head_with_class_means(model: str, tmp_path: Path) -> None:
    plain = finetune(model, tail_rows(), output=tmp_path / "plain", finish="none", **QUICK)
    assert plain.result["training"]["finish"] is None
    assert not (plain.folder / "isonomy_finish.json").exists()
    assert "finishing" not in plain.result["cost"]["seconds"]

    three = {}
    for weight in (1.0, 3.0):
        found = finetune(
            model, tail_rows(), output=tmp_path / f"at{weight:g}", finish="class_means",
            finish_weight=weight, **QUICK,
        )  # fmt: skip
        three[weight] = head(found)
        record = found.result["training"]["finish"]
        assert record["kept"] and record["weight"] == weight and record["kind"] == "finish"
        assert record["sentence"] in found.result["training"]["description"]
        assert json.loads((found.folder / "isonomy_finish.json").read_text())["weight"] == weight
        assert {"isonomy_finish.json"} <= {f["name"] for f in found.result["files"]}
        assert found.result["cost"]["seconds"]["finishing"] > 0
        assert found.result["adapter"]["verified"]["largest_difference"] < 1e-6
    # (W + w V) / (1 + w): three points on one line
    W = head(plain)
    V = 2 * three[1.0] - W
    assert not torch.allclose(V, W, atol=1e-2)
    torch.testing.assert_close(three[3.0], (W + 3 * V) / 4, atol=1e-5, rtol=1e-5)


def test_auto_takes_back_what_is_worse_on_the_watched_rows(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = finetune(model, tail_rows(), output=tmp_path / "plain", finish="none", **QUICK)
    told: list[float | None] = []

    def falling(*_: Any) -> float:
        told.append(0.5 - 0.1 * len(told))
        return float(told[-1] or 0.0)

    monkeypatch.setattr(_finishing, "_watched", falling)
    found = finetune(model, tail_rows(), output=tmp_path / "auto", **QUICK)
    record = found.result["training"]["finish"]
    assert record["validation"] == {"n": 7, "before": 0.5, "after": 0.4}
    assert not record["kept"] and "which was taken back" in record["sentence"]
    assert torch.equal(head(found), head(plain))
    assert not (found.folder / "isonomy_finish.json").exists()

    # as good as before is not worse
    monkeypatch.setattr(_finishing, "_watched", lambda *_: 0.5)
    equal = finetune(model, tail_rows(), output=tmp_path / "equal", **QUICK)
    assert equal.result["training"]["finish"]["kept"]
    assert not torch.equal(head(equal), head(plain))

    monkeypatch.setattr(_finishing, "_watched", falling)
    told.clear()
    asked = finetune(model, tail_rows(), output=tmp_path / "asked", finish="class_means", **QUICK)
    assert asked.result["training"]["finish"]["kept"]
    assert not torch.equal(head(asked), head(plain))


def test_auto_keeps_the_training_where_the_head_cannot_be_finished(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise InvalidInputError("The head must be another.")

    monkeypatch.setattr(finishing, "class_means_finish", refused)
    found = finetune(model, tail_rows(), output=tmp_path / "auto", **QUICK)
    record = found.result["training"]["finish"]
    assert not record["kept"] and "was not joined" in record["sentence"]
    assert "The head must be another." in found.result["training"]["description"]
    assert not (found.folder / "isonomy_finish.json").exists()
    with pytest.raises(InvalidInputError, match="must be another"):
        finetune(model, tail_rows(), output=tmp_path / "asked", finish="class_means", **QUICK)


def test_watched_rows_count_class_by_class() -> None:
    class Rows:
        labels = np.array([0, 0, 0, 1])

        def __len__(self) -> int:
            return 4

    scores = np.array([[0.9, 0.1]] * 4)
    rows: Any = Rows()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_finishing, "probabilities", lambda *_: scores)
        options: Any = type("Options", (), {"batch_size": 4})
        assert _finishing._watched(None, rows, options) == 0.5  # type: ignore[arg-type]


def test_other_strategies_and_heads_are_left_alone(model: str, tmp_path: Path) -> None:
    for name, options in (("lora", {"strategy": "lora"}), ("words", {"head": "label_words"})):
        found = finetune(model, tail_rows(), output=tmp_path / name, **QUICK, **options)
        assert found.result["training"]["finish"] is None
        assert "finishing" not in found.result["cost"]["seconds"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"finish": "always"}, "`finish`"),
        ({"finish_weight": -1}, "`finish_weight`"),
        ({"finish": "class_means", "strategy": "full"}, "strategy 'full' has none"),
        ({"finish": "class_means", "head": "label_words"}, "the head is 'label_words'"),
    ],
)
def test_what_cannot_be_finished_is_refused(
    model: str, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        finetune(model, tail_rows(), output=tmp_path / "out", **QUICK, **options)
    assert not list(tmp_path.iterdir())
