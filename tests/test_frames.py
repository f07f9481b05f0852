"""Reading matrices and frames, and giving back the caller's own kind."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from isonomy import errors
from isonomy._frames import column_list, read_table, take_columns


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_arrays_keep_floating_types(dtype):
    table = read_table(np.ones((3, 2), dtype=dtype), where="f")
    assert table.values.dtype == (dtype if dtype != np.int64 else np.float64)
    assert table.rebuild(table.values * 2.0).dtype == table.values.dtype


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames_split_numbers_from_the_rest(kind):
    columns = {"a": [1, 2], "b": ["x", "y"], "c": [1.5, 2.5], "d": [True, False]}
    frame = pd.DataFrame(columns) if kind == "pandas" else pl.DataFrame(columns)
    table = read_table(frame, where="f")
    assert table.names == ("a", "c") and table.untouched == ("b", "d")
    out = table.rebuild(table.values + 0.5)
    assert type(out) is type(frame) and list(out.columns) == list("abcd")
    assert list(out["a"]) == [1.5, 2.5]


def test_a_shuffled_pandas_index_is_kept_and_not_aligned():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], 7: [4.0, 5.0, 6.0]}, index=[5, 5, 0])
    out = (table := read_table(frame, where="f")).rebuild(table.values * 10)
    assert out.index.tolist() == [5, 5, 0]
    assert out["a"].tolist() == [10, 20, 30] and out[7].tolist() == [40, 50, 60]


def test_columns_are_taken_by_name_or_index():
    frame = pd.DataFrame({"a": [1.0], "sex": ["F"], 3: [2.0]})
    rest, picked = take_columns(frame, ["sex"], where="f")
    assert list(rest.columns) == ["a", 3] and picked["sex"].tolist() == ["F"]
    rest, picked = take_columns(np.array([[1.0, "F", 2.0]], dtype=object), [1], where="f")
    assert rest.dtype == np.float64 and rest.tolist() == [[1.0, 2.0]] and picked.tolist() == [["F"]]


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (sparse.eye(3, format="csr"), errors.SparseInputError, "TruncatedSVD"),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), errors.InvalidInputError,
         "got 2 NaN or infinite value.*column 'x1', row 0"),
        (pd.DataFrame({"a": [1.0, None], "b": [1, 2]}), errors.InvalidInputError,
         "got 1 NaN .* column 'a', row 1"),
        (pl.DataFrame({"a": [1, None]}), errors.InvalidInputError, "column 'a', row 1"),
        (np.zeros((0, 2)), errors.InvalidInputError, "at least one row"),
        (pd.DataFrame({"a": pd.Series([], dtype=float)}), errors.InvalidInputError, "got 0 rows"),
        (np.zeros(3), errors.InvalidInputError, "must be 2-D, got 1 dimension"),
        (pd.DataFrame({"a": ["x"]}), errors.InvalidInputError, "at least one numeric column"),
        (np.array([["x"]], dtype=object), errors.InvalidInputError, "array of numbers"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), Exception, "a"),
    ],
)  # fmt: skip
def test_bad_matrices_are_named(X, error, match):
    with pytest.raises(error, match=match):
        read_table(X, where="f")


def test_unknown_group_columns_are_named():
    with pytest.raises(errors.InvalidInputError, match=r"got \['sexx'\]; `X` has: a"):
        take_columns(pd.DataFrame({"a": [1]}), ["sexx"], where="f")
    with pytest.raises(errors.InvalidInputError, match=r"got \[5\]; `X` has: 0, 1"):
        take_columns(np.zeros((2, 2)), [5], where="f")


@pytest.mark.parametrize("dtype", ["Float64", "Float32", "double[pyarrow]", "float[pyarrow]"])
def test_nullable_and_arrow_backed_floats_keep_their_kind(dtype):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}).astype(dtype)
    out = (table := read_table(frame, where="f")).rebuild(table.values + 0.5)
    assert (out.dtypes == frame.dtypes).all()
    assert out["a"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("frame", [pd.DataFrame([[1, 2]], columns=["a", "a"])])
def test_repeated_column_names_are_named(frame):
    with pytest.raises(errors.InvalidInputError, match="distinct column names: .*'a' 2 times"):
        read_table(frame, where="f")
    with pytest.raises(errors.InvalidInputError, match="distinct column names: .*'a' 2 times"):
        take_columns(frame, ["a"], where="f")


def test_a_lazy_frame_is_asked_to_collect():
    with pytest.raises(errors.InvalidInputError, match=r"got a lazy one.*collect"):
        read_table(pl.DataFrame({"a": [1.0]}).lazy(), where="f")


def test_columns_may_be_counted_from_the_end():
    rest, picked = take_columns(np.array([[1.0, 2.0, 3.0]]), [-1], where="f")
    assert rest.tolist() == [[1.0, 2.0]] and picked.tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [(None, []), ("sex", ["sex"]), (0, [0]), (("a", "b"), ["a", "b"]), (pd.Index(["a"]), ["a"]),
     (np.array([1, 2]), [1, 2]), ([], []), (["a", "a"], ["a"])],
)  # fmt: skip
def test_group_columns_may_be_one_or_several(columns, expected):
    assert column_list(columns) == expected
