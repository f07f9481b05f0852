"""JointDistribution: construction, fitting, sampling, density, divergence, bad input."""

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import CellMoments, JointDistribution, LogNormal, Normal
from isonomy.errors import (
    EmptyCellError,
    FamilyError,
    InvalidInputError,
    SingularCovarianceError,
)
from reference.gaussian import kl_by_formula, log_density
from reference.moments import cell_moments, tied_covariance
from reference.strategies import SEEDS, affine_maps, joints


def draw_rows(seed=0, n=80, d=2):
    rng = np.random.default_rng(seed)
    y, a = np.arange(n) % 2, (np.arange(n) // 2) % 2
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + y[:, None]
    return X, np.array(["no", "yes"])[y], np.array(["f", "m"])[a]


def cells_2x2(law=None):
    laws = {(y, a): Normal(float(y + a), 1.0 + a) for y in (0, 1) for a in (0, 1)}
    return laws if law is None else laws | law


QUARTERS = {(y, a): 0.25 for y in (0, 1) for a in (0, 1)}


@given(p=joints(shape=(2, 3, 2)), q=joints(shape=(2, 3, 2)))
def test_kl_equals_the_chain_rule_by_formula(p, q):
    expected = 0.0
    for c in np.ndindex(2, 3):
        cell = kl_by_formula(p.means[c], p.covariances[c], q.means[c], q.covariances[c])
        expected += p.prior[c] * (np.log(p.prior[c] / q.prior[c]) + cell)
    assert p.kl_divergence(q) == pytest.approx(expected, rel=1e-9, abs=1e-11)
    assert p.kl_divergence(q) >= 0
    assert p.kl_divergence(p) == pytest.approx(0.0, abs=1e-25)


@given(p=joints(shape=(2, 2, 2)), q=joints(shape=(2, 2, 2)), data=st.data())
def test_kl_is_unchanged_when_each_group_is_moved_by_its_own_map(p, q, data):
    maps = {a: data.draw(affine_maps(2)) for a in p.groups}

    def moved(joint):
        cells = {(y, a): maps[a].push(law) for (y, a), law in joint.cells.items()}
        return JointDistribution(cells, joint.priors)

    assert moved(p).kl_divergence(moved(q)) == pytest.approx(p.kl_divergence(q), rel=1e-8)


def test_kl_equals_the_mean_log_ratio_of_samples():
    p = JointDistribution(cells_2x2(), QUARTERS)
    q = JointDistribution(
        cells_2x2({(0, 0): Normal(0.5, 2.0)}), {(0, 0): 0.1, (0, 1): 0.2, (1, 0): 0.3, (1, 1): 0.4}
    )
    sample = p.sample(200_000, random_state=0)
    ratios = p.log_density(*sample) - q.log_density(*sample)
    assert abs(ratios.mean() - p.kl_divergence(q)) < 5 * ratios.std() / np.sqrt(len(ratios))


@given(p=joints(), seed=SEEDS)
def test_log_density_is_prior_times_density_in_the_cell(p, seed):
    X, y, groups = p.sample(5, random_state=seed)
    found = p.log_density(X, y, groups)
    for i in range(5):
        c = p.classes.index(y[i]), p.groups.index(groups[i])
        expected = np.log(p.prior[c]) + log_density(p.means[c], p.covariances[c], X[i])
        assert found[i] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(p=joints(), lognormal=joints(family="lognormal"))
def test_cells_priors_and_arrays_describe_one_law(p, lognormal):
    for joint in (p, lognormal):
        assert JointDistribution(joint.cells, joint.priors) == joint
        again = JointDistribution.from_arrays(
            joint.means[::-1],
            joint.covariances[::-1],
            joint.prior[::-1],
            joint.classes[::-1],
            joint.groups,
            joint.family,
        )
        assert again == joint
        assert copy.deepcopy(joint) == joint
        assert hash(again) == hash(joint)
        assert joint.class_prior == pytest.approx(joint.prior.sum(axis=1))
        assert joint.group_prior.sum() == pytest.approx(1.0)
    assert {type(law) for law in p.cells.values()} == {Normal}
    assert {type(law) for law in lognormal.cells.values()} == {LogNormal}


@given(p=joints(covariance="tied"), q=joints())
def test_is_tied_only_where_the_labels_of_each_group_share_a_covariance(p, q):
    assert p.is_tied
    assert JointDistribution(p.cells, p.priors).is_tied
    assert not q.is_tied
    copied = np.array(p.covariances)
    copied[1] *= 1 + 1e-12
    rounded = (copied, p.prior, p.classes, p.groups)
    assert JointDistribution.from_arrays(p.means, *rounded).is_tied
    copied[1] *= 1 + 1e-6
    assert not JointDistribution.from_arrays(p.means, *rounded).is_tied


def test_samples_have_the_priors_and_moments_of_the_cells():
    rng = np.random.default_rng(0)
    means, prior = rng.normal(size=(2, 2, 2)), np.array([[0.1, 0.2], [0.3, 0.4]])
    covs = np.array([np.eye(2), [[1.0, 0.5], [0.5, 2.0]]])
    joint = JointDistribution.from_arrays(means, covs, prior, ["no", "yes"], [1, 2])
    X, y, groups = joint.sample(100_000, random_state=0)
    assert y.dtype.kind == "U"
    assert groups.dtype.kind == "i"
    fitted = JointDistribution.fit(X, y, sensitive_features=groups, covariance="tied")
    # five standard errors in the smallest cell of 10,000 rows: 5 sqrt(2 / 1e4) = .07
    assert fitted.prior == pytest.approx(prior, abs=0.01)
    assert fitted.means == pytest.approx(means, abs=0.07)
    assert fitted.covariances == pytest.approx(joint.covariances, abs=0.07)
    again = joint.sample(100_000, random_state=0)
    assert all(np.array_equal(one, two) for one, two in zip(again, (X, y, groups), strict=True))
    assert joint.sample(0)[0].shape == (0, 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
def test_fit_equals_the_moments_by_loops(covariance, weighted):
    X, y, a = draw_rows()
    w = np.random.default_rng(1).uniform(0.5, 2.0, size=len(X)) if weighted else None
    joint = JointDistribution.fit(
        X, y, sensitive_features=a, covariance=covariance, sample_weight=w
    )
    total = len(X) if w is None else w.sum()
    for (label, group), (weight, _, mean, cov) in cell_moments(X, y, a, w).items():
        c = joint.classes.index(label), joint.groups.index(group)
        expected = {
            "full": cov,
            "tied": tied_covariance(X, y, a, group, w),
            "diagonal": np.diag(np.diag(cov)),
        }[covariance]
        assert joint.prior[c] == pytest.approx(weight / total)
        assert joint.means[c] == pytest.approx(mean)
        assert joint.covariances[c] == pytest.approx(expected)


def test_fit_of_a_lognormal_is_the_fit_of_the_logarithms():
    X, y, a = draw_rows()
    logs = JointDistribution.fit(X, y, sensitive_features=a)
    joint = JointDistribution.fit(np.exp(X), y, sensitive_features=a, family="lognormal")
    assert joint.family == "lognormal"
    assert joint.means == pytest.approx(logs.means)
    assert joint.covariances == pytest.approx(logs.covariances)
    assert (joint.sample(50, random_state=0)[0] > 0).all()


def test_intersectional_groups_keep_their_rows_whatever_the_order_of_their_names():
    # by value (1, 2) comes before (1, 10); by name "1, 10" comes before "1, 2"
    second = np.repeat([2, 10], 40)
    a = np.column_stack([np.ones(80, dtype=int), second])
    X = second[:, None] + np.random.default_rng(0).normal(size=(80, 1))
    joint = JointDistribution.fit(X, np.arange(80) % 2, sensitive_features=a)
    assert joint.groups == ("1, 10", "1, 2")
    assert joint.means[:, :, 0].round(-1) == pytest.approx(np.array([[10, 0], [10, 0]]))
    assert joint.log_density(X, np.arange(80) % 2, a).min() > -10


def test_from_moments_converts_full_moments_to_weaker_kinds_alone():
    X, y, a = draw_rows()
    moments = CellMoments(2).update(X, y, sensitive_features=a)
    for kind in ("full", "tied", "diagonal"):
        found = JointDistribution.from_moments(moments, covariance=kind)
        rows = JointDistribution.fit(X, y, sensitive_features=a, covariance=kind)
        assert found.covariances == pytest.approx(rows.covariances)
    tied = CellMoments(2, covariance="tied").update(X, y, sensitive_features=a)
    assert JointDistribution.from_moments(tied).is_tied
    with pytest.raises(InvalidInputError, match="must be 'tied'"):
        JointDistribution.from_moments(tied, covariance="full")


def test_fit_moves_no_memory_of_the_caller_and_results_are_read_only():
    X, y, a = draw_rows()
    before = X.copy()
    joint = JointDistribution.fit(X, y, sensitive_features=a)
    assert np.array_equal(X, before)
    for array in (joint.means, joint.covariances, joint.prior):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    with pytest.raises(AttributeError, match="immutable"):
        joint.prior = before
    mine = np.array(joint.means)
    built = JointDistribution.from_arrays(
        mine, joint.covariances, joint.prior, joint.classes, joint.groups
    )
    mine[...] = 0.0
    assert built == joint


def test_labels_of_numpy_and_of_several_types_are_kept_apart_and_sorted():
    cells = {(np.int64(y), np.str_(a)): Normal(0, 1) for y in (1, 0) for a in "ba"}
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    assert joint.classes == (0, 1)
    assert [type(v) for v in (*joint.classes, *joint.groups)] == [int, int, str, str]
    mixed = {(y, a): Normal(0, 1) for y in ("x", 1) for a in "ab"}
    joint = JointDistribution(mixed, dict.fromkeys(mixed, 0.25))
    assert joint.classes == (1, "x")
    assert set(joint.sample(20, random_state=0)[1]) == {1, "x"}


def test_priors_rounded_by_the_caller_are_normalised():
    third = {
        (y, a): round(p, 9)
        for (y, a), p in zip(QUARTERS, [1 / 3, 1 / 3, 1 / 6, 1 / 6], strict=True)
    }
    assert JointDistribution(cells_2x2(), third).prior.sum() == pytest.approx(1.0, abs=1e-15)


def test_laws_over_other_cells_or_families_cannot_be_compared():
    joint = JointDistribution(cells_2x2(), QUARTERS)
    logs = JointDistribution({c: LogNormal(0, 1) for c in QUARTERS}, QUARTERS)
    renamed = JointDistribution.from_arrays(
        joint.means, joint.covariances, joint.prior, [0, 2], [0, 1]
    )
    wide = JointDistribution({c: Normal([0, 0], np.eye(2)) for c in QUARTERS}, QUARTERS)
    with pytest.raises(FamilyError, match="normal and lognormal"):
        joint.kl_divergence(logs)
    with pytest.raises(InvalidInputError, match="same classes"):
        joint.kl_divergence(renamed)
    with pytest.raises(InvalidInputError, match="same n_features"):
        joint.kl_divergence(wide)
    with pytest.raises(InvalidInputError, match="must be a JointDistribution"):
        joint.kl_divergence(Normal(0, 1))
    assert joint != logs
    assert joint != "joint"


THREE = {(0, 0): 0.25, (0, 1): 0.25, (1, 0): 0.5}
CONSTRUCTIONS = {
    "prior zero": ((cells_2x2(), QUARTERS | {(0, 0): 0.0, (0, 1): 0.5}), "above 0"),
    "prior negative": ((cells_2x2(), QUARTERS | {(0, 0): -0.25, (0, 1): 0.75}), "above 0"),
    "prior nan": ((cells_2x2(), QUARTERS | {(0, 0): np.nan}), "above 0"),
    "sum": ((cells_2x2(), QUARTERS | {(0, 0): 0.26}), "sum to 1, got 1.01"),
    "missing prior": ((cells_2x2(), THREE), r"`priors` .* none for \(1, 1\)"),
    "extra prior": ((cells_2x2(), QUARTERS | {(2, 0): 0.1}), r"got also \(2, 0\)"),
    "missing cell": (({c: Normal(0, 1) for c in THREE}, THREE), r"`cells` .* none for \(1, 1\)"),
    "mixed families": ((cells_2x2({(0, 0): LogNormal(0, 1)}), QUARTERS), "LogNormal and Normal"),
    "dimensions": ((cells_2x2({(0, 0): Normal([0, 0], np.eye(2))}), QUARTERS), r"\[1, 2\]"),
    "no law": ((cells_2x2({(0, 0): 3.0}), QUARTERS), r"`cells\[\(0, 0\)\]`"),
    "no pairs": (({"a": Normal(0, 1)}, {"a": 1.0}), "label, group"),
    "no cells": (({}, {}), "at least one cell"),
}


@pytest.mark.parametrize(("arguments", "message"), CONSTRUCTIONS.values(), ids=CONSTRUCTIONS)
def test_bad_cells_and_priors_raise_one_clear_sentence(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        JointDistribution(*arguments)


GOOD = dict(
    means=np.zeros((2, 2, 1)),
    covariances=np.ones((2, 2, 1, 1)),
    prior=np.full((2, 2), 0.25),
    classes=[0, 1],
    groups=["a", "b"],
)
ARRAYS = {
    "means": (dict(means=np.zeros((2, 3, 1))), "`means` .* must have shape"),
    "covariances": (dict(covariances=np.ones((2, 2, 1))), "`covariances` .* must have shape"),
    "prior": (dict(prior=np.full((4,), 0.25)), "`prior` .* must have shape"),
    "prior sum": (dict(prior=np.full((2, 2), 0.3)), "sum to 1"),
    "finite": (dict(means=np.full((2, 2, 1), np.nan)), "finite"),
    "labels": (dict(classes=[0, 0]), "distinct"),
    "family": (dict(family="gamma"), "one of 'normal', 'lognormal'"),
    "singular": (dict(covariances=np.zeros((2, 2, 1, 1))), r"\(label 0, group a\)"),
    "singular tied": (dict(covariances=np.array([[[1.0]], [[0.0]]])), "group b"),
    "asymmetric": (
        dict(means=np.zeros((2, 2, 2)), covariances=np.array([[[1.0, 0.5], [0, 1]]] * 2)),
        "must be symmetric",
    ),
}


@pytest.mark.parametrize(("change", "message"), ARRAYS.values(), ids=ARRAYS)
def test_bad_arrays_raise_one_clear_sentence(change, message):
    with pytest.raises(InvalidInputError, match=message):
        JointDistribution.from_arrays(**GOOD | change)


def frame(**columns):
    return pd.DataFrame(columns)


X0, Y0, A0 = draw_rows()
FITS = {
    "one class": (dict(y=np.full(80, "no")), InvalidInputError, "`y` .* got only 'no'"),
    "one group": (
        dict(sensitive_features=np.full(80, "f")),
        InvalidInputError,
        "`sensitive_features` .* got only 'f'",
    ),
    "empty cell": (
        dict(y=np.where(A0 == "f", "no", Y0)),
        EmptyCellError,
        r"in 1 of 4: \(label yes, group f\)",
    ),
    "few rows": (
        dict(y=np.where((A0 == "f") & (np.arange(80) > 5), "no", Y0)),
        SingularCovarianceError,
        r"at least 3 rows in \(label yes, group f\), got 2 rows for 2 features. Try .*tied.*oas",
    ),
    "few rows tied": (
        dict(X=np.hstack([X0] * 20), covariance="tied"),
        SingularCovarianceError,
        "at least 42 rows in group f, got 40 rows for 40 features. Try .*oas",
    ),
    "constant": (
        dict(X=frame(u=X0[:, 0], v=np.full(80, 0.1))),
        SingularCovarianceError,
        "v constant in every",
    ),
    "constant in a cell": (
        dict(X=frame(u=X0[:, 0], v=np.where((Y0 == "yes") & (A0 == "m"), 0.1, X0[:, 1]))),
        SingularCovarianceError,
        r"\(label yes, group m\) .* column\(s\) v are constant",
    ),
    "collinear": (
        dict(X=frame(u=X0[:, 0], v=X0[:, 1], w=3.0 - 0.1 * X0[:, 0])),
        SingularCovarianceError,
        r"rank 2 of 3: column\(s\) u, w are constant or a linear combination",
    ),
    "collinear tied": (
        dict(X=frame(u=X0[:, 0], v=X0[:, 1], w=X0.sum(axis=1)), covariance="tied"),
        SingularCovarianceError,
        r"group f .* column\(s\) u, v, w are",
    ),
    "wrong family": (
        dict(
            X=frame(u=np.exp(X0[:, 0]), v=np.where(np.arange(80) == 7, -2.0, 1.0)),
            family="lognormal",
        ),
        FamilyError,
        "1 value.* -2 in column 'v', row 7",
    ),
    "zero is not log-normal": (
        dict(X=np.zeros((80, 1)), family="lognormal"),
        FamilyError,
        "80 value.* 0 in column 'x0'",
    ),
    "nan": (dict(X=np.where(X0 > 2, np.nan, X0)), InvalidInputError, "NaN or infinite"),
    "lengths": (dict(y=Y0[:-1], sensitive_features=A0[:-1]), InvalidInputError, "as many rows"),
    "group lengths": (dict(sensitive_features=A0[:-1]), InvalidInputError, "as many rows"),
    "float labels": (dict(y=X0[:, 0]), InvalidInputError, "class labels"),
    "no labels": (dict(y=None), InvalidInputError, "got None"),
    "no groups": (dict(sensitive_features=None), InvalidInputError, "got None"),
    "family": (dict(family="gamma"), InvalidInputError, "`family`"),
    "covariance": (dict(covariance="banded"), InvalidInputError, "`covariance`"),
    "shrinkage": (dict(shrinkage="lw"), InvalidInputError, "`shrinkage`"),
    "weights": (dict(sample_weight=np.zeros(80)), InvalidInputError, "`sample_weight`"),
}


@pytest.mark.parametrize(("change", "error", "message"), FITS.values(), ids=FITS)
def test_bad_rows_raise_one_clear_sentence(change, error, message):
    arguments = dict(X=X0, y=Y0, sensitive_features=A0) | change
    with pytest.raises(error, match=message):
        JointDistribution.fit(arguments.pop("X"), arguments.pop("y"), **arguments)


def test_a_cell_of_weight_zero_is_an_empty_cell():
    w = np.where((Y0 == "yes") & (A0 == "m"), 0.0, 1.0)
    for shrinkage in (None, "oas", "ledoit-wolf"):
        with pytest.raises(EmptyCellError, match="label yes, group m"):
            JointDistribution.fit(
                X0, Y0, sensitive_features=A0, sample_weight=w, shrinkage=shrinkage
            )


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_collinear_columns_are_caught_in_every_unit_and_at_every_offset(scale, offset):
    X, y, a = draw_rows(1, n=400)
    X = np.column_stack([X, scale * (X @ [0.3, -0.7]) + scale * offset])
    with pytest.raises(SingularCovarianceError, match="linear combination"):
        JointDistribution.fit(X, y, sensitive_features=a)


def test_a_repeated_float32_column_is_caught():
    X, y, a = draw_rows(1, n=400)
    X = np.column_stack([X, 1e-9 * X[:, 0]]).astype(np.float32)
    with pytest.raises(SingularCovarianceError, match="linear combination"):
        JointDistribution.fit(X, y, sensitive_features=a)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(X=np.zeros((2, 2))), "must have shape"),
        (dict(y=[0, 5]), "labels that the law knows .* got also 5"),
        (dict(groups=[0, 7]), "labels that the law knows .* got also 7"),
        (dict(y=[0]), "as many rows"),
    ],
)
def test_log_density_refuses_rows_that_the_law_does_not_know(change, message):
    joint = JointDistribution(cells_2x2(), QUARTERS)
    with pytest.raises(InvalidInputError, match=message):
        joint.log_density(**dict(X=np.zeros((2, 1)), y=[0, 1], groups=[0, 1]) | change)


def test_sample_refuses_what_is_not_a_number_of_rows():
    with pytest.raises(InvalidInputError, match="whole number of rows"):
        JointDistribution(cells_2x2(), QUARTERS).sample(-1)
