"""The sample of a file's rows: exact quotas, the same rows whatever the cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.cli._row_sample import RowSample, draw_of_rows, sample_quota
from reference.splitmix import splitmix_draw


def sampled(cells: np.ndarray, quota: np.ndarray, cuts: list[int], seed: int = 0) -> pa.Table:
    sizes = np.bincount(cells, minlength=len(quota))
    sample = RowSample(sizes, quota, seed)
    edges = [0, *cuts, len(cells)]
    for start, stop in itertools.pairwise(edges):
        numbers = np.arange(start, stop)
        sample.add(pa.table({"row": numbers}), cells[start:stop], numbers)
        if stop % 2:  # as after a stop
            state = sample.state()
            sample = RowSample(sizes, quota, seed)
            sample.restore(*state)
    table, codes = sample.finish()
    assert np.array_equal(cells[table.column("row").to_numpy()], codes)
    return table


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 3])
def test_draws_are_the_published_mixing(seed: int) -> None:
    rows = np.array([0, 1, 2, 12_345, 20_000_000, 2**40])
    assert draw_of_rows(rows, seed).tolist() == [splitmix_draw(int(r), seed) for r in rows]


def test_draws_are_uniform_and_of_another_seed_are_others() -> None:
    rows = np.arange(200_000)
    draws = draw_of_rows(rows, 0)
    shares = np.histogram(draws, bins=20, range=(0, 1))[0] / len(rows)
    # six standard errors of a share of 1/20 among 200,000
    assert np.abs(shares - 0.05).max() < 6 * np.sqrt(0.05 * 0.95 / len(rows))
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 6 / np.sqrt(len(rows))
    assert abs(np.corrcoef(draws, draw_of_rows(rows, 1))[0, 1]) < 6 / np.sqrt(len(rows))


@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 2999), max_size=8))
def test_the_cuts_do_not_matter(seed: int, cuts: set[int]) -> None:
    cells = np.random.default_rng(seed).choice(4, 3000, p=[0.6, 0.3, 0.098, 0.002])
    quota = sample_quota(np.bincount(cells, minlength=4), 300)
    found = sampled(cells, quota, sorted(cuts), seed)
    assert found.equals(sampled(cells, quota, [], seed))
    rows = found.column("row").to_numpy()
    assert np.array_equal(np.bincount(cells[rows], minlength=4), quota)
    assert (np.diff(rows) > 0).all()


@given(sizes=st.lists(st.integers(0, 10**8), min_size=1, max_size=9))
def test_quotas_are_shares_and_leave_no_cell_out(sizes: list[int]) -> None:
    quota = sample_quota(np.array(sizes), 1000)
    for n, q in zip(sizes, quota.tolist(), strict=True):
        assert min(n, 1) <= q <= n
        assert q <= 1000 * n / max(sum(sizes), 1) + 1 or sum(sizes) <= 1000
    if sum(sizes) <= 1000:
        assert quota.tolist() == sizes
    else:
        assert 1000 <= quota.sum() <= 1000 + len(sizes)


def test_a_small_file_is_its_own_sample() -> None:
    cells = np.arange(500) % 3
    found = sampled(cells, sample_quota(np.bincount(cells)), [100, 333])
    assert found.column("row").to_pylist() == list(range(500))
