"""Bounds and whole numbers: every value becomes the nearest possible one, and it is counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isonomy.errors import InvalidInputError
from isonomy.steering._feasible import Feasible, FeasibleColumns

values = st.floats(-40.0, 40.0, width=32)
tables = arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=values)
BOUNDS = {0: (-3.5, 12.25), 2: (None, 7.6)}


def nearest_possible(x: float, low: float, high: float, whole: bool) -> float:
    """Look for the nearest possible value among all candidates, halves to the even one."""
    if not whole:
        return min(max(x, low), high)
    span = [k for k in range(-60, 61) if low <= k <= high]
    return float(min(span, key=lambda k: (abs(k - x), k % 2)))


@given(rows=tables, train=tables)
def test_every_value_becomes_the_nearest_possible_one(rows, train):
    fitted = Feasible(BOUNDS, [0, 1]).fit(train)
    found, correction = fitted.apply(rows)
    limits = [(-3.5, 12.25, True), (-np.inf, np.inf, True), (-np.inf, 7.6, False)]
    expected = [[nearest_possible(x, *limits[j]) for j, x in enumerate(row)] for row in rows]
    assert found == pytest.approx(np.array(expected))
    assert rows + correction == pytest.approx(found)


@given(rows=tables, train=tables)
def test_possible_rows_stay_as_they_are(rows, train):
    fitted = Feasible("observed", "auto").fit(train)
    assert np.array_equal(fitted.apply(train)[0], train)
    found, _ = fitted.apply(rows)
    again, correction = fitted.apply(found)
    assert np.array_equal(again, found)
    assert not correction.any()
    assert (found >= train.min(axis=0)).all()
    assert (found <= train.max(axis=0)).all()


def test_halves_go_to_the_even_neighbour():
    fitted = Feasible(None, [0]).fit(np.zeros((1, 1)))
    found, _ = fitted.apply([[0.5], [1.5], [2.5], [-0.5], [-1.5]])
    assert found.ravel().tolist() == [0.0, 2.0, 2.0, 0.0, -2.0]


def test_auto_finds_columns_that_held_whole_numbers_alone():
    fitted = Feasible(None, "auto").fit([[1.0, 0.5, 3.0], [2.0, 1.0, -4.0]], ["a", "b", "c"])
    assert fitted.whole.tolist() == [True, False, True]
    assert Feasible().fit([[1.0]]).is_free
    assert not fitted.is_free


@given(low=st.floats(0.01, 1.0), width=st.floats(0.0, 5.0))
def test_single_precision_never_leaves_the_bounds(low, width):
    fitted = Feasible({0: (low, low + width + 1e-3)}).fit(np.zeros((2, 1)))
    rows = np.array([[-9.0], [9.0]], dtype=np.float32)
    found, _ = fitted.apply(rows)
    assert found.dtype == np.float32
    assert (found.astype(np.float64) >= fitted.low).all()
    assert (found.astype(np.float64) <= fitted.high).all()
    assert found[:, 0] == pytest.approx([low, low + width + 1e-3], rel=1e-6)


def test_the_report_counts_what_was_changed():
    train = np.array([[0.0, 0.0, 5.0], [2.0, 4.0, 5.0]])  # deviations 1, 2 and 0
    fitted = Feasible({"age": (0, 2), "hours": (0, None)}, ["age"]).fit(
        train, ["age", "hours", "fixed"]
    )
    rows = np.array([[3.0, 1.0, 5.0], [1.25, -1.0, 5.0], [1.0, 2.0, 5.0], [-1.0, 1.0, 6.0]])
    report = fitted.report(rows, [0, 0, 1, 1], ["f", "m"])
    assert report.touched == pytest.approx([0.75, 0.25, 0.0])
    assert report.clipped == pytest.approx([0.5, 0.25, 0.0])
    assert report.mean == pytest.approx([(1 + 0.25 + 1) / 4, 1 / 4 / 2, 0.0])
    assert report.largest == pytest.approx([1.0, 0.5, 0.0])
    # corrections of "age": -1, -.25 in f, 0 and +1 in m; of "hours": +1 in one row of f
    assert report.group_shift == pytest.approx(np.array([[-0.625, 0.25, 0.0], [0.5, 0.0, 0.0]]))
    assert report.moved_apart == pytest.approx([1.125, 0.25, 0.0])
    assert "2 of 3 columns" in report.sentence()
    assert "75.0% of 4 rows" in report.sentence()
    assert "1.12 standard deviations (column 'age')" in report.sentence()
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["columns"]["age"]["group_shift"] == {"f": -0.625, "m": 0.5}


def test_a_column_that_never_varied_has_no_unit():
    fitted = Feasible({0: (5.0, 5.0)}).fit(np.full((3, 1), 5.0))
    report = fitted.report(np.array([[6.0]]), [0], ["a", "b"][:1])
    assert report.largest.tolist() == [np.inf]
    assert report.group_shift.tolist() == [[-np.inf]]
    assert fitted.report(np.full((2, 1), 5.0)).largest.tolist() == [0.0]


def test_rows_that_need_nothing_say_so():
    fitted = Feasible("observed").fit([[0.0], [1.0]])
    assert "All 1 rows kept" in fitted.report([[0.5]]).sentence()
    empty = fitted.report(np.empty((0, 1)), [], ["a"])
    assert np.isnan(empty.touched).all()
    assert np.isnan(empty.group_shift).all()


def test_the_limits_come_back_from_tensors():
    fitted = Feasible({0: (0, None)}, [1]).fit(np.arange(6.0).reshape(3, 2), ["a", "b"])
    back = FeasibleColumns.from_tensors(fitted.to_tensors(), ["a", "b"])
    assert back is not None
    rows = np.array([[-1.0, 2.4]])
    assert np.array_equal(back.apply(rows)[0], fitted.apply(rows)[0])
    assert back.whole.dtype == bool
    assert back.columns == ("a", "b")
    assert FeasibleColumns.from_tensors({}, ["a"]) is None


@pytest.mark.parametrize(
    ("bounds", "integers", "match"),
    [
        ({"z": (0, 1)}, None, r"must name columns of `X` \('a', 'b'\), got 'z'"),
        ({2: (0, 1)}, None, "got 2"),
        ({"a": (2, 1)}, None, r"must not be empty for column 'a', got \(2, 1\)"),
        ({"a": (0.2, 0.8)}, ["a"], "must hold a whole number for column 'a'"),
        ({0: (0.2, 0.8)}, ["a"], r"got \(0.2, 0.8\)"),
        ({"a": 3}, None, "two numbers or None, got 3"),
        ({"a": (np.nan, 1)}, None, "two numbers or None"),
        ("seen", None, "'observed', a mapping"),
        ([(0, 1)], None, "'observed', a mapping"),
        (None, "a", "Put a single column into a list"),
        (None, [True], "got True"),
    ],
)
def test_wrong_limits_are_named(bounds, integers, match):
    with pytest.raises(InvalidInputError, match=match):
        Feasible(bounds, integers, where="IdealSteerer").fit(np.zeros((2, 2)), ["a", "b"])


def test_wrong_shapes_are_named():
    with pytest.raises(InvalidInputError, match="two axes and a row or more"):
        Feasible().fit(np.empty((0, 2)))
    fitted = Feasible("observed").fit(np.zeros((2, 2)))
    with pytest.raises(InvalidInputError, match="must have 2 columns"):
        fitted.apply(np.zeros((1, 3)))
