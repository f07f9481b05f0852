"""Classes are split by a rule that a reader can apply by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.adapters.losses import class_groups
from isonomy.errors import InvalidInputError, SameCountsError

COUNTS = {"crow": 100, "wren": 60, "kite": 20, "shrike": 19, "hoopoe": 1}


def low(*args, **settings):
    found = class_groups(*args, **settings)
    assert (found.privileged ^ found.unprivileged).all()
    return [found.classes[i] for i in np.flatnonzero(found.unprivileged)]


def test_each_rule_by_hand():
    assert low(COUNTS) == ["kite", "shrike", "hoopoe"]  # the mean is 40
    assert low(COUNTS, threshold=20) == ["shrike", "hoopoe"]
    assert low(COUNTS, rule="ratio") == ["kite", "shrike", "hoopoe"]  # 100 / 20 = 5
    assert low(COUNTS, rule="ratio", ratio=50.0) == ["hoopoe"]
    assert low(COUNTS, rule="names", unprivileged=["wren"]) == ["wren"]
    assert low(COUNTS, rule="names", unprivileged="wren") == ["wren"]
    assert low([3, 1]) == ["1"]
    assert low([3, 1], classes=["x", "y"]) == ["y"]
    assert low({**COUNTS, "dodo": 0}, rule="ratio", ratio=99.0) == ["hoopoe", "dodo"]


@given(
    counts=st.lists(st.integers(1, 1000), min_size=2, max_size=10).filter(
        lambda c: len(set(c)) > 1
    ),
    factor=st.integers(1, 50),
)
def test_the_count_rule_needs_no_tuning(counts, factor):
    """Both sides have classes, the rarest is unprivileged; a larger sample splits alike."""
    found = class_groups(counts)
    assert found.unprivileged.any() and found.privileged.any()
    assert max(np.array(counts)[found.unprivileged]) < min(np.array(counts)[found.privileged])
    scaled = class_groups([factor * n for n in counts])
    np.testing.assert_array_equal(scaled.unprivileged, found.unprivileged)


@given(st.permutations(range(5)))
def test_relabelling_permutes(order):
    names = list(COUNTS)
    found = class_groups({names[i]: COUNTS[names[i]] for i in order})
    np.testing.assert_array_equal(found.unprivileged, class_groups(COUNTS).unprivileged[order])


@pytest.mark.parametrize("rule", ["count", "ratio"])
def test_equal_counts_have_their_own_error(rule):
    with pytest.raises(SameCountsError, match='got 5 rows for each of 3.*rule="names"'):
        class_groups([5, 5, 5], rule=rule)


def test_equal_counts_may_be_named():
    assert low([5, 5], rule="names", unprivileged=["1"]) == ["1"]


REFUSED = {
    "nobody below": ({"threshold": 1}, "both sides, got no unprivileged one: counts run from 1"),
    "everybody below": ({"threshold": 1000}, "got no privileged one"),
    "ratio not reached": ({"rule": "ratio", "ratio": 101.0}, "no unprivileged"),
    "ratio below one": ({"rule": "ratio", "ratio": 0.5}, "`ratio` of `class_groups`"),
    "no names": ({"rule": "names"}, "got none"),
    "unknown name": ({"rule": "names", "unprivileged": ["emu"]}, "unknown 'emu'"),
    "all named": ({"rule": "names", "unprivileged": list(COUNTS)}, "no privileged"),
    "unknown rule": ({"rule": "size"}, "'count', 'ratio', 'names'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case):
    settings, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        class_groups(COUNTS, **settings)
