"""Fingerprints: equal for equal data, different for any change, useless without the key."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from isonomy.artefact import data_fingerprint, matches_fingerprint
from isonomy.errors import InvalidInputError

X = np.arange(6.0).reshape(2, 3)


def digest(*arrays, key="k"):
    return data_fingerprint(*arrays, key=key)["digest"]


def test_a_salted_fingerprint_recognises_the_data_and_differs_each_time():
    first, second = data_fingerprint(X, ["a", "b"]), data_fingerprint(X, ["a", "b"])
    assert first["digest"] != second["digest"]
    assert matches_fingerprint(first, X, ["a", "b"])
    assert not matches_fingerprint(first, X, ["a", "c"])


def test_a_keyed_fingerprint_is_the_same_each_time():
    assert data_fingerprint(X, key="k") == data_fingerprint(X, key=b"k")
    assert digest(X) != digest(X, key="other")


def test_the_digest_is_blake2b_over_length_prefixed_parts():
    """A literal transcription for one small array."""
    state = hashlib.blake2b(key=hashlib.blake2b(b"k", digest_size=32).digest(), digest_size=32)
    for part in (b"array", b"(2,)", b"<i8", np.array([1, 2], "<i8").tobytes()):
        state.update(len(part).to_bytes(8, "little") + part)
    assert digest(np.array([1, 2], "i8")) == state.hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        X.T,
        X.reshape(3, 2),
        X.astype("f4"),
        X + np.eye(2, 3) * 1e-15,
        X[::-1],
        np.vstack([X, X]),
        X.astype(object),
    ],
)
def test_every_change_of_shape_dtype_or_value_counts(changed):
    assert digest(X) != digest(changed)


@given(
    first=st.lists(st.text(max_size=3), max_size=4),
    second=st.lists(st.text(max_size=3), max_size=4),
)
def test_lists_of_words_agree_only_if_equal(first, second):
    arrays = [np.array(v, dtype=object) for v in (first, second)]
    assert (digest(arrays[0]) == digest(arrays[1])) == (first == second)


def test_where_one_array_ends_counts():
    assert digest(["ab"], ["c"]) != digest(["a"], ["bc"])
    assert digest(["a", "b"]) != digest(["a"], ["b"])


def test_memory_layout_and_width_of_strings_do_not_count():
    assert digest(X) == digest(np.asfortranarray(X)) == digest(X.astype(">f8"))
    assert digest(np.array(["a", "bb"])) == digest(np.array(["a", "bb"], dtype=object))
    assert digest(np.array(["a", "bb"], dtype="U9")) == digest(pd.Series(["a", "bb"]))


def test_frames_count_with_their_column_names():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    same = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert digest(frame) == digest(same)
    assert digest(frame) != digest(frame.rename(columns={"a": "c"}))
    assert digest(frame) != digest(frame[["b", "a"]])


def test_all_kinds_of_missing_count_as_missing():
    values = [None, float("nan"), pd.NA, pd.NaT]
    digests = {digest(np.array(["a", v], dtype=object)) for v in values}
    assert len(digests) == 1
    assert digest(np.array(["a", "missing"], dtype=object)) not in digests


def test_the_environment_variable_is_the_key(monkeypatch):
    monkeypatch.setenv("ISONOMY_FINGERPRINT_KEY", "k")
    fingerprint = data_fingerprint(X)
    assert "salt" not in fingerprint
    assert fingerprint == data_fingerprint(X, key="k")
    assert matches_fingerprint(fingerprint, X)


def test_a_missing_or_wrong_key_is_told_from_other_data():
    fingerprint = data_fingerprint(X, key="k")
    with pytest.raises(InvalidInputError, match=r"must be the key .* got none"):
        matches_fingerprint(fingerprint, X)
    with pytest.raises(InvalidInputError, match="got another one"):
        matches_fingerprint(fingerprint, X, key="wrong")
    assert not matches_fingerprint(fingerprint, X + 1, key="k")


def test_an_empty_key_is_refused(monkeypatch):
    with pytest.raises(InvalidInputError, match="must not be empty"):
        data_fingerprint(X, key="")
    monkeypatch.setenv("ISONOMY_FINGERPRINT_KEY", "")
    with pytest.raises(InvalidInputError, match="must not be empty"):
        data_fingerprint(X)


def test_nothing_and_sparse_matrices_are_refused():
    with pytest.raises(InvalidInputError, match="at least one array"):
        data_fingerprint()
    with pytest.raises(InvalidInputError, match="must be dense"):
        data_fingerprint(sparse.eye(2))


def test_something_else_is_no_fingerprint():
    with pytest.raises(InvalidInputError, match=r"must come from `data_fingerprint`"):
        matches_fingerprint({"sha1": "00"}, X)
