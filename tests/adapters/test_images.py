"""ImageData: pictures of every kind in RGB, in worker processes too, and damaged ones found."""

import io
import warnings
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from PIL import Image  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

import official_folders  # noqa: E402
import tiny_models  # noqa: E402
from isonomy.adapters import ImageData  # noqa: E402
from isonomy.datasets import load_idx, load_images, long_tail  # noqa: E402
from isonomy.errors import (  # noqa: E402
    InvalidInputError,
    UnreadableImageError,
    UnreadableImageWarning,
)


def picture(mode="RGB", size=(16, 12), color=None, kind="JPEG", **settings):
    held = io.BytesIO()
    Image.new(mode, size, color if color is not None else 0).save(held, kind, **settings)
    return held.getvalue()


GREEN = (0, 128, 0)
JPEG = picture(color=GREEN)


def as_array(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def birds(folder, n=3, content=JPEG, **damaged):
    """Three birds; ``damaged`` gives other bytes to some of the files, by their place."""
    official_folders.cub200(folder, n=n, picture=content)
    index = load_images("cub200", folder)
    for place, other in damaged.items():
        path = Path(index.paths[int(place.removeprefix("at"))])
        if other is None:
            path.unlink()
        else:
            path.write_bytes(other)
    return index


def animation():
    frames = [Image.new("RGB", (16, 12), color) for color in ((200, 0, 0), (0, 0, 200))]
    held = io.BytesIO()
    frames[0].save(held, "GIF", save_all=True, append_images=frames[1:])
    return held.getvalue()


def sixteen_bits():
    held = io.BytesIO()
    Image.fromarray(np.full((12, 16), 32_896, np.uint16)).save(held, "PNG")
    return held.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    return picture(size=(12, 16), color=GREEN, exif=exif)


KINDS = {
    "jpeg": (JPEG, GREEN),
    "grey": (picture("L", color=100), (100, 100, 100)),
    "one bit": (picture("1", color=1, kind="PNG"), (255, 255, 255)),
    "cmyk": (picture("CMYK", color=(255, 0, 255, 127)), (0, 128, 0)),
    "palette": (picture("P", color=0, kind="GIF"), (0, 0, 0)),
    "half transparent": (picture("RGBA", color=(0, 0, 0, 128), kind="PNG"), (127, 127, 127)),
    "transparent palette": (picture("P", kind="PNG", transparency=0), (255, 255, 255)),
    "transparent bytes": (picture("P", kind="PNG", transparency=b"\x00"), (255, 255, 255)),
    "sixteen bits": (sixteen_bits(), (128, 128, 128)),
    "animated": (animation(), (200, 0, 0)),
    "turned": (turned(), GREEN),
    "webp": (picture(color=GREEN, kind="WEBP", lossless=True), GREEN),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb(kind, tmp_path):
    content, colour = KINDS[kind]
    data = ImageData(birds(tmp_path, content=content), as_array)
    row = data[0]
    assert row["pixel_values"].shape == (3, 12, 16) and row["labels"] == 0
    found = row["pixel_values"].double().mean(dim=(1, 2)).numpy()
    # JPEG keeps colours to a few levels of 255
    np.testing.assert_allclose(found, colour, atol=3)


DAMAGED = {
    "truncated": JPEG[: len(JPEG) * 2 // 3],
    "text": b"<html><body>404 Not Found</body></html>",
    "empty": b"",
    "broken png": picture(kind="PNG")[:40],
    "missing": None,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_picture_raises_when_it_is_read_and_is_found_by_check(damage, tmp_path):
    index = birds(tmp_path, at4=DAMAGED[damage])
    data = ImageData(index, as_array, max_bad_share=0.2)
    assert data[3]["labels"] == 1
    message = r"Row 4 of `ImageData` cannot be read: .*Laysan_Albatross_0001.jpg: .*\.check\(\)"
    with pytest.raises(UnreadableImageError, match=message):
        data[4]
    with pytest.warns(UnreadableImageWarning, match="1 of 9 pictures do not open: .*left out"):
        checked = data.check()
    assert len(checked) == 8 and len(data) == 9
    assert [checked[i]["labels"] for i in range(8)] == [0, 0, 0, 1, 1, 2, 2, 2]
    (bad,) = checked.unreadable
    assert bad.row == 4 and bad.path == index.paths[4] and bad.reason
    assert checked.check() is checked


def test_more_damage_than_was_allowed_is_an_error_that_names_the_first(tmp_path):
    index = birds(tmp_path, at1=b"", at4=b"x", at8=None)
    with pytest.raises(UnreadableImageError, match=r"3 of 9 .*_0001.jpg.*above max_bad_share=0.3"):
        ImageData(index, as_array, max_bad_share=0.3).check()
    with pytest.warns(UnreadableImageWarning):
        assert len(ImageData(index, as_array, max_bad_share=0.34).check()) == 6


def test_a_class_that_would_lose_all_its_pictures_is_an_error(tmp_path):
    index = birds(tmp_path, n=1, at0=b"")
    with pytest.raises(UnreadableImageError, match="No picture of the class 'Black footed Alba"):
        ImageData(index, as_array, max_bad_share=1.0).check()


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_checking_reports_progress_and_finds_the_same_in_several_threads(n_jobs, tmp_path):
    index = birds(tmp_path, n=50, at7=b"", at140=b"x")
    seen = []
    with pytest.warns(UnreadableImageWarning, match="2 of 150"):
        data = ImageData(index, as_array, max_bad_share=0.05).check(
            n_jobs=n_jobs, progress=lambda done, total: seen.append((done, total))
        )
    assert [bad.row for bad in data.unreadable] == [7, 140]
    assert seen == [(64, 150), (128, 150), (150, 150)]


def test_worker_processes_give_the_same_batches_as_none(tmp_path):
    data = ImageData(birds(tmp_path), tiny_models.image_processor())
    alone = list(DataLoader(data, batch_size=4))
    with warnings.catch_warnings():
        # forking beside threads is PyTorch's default way on Linux
        warnings.simplefilter("ignore", DeprecationWarning)
        together = list(DataLoader(data, batch_size=4, num_workers=2))
    assert [len(batch["labels"]) for batch in together] == [4, 4, 1]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one["pixel_values"], other["pixel_values"])
        assert torch.equal(one["labels"], other["labels"])


@pytest.mark.parametrize("packed", [False, True])
def test_it_can_be_sent_to_a_process_that_does_not_share_memory(tmp_path, packed):
    official_folders.omniglot(tmp_path, picture=picture(kind="PNG", color=GREEN), packed=packed)
    data = ImageData(load_images("omniglot", tmp_path), tiny_models.image_processor())
    first = data[0]  # the archive is open now, and must not go with it
    sent = ForkingPickler.loads(ForkingPickler.dumps(data))
    assert len(sent) == len(data) and sent.classes == data.classes
    assert torch.equal(sent[0]["pixel_values"], first["pixel_values"])


def test_archives_are_read_in_worker_processes(tmp_path):
    content = picture("1", (105, 105), 1, "PNG")
    official_folders.omniglot(tmp_path, picture=content, packed=True)
    data = ImageData(load_images("omniglot", tmp_path), as_array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        batches = list(DataLoader(data, batch_size=8, num_workers=2))
    assert sum(len(batch["labels"]) for batch in batches) == 32
    assert all((batch["pixel_values"] == 255).all() for batch in batches)


def test_a_hugging_face_processor_feeds_a_model(tmp_path):
    model, processor = tiny_models.tiny("clip_vision", task="classification")
    data = ImageData(birds(tmp_path), processor)
    batch = next(iter(DataLoader(data, batch_size=3)))
    assert batch["pixel_values"].shape == (3, 3, 16, 16)
    assert batch["pixel_values"].dtype == torch.float32
    assert torch.isfinite(model(**batch).loss)

    class Both:
        image_processor = processor

    both = ImageData(birds(tmp_path), Both())
    assert torch.equal(both[0]["pixel_values"], data[0]["pixel_values"])


def test_pictures_are_cut_to_the_box(tmp_path):
    left = np.zeros((20, 30, 3), np.uint8)
    left[2:7, 1:11] = 255  # the box of the second picture of the second bird
    held = io.BytesIO()
    Image.fromarray(left).save(held, "PNG")
    index = birds(tmp_path, content=held.getvalue())
    assert index.boxes[4].tolist() == [1, 2, 11, 8]
    cut = ImageData(index, as_array, crop=True)[4]["pixel_values"]
    assert cut.shape == (3, 6, 10)
    assert (cut[:, :5] == 255).all() and (cut[:, 5] == 0).all()
    whole = ImageData(index, as_array)[4]["pixel_values"]
    assert whole.shape == (3, 20, 30)


def test_a_box_outside_of_the_picture_is_damage(tmp_path):
    index = birds(tmp_path, at4=picture(size=(1, 1)))
    assert ImageData(index, as_array).check() is not None
    with pytest.warns(UnreadableImageWarning, match=r"its box \(1, 2, 1, 1\) is outside"):
        ImageData(index, as_array, crop=True, max_bad_share=0.2).check()


def test_splits_counts_and_thinned_sets(tmp_path):
    index = birds(tmp_path, n=9)
    thin = long_tail(index, 4, random_state=0)
    data = ImageData(thin, as_array, split="train")
    assert list(data.class_counts.values()) == [8, 4, 2]
    assert data.classes == index.classes and len(data) == 14
    assert len(ImageData(thin, as_array, split="test")) == 3
    with pytest.raises(InvalidInputError, match="`split` of `ImageData` must be one of 'test', 't"):
        ImageData(thin, as_array, split="dev")


def test_digits_in_memory(shared_data):
    digits = load_idx(shared_data)
    data = ImageData(digits, as_array, split="test")
    row = data[5]
    assert row["pixel_values"].shape == (3, 28, 28) and row["labels"] == digits.label[5]
    np.testing.assert_array_equal(row["pixel_values"][1].numpy(), digits.image[5])
    small = {key: digits[key] for key in ("label", "split", "classes")}
    few = ImageData({**small, "image": digits.image}, as_array, split="test")
    assert few.class_counts["1"] == 1135


HELD = {
    "image": [np.full((4, 5), 40 * i, np.uint8) for i in range(3)],
    "label": [0, 1, 0],
    "split": ["test", "train", "train"],
    "classes": ["a", "b"],
}


def test_a_list_of_pictures_in_memory_has_splits_and_may_be_thinned():
    data = ImageData(HELD, lambda image: np.asarray(image)[0, 0, 0], split="train")
    assert [row["pixel_values"] for row in data] == [40, 80]
    thin = long_tail(HELD, 1, random_state=0)
    assert len(ImageData(thin, as_array)) == 3
    sizes = {**HELD, "image": [np.zeros((i, 5), np.uint8) for i in (4, 4, 9)]}
    assert ImageData(sizes, as_array)[2]["pixel_values"].shape == (3, 9, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [0, 5, 0]}, r"codes from 0 to 1 as its 'label', .* got \[0, 5, 0\]"),
        ({"label": ["a", "b", "a"]}, "codes from 0 to 1 as its 'label'"),
        ({"label": [0, 1]}, r"`label` passed to `ImageData` must have as many rows as `image`"),
        ({"split": ["train"]}, "`split` passed to `ImageData` must have as many rows"),
    ],
    ids=["outside", "names", "labels", "splits"],
)
def test_pictures_in_memory_that_do_not_fit_their_labels(change, message):
    with pytest.raises(InvalidInputError, match=message):
        ImageData({**HELD, **change}, as_array)


def test_rows_count_from_the_end_and_end_where_they_end(tmp_path):
    data = ImageData(birds(tmp_path), as_array)
    assert data[-1]["labels"] == 2
    with pytest.raises(IndexError):
        data[9]
    assert sum(1 for _ in data) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": ["a.jpg"]}, "`index` passed to `ImageData` must be what `load_images`"),
        ({"processor": "clip"}, "`processor` passed to `ImageData` must be an image processor or"),
        ({"max_bad_share": 1.5}, r"`max_bad_share` of `ImageData` must lie in \[0, 1\]"),
        ({"crop": 1}, "`crop` of `ImageData` must be one of True, False"),
        ({"crop": True}, "`crop` of `ImageData` needs boxes"),
    ],
)
def test_wrong_use_is_one_sentence(changes, message):
    digits = {"image": np.zeros((1, 2, 2), np.uint8), "label": [0], "classes": ["0"]}
    with pytest.raises(InvalidInputError, match=message):
        ImageData(**{"index": digits, "processor": as_array, **changes})
