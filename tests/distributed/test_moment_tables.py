"""Moments survive the journey as tables, and any partition into blocks merges to the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributed._combined import combined
from isonomy.distributed._merge_tree import MergeTree
from isonomy.distributed._moment_tables import Part, merge_tables, read_table, write_table
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError

ABOUT = {
    "site": "residual", "positions": "last", "model_name": "m", "hidden_size": 3,
    "covariance": "tied", "dtype": "float32", "max_length": None, "n_layers": 1,
}  # fmt: skip


def table_of(X, y, a, covariance="tied", layer=4):
    moments = CellMoments(X.shape[1], covariance=covariance).update(X, y, sensitive_features=a)
    return write_table({layer: Part(moments, {"n": float(len(X))}, ABOUT)})


@st.composite
def blocks(draw):
    """Rows and where the blocks end; empty blocks, and cells that few blocks have."""
    n = draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, 3)) * [1.0, 50.0, 1e-2] + [0.0, 7.0, -3.0]
    y = np.array(["x", "y", "z"])[rng.integers(0, draw(st.integers(1, 3)), n)]
    a = rng.integers(0, draw(st.integers(1, 3)), n)
    ends = sorted(draw(st.lists(st.integers(0, n), max_size=20)))
    return X, y, a, list(zip([0, *ends], [*ends, n], strict=True))


@given(case=blocks(), covariance=st.sampled_from(["tied", "full"]), fan_in=st.integers(2, 5))
def test_any_partition_into_blocks_merges_to_the_moments_of_all_rows(case, covariance, fan_in):
    X, y, a, cuts = case
    tree = MergeTree(merge_tables, fan_in)
    for start, end in cuts:
        part = slice(start, end)
        empty = start == end
        tree.add(write_table({}) if empty else table_of(X[part], y[part], a[part], covariance))
    found = read_table(tree.result())[4]
    whole = CellMoments(3, covariance=covariance).update(X, y, sensitive_features=a)
    assert found.tally == {"n": len(X)}
    assert found.moments.to_arrays()[1] == whole.to_arrays()[1]
    np.testing.assert_array_equal(found.moments.n_rows, whole.n_rows)
    # some hundred roundings of 2e-16
    np.testing.assert_allclose(found.moments.means, whole.means, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.moments.covariances, whole.covariances, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("covariance", ["tied", "full", "diagonal"])
def test_a_table_gives_back_every_bit_and_every_kind_of_label(covariance):
    rng = np.random.default_rng(0)
    moments = CellMoments(2, covariance=covariance)
    moments.update(
        rng.normal(size=(9, 2)), [True, False, True] * 3, sensitive_features=[1, 2, 3] * 3
    )
    parts = read_table(write_table({None: Part(moments, {}, {"n_layers": 2}),
                                    7: Part(moments, {"n": 2.0}, {"n_layers": 2})}))  # fmt: skip
    assert list(parts) == [None, 7]
    assert parts[7].tally == {"n": 2.0} and parts[None].about == {"n_layers": 2}
    for part in parts.values():
        assert part.moments.to_arrays()[1] == moments.to_arrays()[1]
        for name, array in moments.to_arrays()[0].items():
            assert part.moments.to_arrays()[0][name].tobytes() == array.tobytes()


def test_layers_of_one_block_that_came_in_several_tables_meet_again():
    X, y, a = np.ones((2, 1)), [0, 1], [0, 0]
    one, two = table_of(X, y, a, layer=None), table_of(X, y, a, layer=2)
    cut = merge_tables([one, two, merge_tables([two, one])])
    assert cut.column("layer").to_pylist() == [None, 2]
    assert [p.moments.n_rows.sum() for p in read_table(cut).values()] == [4, 4]
    assert read_table(pa.concat_tables([one, one]))[None].moments.n_rows.sum() == 4


def test_a_part_of_the_data_with_labels_of_another_kind_is_refused():
    parts = [table_of(np.ones((1, 3)), np.array([label]), ["g"]) for label in (1, "1")]
    moments = {layer: p.moments for layer, p in read_table(merge_tables(parts)).items()}
    with pytest.raises(InvalidInputError, match="`label` of `f` .* numbers and text"):
        combined(moments, ABOUT, n_truncated=0, seconds=0.0, where="f")


def test_no_rows_at_all_are_refused():
    with pytest.raises(InvalidInputError, match="`data` passed to `f` must hold at least one row"):
        combined({}, {}, n_truncated=0, seconds=0.0, where="f")
