"""``fit_moments`` of the moments of rows is ``fit`` of the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy import baselines
from isonomy.baselines._group_moments import marginal_moments
from isonomy.distributions import CellMoments
from isonomy.errors import GroupsRequiredError, InvalidInputError
from reference.marginals import group_mixture

BLIND = [
    ("LEACE", {}),
    ("LEACE", {"method": "orth"}),
    ("LEACE", {"shrinkage": "oas"}),
    ("DifferenceOfMeans", {}),
    ("DifferenceOfMeans", {"strength": 0.5}),
    ("DifferenceOfMeans", {"action": "add", "toward": "b"}),
]
GIVEN = [
    ("MeanMatching", {}),
    ("MeanMatching", {"reference": "b"}),
    ("MiMiC", {}),
    ("MiMiC", {"reference": "b"}),
    ("MiMiC", {"shrinkage": 0.2}),
    ("OracleLEACE", {}),
    ("QuadraticLEACE", {}),
    ("QuadraticLEACE", {"weighting": "equal", "shrinkage": "oas"}),
]
MEANS_ALONE = ("DifferenceOfMeans", "MeanMatching", "OracleLEACE")
EVERY = BLIND + GIVEN
IDS = [f"{n}-{i}" for i, (n, _) in enumerate(EVERY)]


def build(name, **settings):
    return getattr(baselines, name)(**settings)


def rows(seed=0, n=300, d=6, groups="ab", n_classes=3):
    rng = np.random.default_rng(seed)
    a = np.array(list(groups))[rng.integers(0, len(groups), n)]
    a[: len(groups)] = list(groups)
    y = rng.integers(0, n_classes, n)
    code = np.searchsorted(list(groups), a)
    X = rng.standard_normal((n, d)) * (1 + 0.4 * code[:, None]) + np.outer(
        code, np.linspace(1, 2, d)
    )
    return X + y[:, None] * np.linspace(-1, 1, d), y, a, rng.uniform(0.2, 3.0, n)


def moments_of(X, y, a, weight=None, covariance="tied", **labels):
    moments = CellMoments(X.shape[1], covariance=covariance, **labels)
    return moments.update(X, y, sensitive_features=a, sample_weight=weight)


@pytest.mark.parametrize("covariance", ["tied", "full", "diagonal"])
def test_marginal_moments_are_the_mixture_of_the_cells(covariance):
    X, y, a, w = rows(groups="abc")
    cells = moments_of(X, y, a, w, covariance)
    full = moments_of(X, y, a, w, "full")
    for kind in ["means"] if covariance == "diagonal" else ["means", "pooled", "each"]:
        found = marginal_moments(cells, kind=kind, where="test")
        parts = [
            group_mixture(full.counts[:, g], full.means[:, g], full.covariances[:, g])
            for g in range(3)
        ]
        order = (slice(None), 0) if kind != "each" else (0, slice(None))
        np.testing.assert_allclose(found.counts[order], [p[0] for p in parts])
        np.testing.assert_allclose(found.means[order], [p[1] for p in parts], atol=1e-12)
        assert found.n_rows.sum() == 300
        if kind == "each":
            np.testing.assert_allclose(found.covariances, [p[2] for p in parts], atol=1e-12)
        elif kind == "pooled":
            pooled = sum(p[0] * p[2] for p in parts) / sum(p[0] for p in parts)
            np.testing.assert_allclose(found.covariances[0], pooled, atol=1e-12)
        else:
            variances = [np.diag(p[2]) for p in parts]
            np.testing.assert_allclose(found.covariances[:, 0], variances, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=IDS)
@given(
    seed=st.integers(0, 10_000),
    d=st.integers(4, 8),
    groups=st.sampled_from(["ab", "abc", "abcd"]),
    n_classes=st.integers(1, 4),
    weighted=st.booleans(),
    full=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_moments_of_rows_give_the_maps_of_the_rows(
    name, options, seed, d, groups, n_classes, weighted, full
):
    X, y, a, w = rows(seed, 120, d, groups, n_classes)
    weight = w if weighted else None
    by_rows = build(name, **options).fit(X, y, sensitive_features=a, sample_weight=weight)
    cells = moments_of(X, y, a, weight, "full" if full else "tied")
    by_moments = build(name, **options).fit_moments(cells)
    assert by_moments.groups_ == by_rows.groups_
    assert by_moments.n_features_in_ == by_rows.n_features_in_ == d
    np.testing.assert_allclose(
        by_moments.transform(X, sensitive_features=a),
        by_rows.transform(X, sensitive_features=a),
        atol=1e-7,  # a square root of nearly equal covariances doubles the rounding of 1e-15
    )


@pytest.mark.parametrize("name", MEANS_ALONE)
def test_diagonal_moments_serve_what_needs_means_alone(name):
    X, y, a, _ = rows()
    found = build(name).fit_moments(moments_of(X, y, a, covariance="diagonal"))
    expected = build(name).fit_transform(X, sensitive_features=a)
    np.testing.assert_allclose(found.transform(X, sensitive_features=a), expected, atol=1e-10)


@pytest.mark.parametrize("name", ["LEACE", "MiMiC", "QuadraticLEACE"])
def test_diagonal_moments_are_refused_where_covariances_are_needed(name):
    X, y, a, _ = rows()
    with pytest.raises(InvalidInputError, match=f"`{name}.fit_moments` must hold whole covar"):
        build(name).fit_moments(moments_of(X, y, a, covariance="diagonal"))


@pytest.mark.parametrize(("name", "options"), EVERY, ids=IDS)
def test_an_empty_cell_does_not_matter_and_a_fixed_label_without_rows_neither(name, options):
    X, y, a, _ = rows()
    kept = ~((y == 0) & (a == "b"))
    cells = moments_of(X[kept], y[kept], a[kept], classes=[0, 1, 2, 9])
    found = build(name, **options).fit_moments(cells).transform(X, sensitive_features=a)
    by_rows = build(name, **options).fit(X[kept], sensitive_features=a[kept])
    np.testing.assert_allclose(found, by_rows.transform(X, sensitive_features=a), atol=1e-9)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=IDS)
def test_a_group_without_rows_is_named(name, options):
    X, y, a, _ = rows()
    cells = moments_of(X, y, a, groups=["a", "b", "z"])
    with pytest.raises(InvalidInputError, match=r"rows of every group, got none of z\."):
        build(name, **options).fit_moments(cells)


@pytest.mark.parametrize("name", sorted({n for n, _ in EVERY}))
def test_one_group_raises_or_stays(name):
    X, y, a, _ = rows()
    cells = moments_of(X, y, np.full(len(a), "a"))
    with pytest.raises(InvalidInputError, match="at least 2 groups, got only 'a'"):
        build(name).fit_moments(cells)
    found = build(name, missing_groups="single").fit_moments(cells)
    np.testing.assert_array_equal(found.transform(X), X)


@pytest.mark.parametrize("name", sorted({n for n, _ in EVERY}))
def test_what_are_no_moments_of_rows_is_refused(name):
    X, y, a, _ = rows()
    where = f"`{name}.fit_moments`"
    with pytest.raises(InvalidInputError, match=f"{where} must be `CellMoments`, got ndarray"):
        build(name).fit_moments(X)
    with pytest.raises(InvalidInputError, match=f"{where} must hold rows of every group"):
        build(name).fit_moments(CellMoments(3))
    with pytest.raises(InvalidInputError, match="`group_columns` of .* must be None"):
        build(name, group_columns=[0]).fit_moments(moments_of(X, y, a))
    broken = moments_of(X, y, a)
    broken._mean[0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match=f"{where} must be finite, got means"):
        build(name).fit_moments(broken)


@pytest.mark.parametrize("name", ["LEACE", "MiMiC", "QuadraticLEACE"])
def test_covariances_that_are_not_finite_are_refused(name):
    X, y, a, _ = rows()
    broken = moments_of(X, y, a)
    broken._scatter[0, 0, 0] = np.inf
    with pytest.raises(InvalidInputError, match="must be finite, got covariances"):
        build(name).fit_moments(broken)


def test_parameters_are_checked_as_in_fit():
    X, y, a, _ = rows()
    cells = moments_of(X, y, a)
    with pytest.raises(InvalidInputError, match=r"one of the groups \(a, b\) or None, got 'q'"):
        baselines.MeanMatching(reference="q").fit_moments(cells)
    with pytest.raises(InvalidInputError, match="a vector needs an end"):
        baselines.DifferenceOfMeans(action="add").fit_moments(cells)
    with pytest.raises(InvalidInputError, match=r"`LEACE.fit_moments` would erase all 1"):
        baselines.LEACE().fit_moments(moments_of(X[:, :1], y, a))


def test_names_of_columns_come_with_the_moments():
    X, y, a, _ = rows()
    frame = pd.DataFrame(X, columns=[f"f{j}" for j in range(6)])
    cells = CellMoments(6, covariance="tied").update(frame, y, sensitive_features=a)
    found = baselines.LEACE().fit_moments(cells)
    assert list(found.feature_names_in_) == list(frame.columns)
    assert list(found.get_feature_names_out()) == list(frame.columns)
    assert list(found.transform(frame).columns) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        found.transform(frame.rename(columns={"f0": "other"}))
    found.fit_moments(moments_of(X, y, a))  # a later fit without names forgets them
    assert not hasattr(found, "feature_names_in_")
    assert list(found.get_feature_names_out()) == [f"x{j}" for j in range(6)]


def test_later_rows_need_the_features_and_groups_of_the_moments():
    X, y, a, _ = rows()
    found = baselines.MiMiC().fit_moments(moments_of(X, y, a))
    with pytest.raises(ValueError, match="expecting 6 features"):
        found.transform(X[:, :4], sensitive_features=a)
    with pytest.raises(GroupsRequiredError, match="one group a row"):
        found.transform(X)


def test_inlp_has_no_fit_on_moments():
    assert not hasattr(baselines.INLP(), "fit_moments")
