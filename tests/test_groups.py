"""Groups, cells and weights."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy import errors
from isonomy.groups import (
    MISSING_GROUP,
    check_no_empty_cell,
    encode_groups,
    find_cells,
    kamiran_calders_weights,
    sort_labels,
)

labels = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), min_size=1, max_size=60)


@given(rows=labels)
def test_codes_lead_back_to_the_values(rows):
    values = [a for _, a in rows]
    found = encode_groups(values, where="test")
    assert found.values.tolist() == values
    assert list(found.labels) == sorted(set(values))
    assert found.counts.tolist() == [values.count(g) for g in found.labels]


@given(rows=labels)
def test_counts_are_the_literal_ones(rows):
    y, group = [v for v, _ in rows], [a for _, a in rows]
    cells = find_cells(y, group, where="test")
    for i, label in enumerate(cells.classes):
        for a, name in enumerate(cells.groups):
            expected = sum(v == label and g == name for v, g in rows)
            assert cells.n_rows[i, a] == cells.counts[i, a] == expected


@given(rows=labels)
def test_weights_make_label_and_group_independent(rows):
    y, group = np.array([v for v, _ in rows]), np.array([a for _, a in rows])
    w = kamiran_calders_weights(y, sensitive_features=group)
    for label in np.unique(y):
        for a in np.unique(group):
            cell = (y == label) & (group == a)
            if cell.any():
                expected = (y == label).mean() * (group == a).mean() / cell.mean()
                assert w[cell] == pytest.approx(expected)


@given(rows=labels, copies=st.integers(1, 3))
def test_integer_weights_equal_repeated_rows(rows, copies):
    y, group = np.array([v for v, _ in rows]), np.array([a for _, a in rows])
    counts = 1 + np.arange(len(y)) % copies
    weighted = kamiran_calders_weights(y, sensitive_features=group, sample_weight=counts)
    repeated = kamiran_calders_weights(
        np.repeat(y, counts), sensitive_features=np.repeat(group, counts)
    )
    assert np.repeat(weighted / counts, counts) == pytest.approx(repeated)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, np.asarray])
def test_several_columns_make_intersectional_groups(kind):
    columns = {"sex": ["F", "M", "F"], "race": ["B", "W", "W"]}
    given_ = np.array([columns["sex"], columns["race"]]).T if kind is np.asarray else kind(columns)
    assert encode_groups(given_, where="test").values.tolist() == ["F, B", "M, W", "F, W"]


def test_joined_names_that_collide_raise():
    rows = np.array([["a, b", "c"], ["a", "b, c"]])
    with pytest.raises(errors.InvalidInputError, match="one joined name; remove the commas"):
        encode_groups(rows, where="test")


@pytest.mark.parametrize(
    "values",
    [
        ["F", None, "M", None],
        [1.0, np.nan, 2.0, np.nan],
        pd.Series(["F", pd.NA, "M", pd.NA]),
        pd.Series([1, None, 2, None], dtype="Int64"),
        pl.Series(["F", None, "M", None]),
        pd.Series(["F", None, "M", None], dtype="category"),
        np.array(["2026-01-01", "NaT", "2026-01-02", "NaT"], dtype="datetime64[D]"),
    ],
)
def test_missing_values_raise_with_their_count_or_form_a_group(values):
    with pytest.raises(errors.MissingGroupValuesError, match="got 2 missing of 4"):
        encode_groups(values, where="test")
    found = encode_groups(values, missing="own_group", where="test")
    assert found.labels[-1] == MISSING_GROUP
    assert found.counts.tolist() == [1, 1, 2]


def test_a_value_named_like_the_missing_group_raises():
    with pytest.raises(errors.InvalidInputError, match="rename that value"):
        encode_groups([MISSING_GROUP, None], missing="own_group", where="test")


def test_empty_cells_are_named():
    cells = find_cells([0, 1, 1], ["a", "a", "b"], where="test")
    with pytest.raises(errors.EmptyCellError, match=r"got none in 1 of 4: \(label 0, group b\)"):
        check_no_empty_cell(cells, where="test")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (None, "one group a row, got None"),
        ([], r"as many rows as `X` \(3\), got 0"),
        (np.zeros((2, 2, 2)), "1-D or 2-D"),
        (pd.DataFrame(index=range(3)), "at least one column"),
        (["a"] * 4, r"as many rows as `X` \(3\), got 4"),
    ],
)
def test_bad_groups_are_named(values, match):
    with pytest.raises(errors.InvalidInputError, match=match):
        encode_groups(values, n_samples=3, where="test")


def test_groups_are_in_the_one_order_that_moments_and_laws_use():
    # by value (1, 2) comes before (1, 10); by name "1, 10" comes before "1, 2"
    pairs = np.array([[1, 2], [1, 10], [1, 2]])
    found = encode_groups(pairs, where="f")
    assert found.labels == ("1, 10", "1, 2")
    assert found.codes.tolist() == [1, 0, 1]
    missing = encode_groups(["b", None, "(a"], missing="own_group", where="f")
    assert missing.labels == ("(a", "b", "(missing)") == sort_labels(missing.labels[::-1])


def test_a_list_of_names_with_nan_misses_a_value():
    # NumPy would turn the NaN of such a list into the name "nan"
    with pytest.raises(errors.MissingGroupValuesError, match="got 1 missing of 3"):
        encode_groups(["F", float("nan"), "M"], where="f")
    found = encode_groups(["F", float("nan"), "M"], missing="own_group", where="f")
    assert found.labels == ("F", "M", MISSING_GROUP)


def test_a_list_of_names_and_numbers_keeps_both_kinds():
    assert encode_groups([1, "b", 1], where="f").labels == (1, "b")


@pytest.mark.parametrize("kind", [np.array, list, pd.Series])
def test_the_order_does_not_depend_on_the_container(kind):
    values = kind([MISSING_GROUP, "z", "a"])
    found = encode_groups(values, where="f")
    assert found.labels == ("a", "z", MISSING_GROUP)
    assert found.values.tolist() == [MISSING_GROUP, "z", "a"]


def test_a_missing_value_does_not_rename_the_other_intersections():
    # pandas turns a column of whole numbers into floats as soon as one is missing
    whole = pd.DataFrame({"age": [1, 2], "sex": ["F", "M"]})
    holed = pd.DataFrame({"age": [1, None, 2], "sex": ["F", "F", "M"]})
    assert encode_groups(whole, where="f").labels == ("1, F", "2, M")
    found = encode_groups(holed, missing="own_group", where="f")
    assert found.labels == ("(missing), F", "1, F", "2, M")


@pytest.mark.parametrize(
    "y", [["a", float("nan"), "b"], pd.Series(["a", pd.NA, "b"], dtype="string"), ["a", None, "b"]]
)
def test_missing_labels_are_counted_whatever_holds_them(y):
    with pytest.raises(errors.InvalidInputError, match="no missing labels, got 1 missing"):
        find_cells(y, ["a", "a", "b"], where="f")


def test_labels_without_a_common_order_are_named():
    with pytest.raises(errors.InvalidInputError, match="text beside other values"):
        find_cells(np.array([1, "a", 1], dtype=object), ["a", "a", "b"], where="f")


def test_weights_that_are_no_numbers_are_named():
    with pytest.raises(errors.InvalidInputError, match="`sample_weight` .* one number a row"):
        find_cells([0, 1], ["a", "b"], sample_weight=["x", "y"], where="f")
