"""load_idx: what was written comes back, and damaged files are named."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isonomy.datasets import load_idx, read_idx
from isonomy.errors import DataFileError, InvalidInputError

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def as_idx(values, kind="u1"):
    values = np.asarray(values)
    head = bytes([0, 0, CODES[kind], values.ndim])
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.astype(kind).tobytes()


def write_pair(folder, prefix, images, labels, *, packed=False, mark="-"):
    for what, d, values in (("images", 3, images), ("labels", 1, labels)):
        name = f"{prefix}-{what}{mark}idx{d}-ubyte"
        raw = as_idx(values)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / name).write_bytes(raw)


@given(data=st.data(), kind=st.sampled_from(list(CODES)))
def test_what_was_written_comes_back(data, kind, tmp_path):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    values = data.draw(hnp.arrays(np.int8 if kind != "u1" else np.uint8, shape))
    path = tmp_path / "values"
    path.write_bytes(as_idx(values, kind))
    found = read_idx(path)
    np.testing.assert_array_equal(found, values.astype(kind))
    assert found.dtype.isnative and found.flags.writeable


@pytest.mark.parametrize("kind", CODES)
def test_the_most_significant_byte_comes_first(tmp_path, kind):
    path = tmp_path / "values"
    path.write_bytes(as_idx([1, 2, 100], kind))
    assert read_idx(path).tolist() == [1, 2, 100]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("mark", ["-", "."])
def test_both_splits_in_any_spelling(tmp_path, packed, mark):
    rng = np.random.RandomState(0)
    train, test = (rng.randint(0, 256, (n, 3, 2)) for n in (5, 2))
    write_pair(tmp_path, "train", train, [0, 1, 2, 1, 0], packed=packed, mark=mark)
    write_pair(tmp_path, "t10k", test, [2, 0], packed=packed, mark=mark)
    data = load_idx(tmp_path)
    np.testing.assert_array_equal(data.image, np.concatenate([train, test]))
    assert data.label.tolist() == [0, 1, 2, 1, 0, 2, 0]
    assert data.split.tolist() == ["train"] * 5 + ["test"] * 2
    assert data.classes == ["0", "1", "2"]
    named = load_idx(tmp_path, classes=["shirt", "shoe", "bag", "coat"], validation_share=0.5)
    assert named.classes[3] == "coat"
    assert (named.split == "validation").sum() == 2


def test_the_shared_digits(shared_data):
    digits = load_idx(shared_data)
    assert digits.image.shape == (10_000, 28, 28) and digits.image.dtype == np.uint8
    assert np.bincount(digits.label).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert set(digits.split) == {"test"}


GOOD = as_idx([1, 2, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be an idx file, but its first bytes are missing"),
        (gzip.compress(GOOD), "its first bytes are 1f 8b 08 00. Is it gzipped without"),
        (b"\0\0\x07\x01" + GOOD[4:], "must be an idx file, but its first bytes are 00 00 07 01"),
        (GOOD[:6], "must be an idx file"),
        (GOOD[:-1], r"must hold 3 bytes after its head for the shape \(3,\), got 2"),
        (GOOD + b"x", "got 4"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, r"must hold 6338\d+ bytes after its head"),
    ],
    ids=["empty", "gzipped", "type", "head", "short", "long", "vast"],
)
def test_damaged_files_are_named(tmp_path, content, message):
    path = tmp_path / "labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_idx(path)


def test_a_truncated_archive_and_a_missing_file(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(GOOD)[:-9])
    with pytest.raises(DataFileError, match="read_idx could not read .*a.gz"):
        read_idx(tmp_path / "a.gz")
    with pytest.raises(DataFileError, match="read_idx could not read .*nothing"):
        read_idx(tmp_path / "nothing")


def test_pairs_that_do_not_belong_together(tmp_path):
    with pytest.raises(DataFileError, match="must be a folder that holds train-labels-idx1-ubyte"):
        load_idx(tmp_path)
    write_pair(tmp_path, "train", np.zeros((3, 2, 2)), [0, 1])
    with pytest.raises(DataFileError, match=r"as many labels.* \(3, 2, 2\) and \(2,\)"):
        load_idx(tmp_path)
    write_pair(tmp_path, "train", np.zeros((0, 2, 2)), [])
    with pytest.raises(DataFileError, match=r"needs pictures and as many labels.* and \(0,\)"):
        load_idx(tmp_path)
    for last in (2, 7):
        write_pair(tmp_path, "train", np.zeros((2, 2, 2)), [0, last])
        with pytest.raises(InvalidInputError, match=f"labels reach from 0 to {last}"):
            load_idx(tmp_path, classes=["a", "b"])
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(DataFileError, match=r"needs train-images-idx3-ubyte\[.gz\] beside"):
        load_idx(tmp_path)
