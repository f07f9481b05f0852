"""CellMoments: oracle, and the laws of streaming, merging and weighting."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError, MissingGroupValuesError, UnknownGroupError
from isonomy.groups import cell_factors
from reference.moments import cell_moments, tied_covariance, total_moments
from reference.strategies import SEEDS

KINDS = ("full", "tied", "diagonal")


def draw_rows(seed, n=40, d=3, n_classes=3, n_groups=2):
    rng = np.random.default_rng(seed)
    y, a = rng.integers(n_classes, size=n), rng.integers(n_groups, size=n)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + y[:, None] - 2.0 * a[:, None]
    return X, np.array(["low", "mid", "top"])[y], np.array(["a", "b"])[a]


def collect(X, y, a, kind="full", w=None, cuts=()):
    moments = CellMoments(X.shape[1], covariance=kind)
    for part in np.split(np.arange(len(X)), cuts):
        if len(part):
            weight = None if w is None else w[part]
            moments.update(X[part], y[part], sensitive_features=a[part], sample_weight=weight)
    return moments


def assert_same(one, two, rel=1e-11):
    assert (one.classes, one.groups) == (two.classes, two.groups)
    assert one.counts == pytest.approx(two.counts, rel=rel)
    scale = np.nanmax(np.abs(one.means))
    assert one.means == pytest.approx(two.means, rel=rel, abs=rel * scale, nan_ok=True)
    scale = np.nanmax(np.abs(one.covariances))
    assert one.covariances == pytest.approx(two.covariances, rel=rel, abs=rel * scale, nan_ok=True)


@given(seed=SEEDS, weighted=st.booleans())
def test_moments_equal_the_loop_over_rows(seed, weighted):
    X, y, a = draw_rows(seed)
    w = np.random.default_rng(seed).integers(0, 4, size=len(X)) * 0.5 + (np.arange(len(X)) < 1)
    w = w if weighted else None
    full, tied, diagonal = (collect(X, y, a, kind, w) for kind in KINDS)
    oracle = cell_moments(X, y, a, w)
    for (i, label), (j, group) in pairs(full):
        if (label, group) not in oracle:
            assert full.counts[i, j] == 0
            assert np.isnan(full.means[i, j]).all()
            continue
        total, n_rows, mean, cov = oracle[label, group]
        assert full.counts[i, j] == pytest.approx(total, rel=1e-14)
        assert full.n_rows[i, j] == n_rows
        assert full.means[i, j] == pytest.approx(mean, rel=1e-12, abs=1e-12)
        assert full.covariances[i, j] == pytest.approx(cov, rel=1e-11, abs=1e-11)
        assert diagonal.covariances[i, j] == pytest.approx(np.diag(cov), rel=1e-11, abs=1e-11)
    for j, group in enumerate(tied.groups):
        expected = tied_covariance(X, y, a, group, w)
        assert tied.covariances[j] == pytest.approx(expected, rel=1e-11, abs=1e-11)


def pairs(moments):
    return [(c, g) for c in enumerate(moments.classes) for g in enumerate(moments.groups)]


@given(seed=SEEDS, weighted=st.booleans())
def test_total_moments_equal_those_of_the_rows_regardless_of_cells(seed, weighted):
    X, y, a = draw_rows(seed)
    w = np.random.default_rng(seed).uniform(0.1, 2.0, size=len(X)) if weighted else None
    mean, cov = total_moments(X, w)
    for kind in KINDS:
        moments = collect(X, y, a, kind, w)
        assert moments.total_mean() == pytest.approx(mean, rel=1e-11, abs=1e-11)
        expected = np.diag(cov) if kind == "diagonal" else cov
        assert moments.total_covariance() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@given(seed=SEEDS)
def test_cell_weights_give_the_moments_of_the_reweighed_rows(seed):
    X, y, a = draw_rows(seed, n=60, n_classes=2)
    moments = collect(X, y, a)
    factors = cell_factors(moments.counts)
    y_codes = np.searchsorted(moments.classes, y)
    a_codes = np.searchsorted(moments.groups, a)
    mean, cov = total_moments(X, factors[y_codes, a_codes])
    weights = moments.counts * factors
    assert moments.total_mean(weights=weights) == pytest.approx(mean, rel=1e-10, abs=1e-10)
    assert moments.total_covariance(weights=weights) == pytest.approx(cov, rel=1e-10, abs=1e-10)
    within = sum(
        w * s for w, s in zip(weights.ravel(), moments.covariances.reshape(-1, 3, 3), strict=True)
    )
    assert moments.within_covariance(weights=weights) == pytest.approx(
        within / weights.sum(), rel=1e-10, abs=1e-10
    )


@given(seed=SEEDS, kind=st.sampled_from(KINDS), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_any_cut_into_batches_gives_the_same_moments(seed, kind, cuts):
    X, y, a = draw_rows(seed)
    assert_same(collect(X, y, a, kind), collect(X, y, a, kind, cuts=sorted(cuts)))


@given(seed=SEEDS, kind=st.sampled_from(KINDS))
def test_the_order_of_rows_does_not_matter(seed, kind):
    X, y, a = draw_rows(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    assert_same(collect(X, y, a, kind), collect(X[order], y[order], a[order], kind))


@given(seed=SEEDS, kind=st.sampled_from(KINDS), weighted=st.booleans())
def test_merge_is_associative_and_commutative_and_equals_one_pass(seed, kind, weighted):
    X, y, a = draw_rows(seed)
    w = np.random.default_rng(seed).uniform(0.1, 2.0, size=len(X)) if weighted else np.ones(len(X))
    one, two, three = (
        collect(X[p], y[p], a[p], kind, w[p]) for p in np.split(np.arange(len(X)), [3, 20])
    )
    whole = collect(X, y, a, kind, w)
    assert_same(one.merge(two).merge(three), whole)
    assert_same(one.merge(two.merge(three)), whole)
    assert_same(two.merge(one), one.merge(two))


def test_merge_changes_neither_side_and_unites_labels():
    one = CellMoments(1).update([[1.0]], ["x"], sensitive_features=["a"])
    two = CellMoments(1).update([[3.0]], ["y"], sensitive_features=["b"])
    merged = one.merge(two)
    assert (merged.classes, merged.groups) == (("x", "y"), ("a", "b"))
    assert merged.counts.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert (one.classes, two.classes) == (("x",), ("y",))
    merged.update([[5.0]], ["z"], sensitive_features=["a"])
    assert one.merge(CellMoments(1)).counts.tolist() == [[1.0]]


@given(seed=SEEDS, kind=st.sampled_from(KINDS))
def test_integer_weights_equal_repeated_rows(seed, kind):
    X, y, a = draw_rows(seed)
    w = np.random.default_rng(seed).integers(0, 4, size=len(X))
    w[0] = 1
    again = np.repeat(np.arange(len(X)), w)
    assert_same(
        collect(X, y, a, kind, w.astype(float)), collect(X[again], y[again], a[again], kind)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_contribute_nothing_not_even_labels(kind):
    X, y, a = draw_rows(0)
    extra = np.array([[1e9] * 3]), np.array(["never"]), np.array(["c"])
    w = np.append(np.ones(len(X)), 0.0)
    with_zero = collect(*(np.concatenate(p) for p in zip((X, y, a), extra, strict=True)), kind, w)
    plain = collect(X, y, a, kind)
    assert_same(with_zero, plain, rel=0)
    assert np.array_equal(with_zero.n_rows, plain.n_rows)
    plain.update(*extra[:2], sensitive_features=extra[2], sample_weight=[0.0])
    assert plain.classes == ("low", "mid", "top")


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_any_size_give_the_same_moments(monkeypatch, kind):
    X, y, a = draw_rows(1, n=200)
    whole = collect(X, y, a, kind)
    monkeypatch.setattr("isonomy.distributions._accumulate._SLAB_VALUES", 21)
    assert_same(collect(X, y, a, kind), whole)
    monkeypatch.setattr("isonomy.distributions._accumulate._SLABS_PER_WINDOW", 1)
    assert_same(collect(X, y, a, kind), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_large_offsets_keep_their_accuracy(monkeypatch, kind):
    monkeypatch.setattr("isonomy.distributions._accumulate._SLAB_VALUES", 300)
    X, y, a = draw_rows(2, n=2000)
    rounded = (X + 1e8) - 1e8  # what float64 keeps of the rows at this offset
    moved, plain = collect(X + 1e8, y, a, kind), collect(rounded, y, a, kind)
    # means round to half an ulp of 1e8 (7e-9), which enters the scatter squared
    assert moved.means - 1e8 == pytest.approx(plain.means, abs=3e-8)
    assert moved.covariances == pytest.approx(plain.covariances, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_constant_within_cells_has_variance_zero_exactly(kind):
    X, y, a = draw_rows(3, n=300)
    X[:, 1] = 0.1 + 0.7 * (y == "low") + 1e5 * (a == "b")
    found = collect(X, y, a, kind, w=np.random.default_rng(0).uniform(0.1, 1, 300), cuts=[7, 100])
    variances = (
        found.covariances if kind == "diagonal" else np.diagonal(found.covariances, 0, -2, -1)
    )
    assert (variances[..., 1] == 0).all()


def test_float32_memory_mapped_and_non_contiguous_rows_equal_plain_ones(tmp_path):
    X, y, a = draw_rows(4, n=500, d=4)
    X = X.astype(np.float32)
    expected = collect(X.astype(np.float64), y, a)
    np.save(tmp_path / "X.npy", X)
    padded = np.zeros((1000, 8), dtype=np.float32)
    padded[::2, ::2] = X
    for same in (
        X,
        np.load(tmp_path / "X.npy", mmap_mode="r"),
        np.asfortranarray(X),
        padded[::2, ::2],
    ):
        found = CellMoments(4).update(same, y, sensitive_features=a)
        assert_same(found, expected, rel=0)
        assert found.means.dtype == np.float64


@pytest.mark.parametrize("kind", KINDS)
def test_update_never_copies_the_whole_matrix(kind):
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(400_000, 16)).astype(np.float32))
    y, a = rng.integers(2, size=len(X)), rng.integers(2, size=len(X))
    moments = CellMoments(16, covariance=kind)
    tracemalloc.start()
    moments.update(X, y, sensitive_features=a)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # labels, codes and the sort order cost about 11 numbers a row; a float64 copy of X 16 more
    assert peak - 11 * 8 * len(X) < 2 * 16 * 2**20 * 1.3


@pytest.mark.parametrize("module", [pd, pl], ids=["pandas", "polars"])
def test_frames_give_the_moments_of_their_numeric_columns(module):
    X, y, a = draw_rows(5)
    frame = module.DataFrame({"u": X[:, 0], "note": ["n"] * len(X), "v": X[:, 1], "w": X[:, 2]})
    moments = CellMoments(3).update(frame, module.Series(y), sensitive_features=module.Series(a))
    assert_same(moments, collect(X, y, a), rel=0)
    assert moments.feature_names == ("u", "v", "w")
    with pytest.raises(InvalidInputError, match="columns of the first frame"):
        moments.update(
            frame.rename(columns={"u": "t"}) if module is pd else frame.rename({"u": "t"}),
            y,
            sensitive_features=a,
        )


def test_several_sensitive_columns_make_intersectional_groups():
    a = np.array([["x", "1"], ["x", "2"], ["y", "1"]])
    moments = CellMoments(1).update(np.zeros((3, 1)), [0, 1, 0], sensitive_features=a)
    assert moments.groups == ("x, 1", "x, 2", "y, 1")
    assert moments.classes == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_and_header_rebuild_the_same_moments_through_json(kind):
    X, y, a = draw_rows(6)
    moments = collect(pd.DataFrame(X, columns=list("uvw")).to_numpy(), y, a, kind)
    moments.update(pd.DataFrame(X, columns=list("uvw")), y, sensitive_features=a)
    arrays, header = moments.to_arrays()
    again = CellMoments.from_arrays(arrays, json.loads(json.dumps(header)))
    assert_same(again, moments, rel=0)
    assert np.array_equal(again.n_rows, moments.n_rows)
    assert again.feature_names == ("u", "v", "w")
    again.update(X[:1], ["new"], sensitive_features=["z"])
    assert np.nansum(moments.counts) == 80


def test_labels_that_json_cannot_hold_are_refused():
    moments = CellMoments(1).update([[0.0]], [0], sensitive_features=[np.datetime64("2020-01-01")])
    with pytest.raises(InvalidInputError, match="Convert labels"):
        moments.to_arrays()


def test_from_arrays_refuses_missing_parts_and_wrong_shapes():
    arrays, header = collect(*draw_rows(7)).to_arrays()
    with pytest.raises(InvalidInputError, match="'mean'"):
        CellMoments.from_arrays({k: v for k, v in arrays.items() if k != "mean"}, header)
    with pytest.raises(InvalidInputError, match="must have shape"):
        CellMoments.from_arrays(arrays | {"mean": np.zeros(3)}, header)


def test_fixed_labels_are_sorted_present_from_the_start_and_closed():
    moments = CellMoments(1, classes=np.array(["no", "maybe"]), groups=["b", "a"])
    assert (moments.classes, moments.groups) == (("maybe", "no"), ("a", "b"))
    assert moments.counts.shape == (2, 2)
    moments.update([[1.0]], ["no"], sensitive_features=["b"])
    assert moments.counts[1, 1] == 1
    with pytest.raises(InvalidInputError, match="fixed `classes`"):
        moments.update([[1.0]], ["yes"], sensitive_features=["b"])
    with pytest.raises(UnknownGroupError, match="fixed `groups`"):
        moments.update([[1.0]], ["no"], sensitive_features=["c"])
    assert moments.counts.sum() == 1


def test_results_do_not_alias_the_running_state():
    moments = collect(*draw_rows(8))
    before = moments.counts
    for array in (moments.counts, moments.means, moments.covariances, moments.n_rows):
        array[...] = 0
    assert np.array_equal(moments.counts, before)


UPDATES = {
    "nan": (dict(X=[[np.nan]]), "NaN or infinite"),
    "columns": (dict(X=[[1.0, 2.0]]), "1 numeric columns"),
    "rows of y": (dict(y=[0, 1]), "as many rows"),
    "rows of groups": (dict(sensitive_features=["a", "b"]), "as many rows"),
    "float labels": (dict(y=[0.5]), "class labels"),
    "rows of weights": (dict(sample_weight=[1.0, 2.0]), "as many rows"),
    "negative weights": (dict(sample_weight=[-1.0]), "at least 0"),
    "no rows": (dict(X=np.zeros((0, 1)), y=[], sensitive_features=[]), "at least one row"),
}


@pytest.mark.parametrize(("change", "message"), UPDATES.values(), ids=UPDATES)
def test_bad_rows_raise_one_clear_sentence_and_add_nothing(change, message):
    moments = CellMoments(1)
    arguments = dict(X=[[1.0]], y=[0], sensitive_features=["a"]) | change
    with pytest.raises(InvalidInputError, match=message):
        moments.update(arguments.pop("X"), arguments.pop("y"), **arguments)
    assert moments.counts.sum() == 0


def test_missing_group_values_raise_with_their_count():
    with pytest.raises(MissingGroupValuesError, match="1 missing of 2"):
        CellMoments(1).update([[1.0], [2.0]], [0, 1], sensitive_features=["a", None])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CellMoments(0), "at least 1"),
        (lambda: CellMoments(2.5), "whole number"),
        (lambda: CellMoments(1, covariance="banded"), "one of 'full', 'tied', 'diagonal'"),
        (lambda: CellMoments(1, classes=["a", "a"]), "distinct"),
        (lambda: CellMoments(1).merge(CellMoments(2)), "same `n_features`"),
        (lambda: CellMoments(1).merge(CellMoments(1, covariance="tied")), "same `covariance`"),
        (lambda: CellMoments(1).merge(None), "must be CellMoments"),
        (lambda: CellMoments(1).total_mean(), "call `update`"),
        (lambda: collect(*draw_rows(0)).total_mean(weights=[1.0]), "must have shape"),
        (lambda: collect(*draw_rows(0)).total_mean(weights=-np.ones((3, 2))), "at least 0"),
        (
            lambda: (
                CellMoments(1, classes=[0, 1], groups=["a"])
                .update([[0.0]], [0], sensitive_features=["a"])
                .total_mean(weights=[[1.0], [1.0]])
            ),
            "cells without rows",
        ),
    ],
)
def test_bad_arguments_raise_one_clear_sentence(build, message):
    with pytest.raises(InvalidInputError, match=message):
        build()


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_scatters_wider_than_a_mirrored_block_are_symmetric_and_exact(monkeypatch, kind):
    monkeypatch.setattr("isonomy.distributions._accumulate._MIRROR_BLOCK", 4)
    X, y, a = draw_rows(5, n=120, d=11)
    w = np.random.default_rng(1).integers(1, 4, 120).astype(float)
    found = collect(X, y, a, kind, w=w, cuts=[31, 64])
    assert np.array_equal(found.covariances, np.swapaxes(found.covariances, -1, -2))
    assert_same(found, collect(X.repeat(w.astype(int), 0), y.repeat(w.astype(int)),
                               a.repeat(w.astype(int)), kind))  # fmt: skip


def test_rows_that_jump_between_batches_lose_no_digits():
    # the second batch lies 1e6 standard deviations away: squares about a shared centre would
    # lose 12 digits of the scatter within
    rng = np.random.default_rng(0)
    near, far = rng.standard_normal((400, 2)), rng.standard_normal((3, 2)) + 1e6
    labels = np.zeros(403, dtype=int)
    found = CellMoments(2)
    found.update(near, labels[:400], sensitive_features=labels[:400])
    found.update(far, labels[400:], sensitive_features=labels[400:])
    _, _, mean, covariance = cell_moments(np.vstack([near, far]), labels, labels)[(0, 0)]
    assert found.means[0, 0] == pytest.approx(mean, rel=1e-14)
    assert found.covariances[0, 0] == pytest.approx(covariance, rel=1e-13)
