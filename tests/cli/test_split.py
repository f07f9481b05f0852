"""One split for fitting and judging: every row once, every cell in proportion."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.cli._split import split_by_cell
from isonomy.errors import InvalidInputError

cells = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("mf")), min_size=30, max_size=80)


@given(rows=cells, share=st.sampled_from([0.3, 0.5, 0.7]), seed=st.integers(0, 99))
def test_every_row_is_on_one_side_and_every_cell_is_cut_by_its_size(
    rows: list[tuple[str, str]], share: float, seed: int
) -> None:
    y, groups = zip(*rows, strict=True)
    fitted, judged = split_by_cell(y, groups, test_size=share, random_state=seed)
    assert sorted([*fitted, *judged]) == list(range(len(rows)))
    sizes, kept_apart = Counter(rows), Counter(rows[i] for i in judged)
    for cell, n in sizes.items():
        assert kept_apart[cell] == int(n * share + 1e-9)


def test_the_rows_kept_apart_are_drawn_at_random_and_repeatably() -> None:
    y, groups = np.zeros(1000, dtype=int), np.repeat(["a", "b"], 500)
    first = split_by_cell(y, groups, test_size=0.3, random_state=0)[1]
    assert np.array_equal(first, split_by_cell(y, groups, test_size=0.3, random_state=0)[1])
    other = split_by_cell(y, groups, test_size=0.3, random_state=1)[1]
    # two draws of 300 of 1,000 share 90 on average, with a standard deviation below 8
    assert 50 < len(np.intersect1d(first, other)) < 130


def test_a_share_of_a_cell_is_counted_as_in_decimal() -> None:
    judged = split_by_cell([0] * 100, ["a"] * 100, test_size=0.29, random_state=0)[1]
    assert len(judged) == 29


def test_a_share_that_leaves_nobody_to_judge_on_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"--test-size 0\.3 leaves no row .* 2 row\(s\)"):
        split_by_cell([0, 0, 1, 1], ["a"] * 4, test_size=0.3, random_state=0)
