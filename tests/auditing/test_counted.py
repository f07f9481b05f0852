"""``audit_counts``: number for number what ``audit`` says of the rows behind the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.auditing import audit
from isonomy.auditing._counted import audit_counts
from isonomy.errors import InvalidInputError


def table(seed: int, n: int) -> list[np.ndarray]:
    """Return n combinations of (true, predicted, sex, town, year) with their counts."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, k, n) for k in (3, 3, 2, 2, 2)]
    named = [np.array([f"{name}{v}" for v in c]) for name, c in zip("ccsty", columns, strict=True)]
    return [*named, rng.integers(1, 40, n)]


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 60), own=st.booleans())
def test_counts_are_audited_like_their_rows(seed: int, n: int, own: bool) -> None:
    true, predicted, sex, town, year, counts = table(seed, n)
    if len(set(sex)) < 2 or len(set(true) & set(predicted)) < 2:
        return
    sex = np.where(np.arange(n) % 7 == 0, None, sex.astype(object)) if own else sex
    more: dict[str, Any] = {"missing_groups": "own_group"} if own else {}
    short: dict[str, Any] = {"n_boot": 100, "min_cell": 5, "random_state": seed, **more}
    groups = sex if own else np.column_stack([sex, town])
    found = audit_counts(
        true, predicted, counts, sensitive_features=groups, control_features=year, **short
    )
    rows = np.repeat(np.arange(n), counts)
    np.random.default_rng(seed).shuffle(rows)
    expected = audit(
        true[rows],
        predicted[rows],
        sensitive_features=groups[rows],
        control_features=year[rows],
        **short,
    )
    assert found.to_dict() == expected.to_dict()


def test_small_groups_are_pooled_and_withheld_by_their_rows() -> None:
    y = np.array([0, 1] * 4)
    groups = np.repeat(["a", "b", "few", "rare"], 2)
    counts = np.array([30, 30, 30, 30, 3, 3, 3, 3])
    rows = np.repeat(np.arange(8), counts)
    found = audit_counts(y, y, counts, sensitive_features=groups, n_boot=100)
    expected = audit(y[rows], y[rows], sensitive_features=groups[rows], n_boot=100)
    assert found.to_dict() == expected.to_dict()
    assert [g["n"] for g in found.to_dict()["groups"]] == [60, 60, 12]


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ([1, 2, 3], "as many rows as `y_true`"),
        ([1, 2, 3, 0], "at least 1, got values from 0"),
        ([1, 2, 3, 0.5], "whole numbers"),
        ([1, 2, 3, np.nan], "whole numbers"),
        (["1", "2", "3", "4"], "one whole number a combination"),
    ],
    ids=["short", "zero", "fraction", "nan", "text"],
)
def test_counts_must_be_whole_and_positive(counts: Any, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        audit_counts([0, 1, 0, 1], [0, 1, 1, 1], counts, sensitive_features=["a", "a", "b", "b"])


@pytest.mark.parametrize("wrong", [{"n_boot": 5}, {"min_cell": -1}, {"confidence": 1.0}])
def test_a_wrong_number_is_told_of_the_function_that_was_called(wrong):
    with pytest.raises(InvalidInputError, match="`audit_counts`"):
        audit_counts([0, 1] * 2, [0, 1] * 2, [20] * 4, sensitive_features=list("aabb"), **wrong)
