"""The tree keeps the order, takes every item once, holds few, and is not deep."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributed._merge_tree import MergeTree


def joined(items: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(number for item in items for number in item)


@given(n=st.integers(0, 200), fan_in=st.integers(2, 9))
def test_every_item_is_merged_once_in_order_at_every_length(n, fan_in):
    tree = MergeTree(joined, fan_in)
    for i in range(n):
        tree.add((i,))
    assert tree.result() == (tuple(range(n)) if n else None)
    assert tree.result() == (tuple(range(n)) if n else None)  # asking changes nothing


@given(n=st.integers(1, 300), fan_in=st.integers(2, 9))
def test_few_items_are_held_and_the_tree_is_not_deep(n, fan_in):
    levels = 1
    while fan_in**levels <= n:
        levels += 1  # floor(log_fan_in(n)) + 1, in whole numbers

    def deepest(items: Sequence[int]) -> int:
        assert 2 <= len(items) <= fan_in
        return 1 + max(items)

    tree = MergeTree(deepest, fan_in)
    for _ in range(n):
        tree.add(0)
        assert tree.held <= (fan_in - 1) * levels
    assert tree.result() <= levels


def test_a_tree_of_one_item_merges_nothing():
    tree = MergeTree(lambda items: pytest.fail("merged"))
    tree.add("only")
    assert tree.result() == "only"
