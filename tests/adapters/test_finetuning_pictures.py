"""``finetune`` on pictures: CLIP against class names, and pictures that do not open."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from finetune_files import without_charts
from isonomy.adapters._finetune import _run
from isonomy.adapters._finetune._rows import PARTS
from isonomy.adapters.finetuning import finetune, plan_finetuning
from isonomy.adapters.heads import load_classifier
from isonomy.datasets import ImageIndex
from isonomy.errors import DataFileError, InvalidInputError, UnreadableImageError
from tiny_models import _config, image_processor, tokenizer

COLOURS = {"robin": (200, 40, 40), "wren": (40, 200, 40), "heron": (40, 40, 200)}
COUNTS = {"robin": 14, "wren": 8, "heron": 4}
QUICK: dict[str, Any] = {
    "image": "path", "label": "bird", "max_steps": 3, "batch_size": 3, "device": "cpu",
    "n_boot": 100,
}  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    towers = {f"{side}_config": _config(f"clip_{side}").to_dict() for side in ("text", "vision")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.CLIPModel(transformers.CLIPConfig(**towers, projection_dim=8))
    model.save_pretrained(folder)
    processor = transformers.CLIPProcessor(
        image_processor=image_processor(), tokenizer=tokenizer("clip_text")
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    return write_birds(tmp_path / "birds")


def write_birds(folder: Path, counts: dict[str, int] = COUNTS) -> Path:
    draw = np.random.default_rng(0)
    rows = []
    for name, n in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(n):
            noise = draw.integers(-30, 30, (16, 16, 3))
            pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
            rows.append((f"{name}/{i}.png", name))
    with (folder / "birds.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "bird"), *rows])
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_rendered", without_charts)


def test_clip_is_started_trained_and_read_back(clip: Path, birds: Path, tmp_path: Path) -> None:
    found = finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", **QUICK)
    training = found.result["training"]
    assert found.result["model"]["head"] == "clip"
    assert found.result["judgements"][0]["label"] == "base model"
    assert found.result["adapter"]["verified"]["largest_difference"] < 1e-6
    started = {m["name"]: m for m in training["start"]["modules"]}
    vision = [m for name, m in started.items() if "vision_model" in name]
    text = [m for name, m in started.items() if "text_model" in name]
    assert len(vision) == len(text) == 12
    assert all(m["n_tail"] >= 1 for m in vision)
    # batches of three pictures, three classes: the names are not taken for rows
    assert all("names of the classes" in m["reason"] for m in text)
    pictures = [str(birds / "wren" / "0.png"), Image.open(birds / "heron" / "1.png")]
    assert set(found.predict(pictures)) <= set(COUNTS)
    classifier, _ = load_classifier(found.folder)
    with torch.no_grad():
        logits = classifier(**classifier.encode(pictures)).logits.double()
    np.testing.assert_allclose(
        torch.softmax(logits, dim=-1).numpy(), found.predict_proba(pictures), atol=1e-6
    )


def test_the_gradient_starts_both_towers(clip: Path, birds: Path, tmp_path: Path) -> None:
    told = QUICK | {"max_steps": 1, "init": "tail_gradient", "before": False}
    found = finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", **told)
    started = found.result["training"]["start"]
    assert started["init"] == "tail_gradient"
    assert all(m["n_tail"] >= 1 for m in started["modules"])


@pytest.mark.parametrize("strategy", ["label_balance", "full", "layer_norms"])
def test_other_strategies_train_clip_too(
    clip: Path, birds: Path, tmp_path: Path, strategy: str
) -> None:
    told = QUICK | {"max_steps": 1, "strategy": strategy, "before": False}
    found = finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", **told)
    assert found.result["adapter"]["verified"]["largest_difference"] < 1e-6


def test_pictures_are_told_from_class_names_alone(clip: Path, birds: Path, tmp_path: Path) -> None:
    for told, said in (
        ({"head": "classification"}, "must be 'clip' for pictures"),
        ({"strategy": "intermediate"}, "CLIP has two towers"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", **QUICK | told)


def test_pictures_that_do_not_open_are_left_out_and_listed(
    clip: Path, birds: Path, tmp_path: Path
) -> None:
    (birds / "robin" / "3.png").write_bytes(b"no picture")
    (birds / "wren" / "5.png").unlink()
    told = QUICK | {"max_steps": 1, "before": False}
    with pytest.raises(
        UnreadableImageError, match=r"2 of the 26 pictures .*share of 0\.01 .*3\.png"
    ):
        finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", **told)
    assert not (tmp_path / "out").exists()
    found = finetune(
        str(clip), birds / "birds.csv", output=tmp_path / "out", max_bad_share=0.1, **told
    )
    listed = found.result["data"]["unreadable"]
    assert [(bad["row"], Path(bad["path"]).name) for bad in listed] == [
        (3, "row 3, 3.png"), (19, "row 19, 5.png"),
    ]  # fmt: skip
    assert str(tmp_path) not in str(found.result["data"])
    check = next(c for c in found.result["data"]["checks"] if "do not open" in c["what"])
    assert (check["level"], check["n"]) == ("warning", 2)
    assert found.result["data"]["n_train"] + found.result["data"]["n_test"] <= 24


def test_a_class_without_an_open_picture_is_an_error(
    clip: Path, birds: Path, tmp_path: Path
) -> None:
    for i in range(COUNTS["heron"]):
        (birds / "heron" / f"{i}.png").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match="all of the class 'heron'"):
        finetune(
            str(clip), birds / "birds.csv", output=tmp_path / "out", max_bad_share=0.5, **QUICK
        )
    with pytest.raises(InvalidInputError, match="max_bad_share"):
        finetune(str(clip), birds / "birds.csv", output=tmp_path / "out", max_bad_share=2, **QUICK)


def test_a_folder_a_class_is_data(clip: Path, birds: Path, tmp_path: Path) -> None:
    (birds / "birds.csv").unlink()
    (birds / "wren" / ".DS_Store").write_bytes(b"a note of another program")
    found = finetune(str(clip), birds, output=tmp_path / "out", before=False, **QUICK)
    assert found.classes == ("heron", "robin", "wren")
    data = found.result["data"]
    counted = {row["class"]: sum(row[f"n_{part}"] for part in PARTS) for row in data["class_table"]}
    assert counted == COUNTS
    assert str(birds) not in str(found.result["data"])


def test_folders_of_splits_are_the_splits(clip: Path, tmp_path: Path) -> None:
    for part, counts in {"train": COUNTS, "val": dict.fromkeys(COUNTS, 2)}.items():
        write_birds(tmp_path / "birds" / part, counts)
        (tmp_path / "birds" / part / "birds.csv").unlink()
    write_birds(tmp_path / "birds" / "Test", dict.fromkeys(COUNTS, 3))
    (tmp_path / "birds" / "Test" / "birds.csv").unlink()
    found = plan_finetuning(str(clip), tmp_path / "birds", **QUICK)
    data = found["data"]
    sizes = (data["n_train"], data["n_validation"], data["n_test"])
    assert sizes == (sum(COUNTS.values()), 6, 9)


def test_an_index_of_pictures_is_data(clip: Path, birds: Path) -> None:
    paths = tuple(map(str, sorted(birds.glob("*/*.png"))))
    classes = ("heron", "robin", "wren")
    labels = np.array([classes.index(Path(path).parent.name) for path in paths])
    split = np.where(np.arange(len(paths)) % 3 == 0, "test", "train")
    index = ImageIndex("birds", paths, labels, split, classes, classes)
    data = plan_finetuning(str(clip), index, **QUICK)["data"]
    assert data["name"] == "birds" and data["n_test"] == (split == "test").sum()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"group": "sex"}, "`group` of `finetune` names a column"),
        ({"split_column": "part"}, "`split_column` of `finetune` names a column"),
        ({"classes": ["robin", "wren"]}, "heron"),
    ],
)
def test_a_folder_has_no_columns(
    birds: Path, tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    (birds / "birds.csv").unlink()
    with pytest.raises(InvalidInputError, match=match):
        finetune("no-model", birds, output=tmp_path / "out", **QUICK, **options)


def test_a_folder_of_nothing_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "birds" / "wren").mkdir(parents=True)
    with pytest.raises(DataFileError, match="birds"):
        finetune("no-model", tmp_path / "birds", output=tmp_path / "out", **QUICK)
