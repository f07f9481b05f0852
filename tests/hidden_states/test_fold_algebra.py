"""The matrices of a fold against the layer's sums, term by term."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import AffineMap
from isonomy.hidden_states._export._factors import Lora, balanced_factors
from isonomy.hidden_states._fold._algebra import fold_reader, fold_writer, is_translation
from reference.folding import read_steered, steer, write_steered
from reference.strategies import SEEDS, affine_maps, low_rank_maps


@st.composite
def cases(draw: st.DrawFn) -> tuple[AffineMap, np.ndarray, np.ndarray | None, np.ndarray, bool]:
    """Draw a map, a layer on either side of it, a vector, and whether the layer reads."""
    d, other = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    affine = draw(st.one_of(affine_maps(d), low_rank_maps(d)))
    reads = draw(st.booleans())
    rng = np.random.default_rng(draw(SEEDS))
    weight = rng.normal(size=(other, d) if reads else (d, other))
    bias = rng.normal(size=len(weight)) if draw(st.booleans()) else None
    return affine, weight, bias, rng.normal(size=weight.shape[1]), reads


@given(cases())
@settings(max_examples=60, deadline=None)
def test_folded_layer_computes_the_steered_sums(case: tuple) -> None:  # type: ignore[type-arg]
    affine, weight, bias, x, reads = case
    oracle, ours = (read_steered, fold_reader) if reads else (write_steered, fold_writer)
    wanted = oracle(weight, bias, affine.matrix, affine.offset, x)
    constant = None if bias is None else torch.tensor(bias)
    new = ours(torch.tensor(weight), constant, affine)
    found = weight if new.weight is None else new.weight.numpy()
    offset = (0.0 if bias is None else bias) if new.bias is None else new.bias.numpy()
    assert found @ x + offset == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(st.integers(1, 5).flatmap(lambda d: st.one_of(affine_maps(d), low_rank_maps(d))))
@settings(max_examples=60, deadline=None)
def test_balanced_factors_multiply_to_the_change(affine: AffineMap) -> None:
    left, right = balanced_factors(affine)
    change = affine.matrix - np.eye(affine.n_features)
    assert left @ right.T == pytest.approx(change, abs=1e-9 * max(1.0, np.abs(change).max()))
    assert left.shape[1] == np.linalg.matrix_rank(change, tol=1e-9)
    assert np.linalg.norm(left, axis=0) == pytest.approx(np.linalg.norm(right, axis=0))


def test_rank_is_the_smallest_where_factors_repeat_themselves() -> None:
    direction = np.eye(6)[:, :1]
    affine = AffineMap.low_rank(
        np.hstack([direction, direction]), np.hstack([direction, 2 * direction]), np.zeros(6)
    )
    left, right = balanced_factors(affine)
    assert left.shape == (6, 1)
    assert left @ right.T == pytest.approx(3 * direction @ direction.T)


def test_translation_is_told_from_a_map() -> None:
    eye = np.eye(3)
    assert is_translation(AffineMap(eye, [1.0, 0.0, 0.0]))
    assert is_translation(AffineMap.low_rank(np.zeros((3, 2)), np.ones((3, 2)), np.ones(3)))
    assert not is_translation(AffineMap(eye + 1e-12 * np.ones((3, 3)), np.ones(3)))


def test_padding_changes_nothing() -> None:
    one = Lora(torch.ones(2, 3), torch.ones(4, 2), None)
    padded = one.padded(5)
    assert padded.rank == 5
    assert torch.equal(padded.B @ padded.A, one.B @ one.A)


def test_blocks_of_rows_are_joined(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from isonomy.hidden_states._fold import _algebra as _fold_algebra

    rng = np.random.default_rng(0)
    weight, affine = rng.normal(size=(7, 4)), AffineMap(rng.normal(size=(4, 4)), rng.normal(size=4))
    monkeypatch.setattr(_fold_algebra, "_BLOCK_ROWS", 3)
    new = fold_reader(torch.tensor(weight), None, affine)
    for row, bias, old in zip(new.weight, new.bias, weight, strict=True):
        assert row.numpy() == pytest.approx(affine.matrix.T @ old)
        assert float(bias) == pytest.approx(steer(old[None, :], np.zeros(1), affine.offset)[0])
