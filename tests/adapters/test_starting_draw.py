"""The draw: balanced, nested, the same however the loader cuts its rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isonomy.adapters._start._batches import batches
from isonomy.adapters._start._draw import draw_rows, rows_per_class
from reference.loaders import text_loader

NAMES = frozenset({"input_ids", "attention_mask"})


def draw(loader, n, k=3, seed=0):
    return draw_rows(
        loader,
        k,
        n,
        main_input="input_ids",
        accepted=NAMES,
        random_state=seed,
        progress=None,
        where="here",
    )


def numbered(labels, size):
    """Rows that hold their own place in the data."""
    ids = torch.arange(len(labels))[:, None]
    y = torch.tensor(labels)
    return [(ids[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]


def places(found):
    return [int(row["input_ids"][0]) for row in found.rows]


labels_strategy = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@given(labels=labels_strategy, n=st.integers(1, 6), one=st.integers(1, 9), two=st.integers(1, 9))
def test_the_draw_does_not_depend_on_the_batches(labels, n, one, two):
    assert places(draw(numbered(labels, one), n)) == places(draw(numbered(labels, two), n))


@given(labels=labels_strategy, n=st.integers(1, 6), more=st.integers(0, 5))
def test_it_is_balanced_in_order_and_nested(labels, n, more):
    found = draw(numbered(labels, 4), n + more)
    have = np.bincount(labels, minlength=3)
    assert np.array_equal(np.bincount(found.labels, minlength=3), np.minimum(have, n + more))
    assert np.array_equal(found.n_read, have)
    assert [labels[p] for p in places(found)] == found.labels.tolist()
    for k in range(3):
        own = [p for p, label in zip(places(found), found.labels, strict=True) if label == k]
        assert own == sorted(own)
        assert sorted(found.rank[found.labels == k]) == list(range(len(own)))
    smaller = [p for p, rank in zip(places(found), found.rank, strict=True) if rank < n]
    assert smaller == places(draw(numbered(labels, 4), n))


def test_every_row_is_as_likely_as_any_other():
    hits = np.zeros(12)
    for seed in range(600):
        hits[places(draw(numbered([0] * 12, 5), 4, seed=seed))] += 1
    # 600 draws with chance 1/3: a standard deviation of 11.5, five of them either way
    assert np.all(np.abs(hits - 200) < 58)


def test_other_classes_do_not_move_a_classs_draw():
    alone = draw(numbered([1] * 9, 4), 3)
    mixed = draw(numbered([1, 0] * 9, 4), 3)
    own = [p for p, label in zip(places(mixed), mixed.labels, strict=True) if label == 1]
    assert [p // 2 for p in own] == places(alone)


def test_rows_are_cut_behind_their_last_token_and_padded_again():
    found = draw(text_loader(size=5), 99, k=4)
    assert all(bool(row["attention_mask"].all()) for row in found.rows)
    at = np.arange(len(found.rows))
    for batch in batches(found, at, filler=3, size=6, where="here"):
        for i, place in enumerate(batch.at):
            row = found.rows[place]["input_ids"]
            assert torch.equal(batch.inputs["input_ids"][i, : len(row)], row)
            assert (batch.inputs["input_ids"][i, len(row) :] == 3).all()
            assert batch.mask[i].sum() == len(row)


def test_without_a_mask_what_is_put_behind_does_not_count():
    rows = [(torch.ones((1, n), dtype=torch.long), torch.tensor([0])) for n in (2, 5)]
    found = draw(rows, 9)
    (batch,) = batches(found, np.arange(2), filler=0, size=9, where="here")
    assert batch.mask.sum(dim=1).tolist() == [2, 5]


@pytest.mark.parametrize(
    ("most", "expected"), [(None, 16), (37, 16), (36, 15), (20, 7), (11, 3), (1, 2)]
)
def test_as_many_rows_a_class_as_fit(most, expected):
    # the third class has 5 rows, whatever is asked for
    assert rows_per_class(np.array([400.0, 20.0, 5.0]), 16, most) == expected
