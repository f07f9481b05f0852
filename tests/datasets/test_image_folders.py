"""load_images: official folders become paths, labels, splits and boxes; damage is named."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import official_folders
from isonomy.datasets import IMAGE_SETS, ImageIndex, count_classes, load_images, long_tail
from isonomy.errors import DataFileError, InvalidInputError
from official_folders import BIRDS, CARS, DULL, FOODS, write

WRITERS = {
    "cub200": official_folders.cub200,
    "cars": official_folders.cars,
    "food101": official_folders.food101,
    "omniglot": official_folders.omniglot,
}


@pytest.mark.parametrize("name", IMAGE_SETS)
@pytest.mark.parametrize("given", ["folder", "around", "environment"])
def test_every_set_is_found_and_its_files_are_there(name, given, tmp_path, monkeypatch):
    root = WRITERS[name](tmp_path)
    if given == "environment":
        monkeypatch.setenv("ISONOMY_DATA", str(tmp_path))
    index = load_images(name, {"folder": root, "around": tmp_path, "environment": None}[given])
    assert index.name == name and len(index) == len(index.labels) == len(index.split) > 0
    assert all(Path(path).is_file() for path in index.paths)
    assert all(index.read(row) == DULL for row in range(len(index)))
    assert set(index.labels.tolist()) == set(range(len(index.classes)))
    assert set(index.split) == {"train", "test"}
    assert len(index.classes) == len(index.original_classes)


def test_birds(tmp_path):
    official_folders.cub200(tmp_path)
    index = load_images("cub200", tmp_path)
    assert index.original_classes == BIRDS
    assert index.classes == ("Black footed Albatross", "Laysan Albatross", "Sooty Albatross")
    assert index.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert index.split.tolist() == ["train", "train", "test"] * 3
    # x, y, width, height in the file; edges here
    assert index.boxes[4].tolist() == [1.0, 2.0, 11.0, 8.0]
    assert index.paths[4].endswith("images/002.Laysan_Albatross/Laysan_Albatross_0001.jpg")


def test_labels_follow_the_numbers_of_the_pictures_not_the_order_of_the_lines(tmp_path):
    root = official_folders.cub200(tmp_path)
    before = load_images("cub200", tmp_path)
    for name in ("image_class_labels", "train_test_split", "bounding_boxes"):
        lines = (root / f"{name}.txt").read_text().splitlines()
        write(root / f"{name}.txt", "\n".join(lines[::-1]))
    after = load_images("cub200", tmp_path)
    assert after.paths == before.paths
    for column in ("labels", "split", "boxes"):
        np.testing.assert_array_equal(getattr(after, column), getattr(before, column))


def test_birds_without_boxes(tmp_path):
    root = official_folders.cub200(tmp_path)
    (root / "bounding_boxes.txt").unlink()
    index = load_images("cub200", tmp_path)
    assert index.boxes is None and index.column_names == ["path", "label", "split"]


@pytest.mark.parametrize("layout", ["devkit", "one file"])
def test_cars(tmp_path, layout):
    writer = official_folders.cars if layout == "devkit" else official_folders.cars_in_one_file
    writer(tmp_path)
    index = load_images("cars", tmp_path)
    assert index.classes == index.original_classes == CARS
    assert index.labels.tolist() == [1, 0, 1]  # counted from 1 in the file
    assert index.split.tolist() == ["train", "train", "test"]
    # pixels counted from 1, the last one included: left and top move by one
    assert index.boxes.tolist() == [[1, 2, 11, 13], [0, 0, 16, 16], [4, 5, 7, 8]]
    assert all(Path(path).is_file() for path in index.paths)
    assert len(set(index.paths)) == 3  # training and test pictures may have the same name


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_foods(tmp_path, kind):
    official_folders.food101(tmp_path, kind=kind)
    index = load_images("food101", tmp_path)
    assert index.original_classes == FOODS and index.classes == ("apple pie", "baby back ribs")
    assert index.split.tolist() == ["train"] * 4 + ["test"] * 2
    assert index.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert index.paths[3].endswith("images/baby_back_ribs/1011.jpg")
    assert index.boxes is None


@pytest.mark.parametrize("packed", [False, True])
def test_characters_from_folders_and_from_archives(tmp_path, packed):
    official_folders.omniglot(tmp_path, packed=packed)
    index = load_images("omniglot", tmp_path)
    assert len(index) == 4 * 8  # Balinese is in both parts and taken once
    assert index.classes[0] == "Anglo-Saxon Futhorc character 1"
    assert index.original_classes[0] == "Anglo-Saxon_Futhorc/character01"
    assert sorted(set(index.coarse)) == ["Anglo-Saxon Futhorc", "Balinese"]
    for code in range(4):
        mine = index.select(np.flatnonzero(index.labels == code))
        assert mine.split.tolist() == ["train"] * 6 + ["test"] * 2
        drawers = [path[-6:-4] for path in mine.paths]
        assert drawers == sorted(drawers)
    assert index.read(0) == DULL


def test_one_part_of_the_characters_alone(tmp_path):
    root = official_folders.omniglot(tmp_path)
    index = load_images("omniglot", root / "images_background_small2")
    assert len(index) == 16 and set(index.coarse) == {"Balinese"}


def test_the_shared_characters(shared_data):
    index = load_images("omniglot", shared_data)
    # 136 and 156 classes, of which 50 are the same
    assert len(index.classes) == 242 and len(index) == 242 * 20
    assert np.bincount(index.labels).tolist() == [20] * 242
    assert index.read(0)[1:4] == b"PNG"
    thin = long_tail(index, 5, random_state=0)
    counts = count_classes(thin)
    assert max(counts.values()) == 15 == 5 * min(counts.values())
    assert (thin.split == "test").sum() == 242 * 5


def test_a_validation_split_and_one_split_alone(tmp_path):
    official_folders.cub200(tmp_path, n=9)
    index = load_images("cub200", tmp_path, validation_share=0.25)
    assert [(index.split == s).sum() for s in ("train", "validation", "test")] == [18, 6, 3]
    again = load_images("cub200", tmp_path, validation_share=0.25, split="validation")
    assert again.paths == index.of_split("validation").paths
    assert count_classes(index) == dict.fromkeys(index.classes, 6)


def test_an_index_keeps_its_columns_together():
    index = ImageIndex(
        "three", ("a", "b", "c"), np.array([0, 1, 0]), np.array(["train"] * 3), ("x", "y"),
        ("1.x", "2.y"), np.arange(12.0).reshape(3, 4), np.array(["u", "v", "w"]),
    )  # fmt: skip
    part = index.select([2, 1])
    assert part.paths == ("c", "b") and part.labels.tolist() == [0, 1]
    assert part["box"].tolist() == [[8, 9, 10, 11], [4, 5, 6, 7]]
    assert part["coarse"].tolist() == ["w", "v"] and part["path"] == part.paths
    with pytest.raises(InvalidInputError, match="`split` of 'three' must be one of 'train', got"):
        index.of_split("test")
    with pytest.raises(InvalidInputError, match="`column` of `ImageIndex` must be one of 'path'"):
        index["image"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0])}, r"`labels` of `ImageIndex` must have as many rows .* \(2\)"),
        ({"labels": np.array([0, 2])}, "must be codes from 0 to 1, got 2 for 'b'"),
        ({"original_classes": ("x",)}, "must name the same 2 classes"),
    ],
)
def test_an_index_that_contradicts_itself(changes, message):
    whole = {
        "name": "two",
        "paths": ("a", "b"),
        "labels": np.array([0, 1]),
        "split": np.array(["train", "test"]),
        "classes": ("x", "y"),
        "original_classes": ("x", "y"),
    }
    with pytest.raises(InvalidInputError, match=message):
        ImageIndex(**{**whole, **changes})


def edit(root, name, old, new):
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("image_class_labels.txt", "5 2\n", "5 7\n", "gives image 5 the class 7, which 'classes"),
        ("image_class_labels.txt", "5 2\n", "", "lists 8 images where 'images.txt' lists 9; image"),
        ("image_class_labels.txt", "5 2\n", "5\n", "must have 2 fields in line 5: 5"),
        ("image_class_labels.txt", "5 2\n", "4 2\n", "names 4 twice, again in line 5"),
        ("train_test_split.txt", "5 1\n", "5 2\n", "must say 0 or 1 of image 5: 2"),
        ("train_test_split.txt", "9 0\n", "9 0\n10 1\n", "lists 10 images where .* image 10 is"),
        ("bounding_boxes.txt", "2.0", "two", "must hold four numbers a line"),
    ],
)
def test_birds_whose_files_disagree(tmp_path, file, old, new, message):
    root = official_folders.cub200(tmp_path)
    edit(root, file, old, new)
    with pytest.raises(DataFileError, match=f"the official files, but '{file}' in .*{message}"):
        load_images("cub200", tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cub200", "images.txt"),
        ("cub200", "classes.txt"),
        ("cub200", "train_test_split.txt"),
        ("cub200", "images"),
        ("food101", "meta/classes.txt"),
        ("food101", "meta/train.txt"),
        ("food101", "images"),
        ("cars", "devkit/cars_meta.mat"),
        ("cars", "devkit/cars_train_annos.mat"),
        ("cars", "cars_test_annos_withlabels.mat"),
        ("cars", "cars_test"),
    ],
)
def test_a_missing_file_is_named(tmp_path, name, file):
    root = WRITERS[name](tmp_path)
    (root / file).rename(root / "elsewhere")
    message = f"load_images needs the official files, but '{file}' in .* is missing. Get it from"
    with pytest.raises(DataFileError, match=message):
        load_images(name, tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("meta/train.txt", "apple_pie/", "apple_pies/", "names 'apple_pies/1005', whose class is"),
        ("meta/labels.txt", "Apple pie\n", "", "has 1 lines where 'meta/classes.txt' has 2"),
        ("meta/test.txt", "apple_pie/99", "apple_pie/1005", "share 1 image"),
    ],
)
def test_foods_whose_files_disagree(tmp_path, file, old, new, message):
    root = official_folders.food101(tmp_path)
    edit(root, file, old, new)
    with pytest.raises(DataFileError, match=f"the official files, but '{file}' in .*{message}"):
        load_images("food101", tmp_path)


def test_foods_with_a_damaged_list(tmp_path):
    root = official_folders.food101(tmp_path, kind="json")
    write(root / "meta/train.json", "[1, 2")
    with pytest.raises(DataFileError, match="'meta/train.json' in .* could not be read as JSON"):
        load_images("food101", tmp_path)
    write(root / "meta/train.json", "[1, 2]")
    with pytest.raises(DataFileError, match="must hold a list of images for each class"):
        load_images("food101", tmp_path)


def test_cars_without_test_labels_say_where_these_are(tmp_path):
    root = official_folders.cars(tmp_path)
    (root / "devkit/cars_test_annos.mat").rename(root / "cars_test_annos_withlabels.mat")
    with pytest.raises(DataFileError, match=r"has no 'class' \(the test labels are in a file"):
        load_images("cars", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "could not be read as a .mat file"),
        (b"MATLAB 5.0 MAT-file" + b"x" * 200, "could not be read as a .mat file"),
        ("half", "could not be read as a .mat file|has no 'annotations'"),
        ("other", "has no 'annotations'"),
        (3, "gives row 1 the class 3, but there are classes 1 to 2"),
        (0, "gives row 1 the class 0, but there are classes 1 to 2"),
    ],
    ids=["empty", "nonsense", "half", "other", "class-3", "class-0"],
)
def test_cars_with_a_damaged_file(tmp_path, content, message):
    root = official_folders.cars(tmp_path)
    path = root / "devkit/cars_train_annos.mat"
    if content == "half":
        path.write_bytes(path.read_bytes()[:200])
    elif content == "other":
        savemat(path, {"something": [1, 2]})
    elif isinstance(content, int):
        found = loadmat(path, squeeze_me=True)["annotations"]
        found[1]["class"] = content
        savemat(path, {"annotations": found})
    else:
        path.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        load_images("cars", tmp_path)


def test_cars_in_one_file_without_their_pictures(tmp_path):
    root = official_folders.cars_in_one_file(tmp_path)
    (root / "car_ims").rename(root / "elsewhere")
    with pytest.raises(DataFileError, match="'car_ims' in .* is missing"):
        load_images("cars", tmp_path)


def test_a_damaged_archive_is_named(tmp_path):
    root = official_folders.omniglot(tmp_path, packed=True)
    archive = root / "images_background_small1.zip"
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(DataFileError, match="'images_background_small1.zip' in .* could not be"):
        load_images("omniglot", tmp_path)
    for path in root.iterdir():
        path.unlink()
    (root / "images_background").mkdir()
    with pytest.raises(DataFileError, match=r"holds no picture alphabet/character/\*.png"):
        load_images("omniglot", tmp_path)


def test_the_wrong_folder_says_what_was_looked_for(tmp_path):
    message = "must be a folder that holds images.txt or .* in CUB_200_2011 or .* Get|get it from"
    with pytest.raises(DataFileError, match=message):
        load_images("cub200", tmp_path)
    with pytest.raises(DataFileError, match="is not a folder"):
        load_images("food101", tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match="`name` of `load_images` must be one of 'cub200'"):
        load_images("imagenet", tmp_path)
    with pytest.raises(InvalidInputError, match="`split` of `load_images` must be one of None"):
        load_images("cub200", tmp_path, split="dev")
