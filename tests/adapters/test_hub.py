"""load_image_set: saved data sets, Parquet, folders of pictures; nothing is decoded."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("PIL")
datasets = pytest.importorskip("datasets")

import official_folders  # noqa: E402
from isonomy.adapters import ImageData, load_image_set  # noqa: E402
from isonomy.datasets import ImageIndex, count_classes, describe_classes, long_tail  # noqa: E402
from isonomy.errors import DataFileError, InvalidInputError, UnreadableImageWarning  # noqa: E402

NAMES = ["apple_pie", "ramen"]


@pytest.fixture(autouse=True)
def _quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def rows(n, labels=None, kind=None, **columns):
    pictures = [np.full((4, 5, 3), 8 * i, np.uint8) for i in range(n)]
    labels = [i % 2 for i in range(n)] if labels is None else labels
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": kind or datasets.ClassLabel(names=NAMES),
            **{name: datasets.Value("string") for name in columns},
        }
    )
    return datasets.Dataset.from_dict(
        {"image": pictures, "label": labels, **columns}, features=features
    )


def colour(image):
    return np.asarray(image)[0, 0].tolist()


@pytest.fixture(params=["saved", "parquet", "parquet of the hub", "pictures"])
def folder(request, tmp_path):
    parts = {"train": rows(6), "validation": rows(2), "test": rows(4)}
    root = tmp_path / "set"
    if request.param == "saved":
        datasets.DatasetDict(parts).save_to_disk(root)
        return root
    for split, part in parts.items():
        if request.param == "pictures":
            for i, row in enumerate(part):
                place = root / split / NAMES[row["label"]]
                place.mkdir(parents=True, exist_ok=True)
                row["image"].save(place / f"{i}.png")
        else:
            file = root / f"{split}.parquet"
            if request.param == "parquet of the hub":
                file = root / "data" / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            part.to_parquet(file)
    return root


def test_local_data_sets_of_every_layout(folder):
    index = load_image_set(folder)
    assert index.classes == ("apple pie", "ramen") and index.original_classes == tuple(NAMES)
    counts = dict(zip(*np.unique(index.split, return_counts=True), strict=True))
    assert counts == {"train": 6, "validation": 2, "test": 4}
    data = ImageData(index, colour, split="test")
    assert len(data) == 4
    # each picture has its own grey, and even ones are pies
    for i in range(4):
        row = data[i]
        grey = row["pixel_values"][0]
        assert row["pixel_values"] == [grey] * 3 and row["labels"] == (grey // 8) % 2
    train = load_image_set(folder, split="train")
    assert len(train) == 6 and set(train.split) == {"train"}


def test_a_data_set_can_be_thinned_described_and_checked(tmp_path):
    part = rows(30)
    part.save_to_disk(tmp_path / "set")
    index = load_image_set(tmp_path / "set")
    thin = long_tail(index, 5, random_state=0)
    assert type(thin) is type(index)
    assert sorted(count_classes(thin).values()) == [3, 15]
    data = ImageData(thin, colour)
    for i in range(len(data)):
        assert data[i]["labels"] == (data[i]["pixel_values"][0] // 8) % 2
    assert data.check(n_jobs=2) is data
    carved = load_image_set(tmp_path / "set", validation_share=0.2)
    assert (carved.split == "validation").sum() == 6
    told = describe_classes(index, descriptions={"apple_pie": "Baked.", "ramen": "Soup."})
    assert (told.text, told.classes) == (["Baked.", "Soup."], ["apple pie", "ramen"])


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path):
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    held = {"image": [{"bytes": b"no picture", "path": "a.jpg"}], "label": [0]}
    whole = datasets.concatenate_datasets(
        [rows(9), datasets.Dataset.from_dict(held, features=features)]
    )
    whole.save_to_disk(tmp_path / "set")
    data = ImageData(load_image_set(tmp_path / "set"), colour, max_bad_share=0.1)
    assert len(data) == 10
    with pytest.warns(UnreadableImageWarning, match=r"1 of 10 .* row 9 of .*\(a.jpg\)"):
        assert len(data.check()) == 9


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        (["ramen", "apple_pie"], datasets.Value("string"), ("apple pie", "ramen")),
        ([1, 0], datasets.Value("int64"), ("0", "1")),
    ],
    ids=["names", "numbers"],
)
def test_labels_without_a_list_of_classes(tmp_path, labels, kind, classes):
    rows(2, labels, kind).save_to_disk(tmp_path / "set")
    index = load_image_set(tmp_path / "set")
    assert index.classes == classes and index.labels.tolist() == [1, 0]


def test_columns_may_be_named_and_other_splits_stay_out_unless_asked_for(tmp_path):
    renamed = rows(4).rename_columns({"image": "img", "label": "dish"})
    parts = datasets.DatasetDict(train=renamed, noisy=renamed, dev=renamed)
    parts.save_to_disk(tmp_path / "set")
    index = load_image_set(tmp_path / "set", image="img", label="dish")
    assert sorted(set(index.split)) == ["train", "validation"]
    assert len(load_image_set(tmp_path / "set", split="noisy")) == 4
    assert len(load_image_set(tmp_path / "set", split="dev")) == 4


def test_a_test_split_without_labels_is_no_hindrance_to_training(tmp_path):
    parts = datasets.DatasetDict(train=rows(4), test=rows(2, [-1, -1]))
    parts.save_to_disk(tmp_path / "set")
    assert load_image_set(tmp_path / "set", split="train").labels.tolist() == [0, 1, 0, 1]
    for split in (None, "test"):
        with pytest.raises(InvalidInputError, match="got -1. Drop the rows .* pass `split` if"):
            load_image_set(tmp_path / "set", split=split)


@pytest.mark.parametrize(
    "layout", ["data/{}/0.parquet", "default/{}/0000.parquet", "{}/part-0.parquet"]
)
def test_a_folder_of_parquet_files_may_name_the_split(tmp_path, layout):
    for split, n in {"train": 4, "test": 2}.items():
        file = tmp_path / layout.format(split)
        file.parent.mkdir(parents=True)
        rows(n).to_parquet(file)
    index = load_image_set(tmp_path)
    assert dict(zip(*np.unique(index.split, return_counts=True), strict=True)) == {
        "train": 4, "test": 2,
    }  # fmt: skip


def test_official_folders_go_by_their_names(tmp_path):
    official_folders.food101(tmp_path)
    index = load_image_set("food101", tmp_path, split="train", validation_share=0.5)
    assert isinstance(index, ImageIndex) and len(index) == 2


def test_a_name_of_the_hub_is_passed_on_and_its_test_split_is_called_test(monkeypatch):
    asked = []

    def load_dataset(name, config, *, revision):
        asked.append((name, config, revision))
        return datasets.DatasetDict(train=rows(4), validation=rows(2))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    index = load_image_set("ethz/food101", revision="e06acf2")
    assert asked == [("ethz/food101", None, "e06acf2")]
    assert sorted(set(index.split)) == ["test", "train"]
    other = load_image_set("someone/food")
    assert sorted(set(other.split)) == ["train", "validation"]


def test_without_a_network_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = "the data set 'ethz/food101' could not be loaded: .*can be reached on the hub"
    with pytest.raises(DataFileError, match=message):
        load_image_set("ethz/food101")


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ([0, -1], {}, "`label` of `load_image_set` must hold codes from 0 to 1, got -1"),
        ([0, None], {}, "must hold whole numbers or names, one a row, got NoneType, int"),
        ([0, 1], {"label": "dish"}, "`label` of .* got 'dish'; it has 'image', 'label'"),
        ([0, 1], {"image": "img"}, "`image` of `load_image_set` must name a column"),
        ([0, 1], {"split": "test"}, "must be one of 'train', got 'test'"),
        ([0, 1], {"folder": "x"}, "`folder` of `load_image_set` goes with one of cub200"),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, labels, changes, message):
    rows(2, labels).save_to_disk(tmp_path / "set")
    with pytest.raises(InvalidInputError, match=message):
        load_image_set(tmp_path / "set", **changes)


def test_a_validation_split_is_not_carved_twice(tmp_path):
    datasets.DatasetDict(train=rows(4), val=rows(2)).save_to_disk(tmp_path / "set")
    with pytest.raises(InvalidInputError, match="is for sets without a validation split"):
        load_image_set(tmp_path / "set", validation_share=0.5)


def test_folders_that_hold_no_data_set(tmp_path):
    with pytest.raises(DataFileError, match="must be a folder, but .* is none"):
        load_image_set(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="could not be loaded: .*pictures in a folder for each"):
        load_image_set(tmp_path / "empty")
