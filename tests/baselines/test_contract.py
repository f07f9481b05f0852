"""One contract for every registered baseline: each test runs over all of them."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from isonomy import baselines
from isonomy.errors import (
    GroupsRequiredError,
    InvalidInputError,
    MissingGroupValuesError,
    SparseInputError,
    UnknownGroupError,
)

REFERENCED = ["MeanMatching", "MiMiC"]
GIVEN = [*REFERENCED, "OracleLEACE", "QuadraticLEACE", "DisparateImpactRemover"]
BLIND = ["DifferenceOfMeans", "INLP", "LEACE"]
MOVERS = [*BLIND, *GIVEN]
CLASSIFIERS = ["Oversampling", "Reweighing", "Undersampling"]
SETTINGS = {
    "DifferenceOfMeans": [{}, {"strength": 0.5}, {"action": "add", "toward": "b"}],
    "DisparateImpactRemover": [{}, {"repair_level": 0.5}, {"n_quantiles": 10}],
    "INLP": [{}, {"n_iterations": 1}, {"standardize": False}],
    "LEACE": [{}, {"method": "orth"}, {"shrinkage": "oas"}],
    "MeanMatching": [{}, {"reference": "b"}],
    "MiMiC": [{}, {"reference": "b"}, {"shrinkage": "oas"}, {"shrinkage": 0.1}],
    "OracleLEACE": [{}],
    "QuadraticLEACE": [{}, {"weighting": "equal"}, {"shrinkage": "oas"}, {"shrinkage": 0.1}],
}
EVERY = [(name, s) for name in MOVERS for s in SETTINGS[name]]


def build(name, **settings):
    return getattr(baselines, name)(**settings)


def rows_of_groups(seed=0, n=240, d=4):
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2])
    shift = {"a": 0.0, "b": 2.0, "c": -1.0}
    scale = {"a": 1.0, "b": 1.5, "c": 0.7}
    X = np.array([shift[g] + scale[g] * rng.standard_normal(d) for g in groups])
    y = (X[:, 0] + rng.standard_normal(n) > 0).astype(int)
    return X, y, groups


def test_every_registered_baseline_is_in_this_contract():
    # LinearPost post-processes scores, has parameters of its own and its own contract
    assert set(baselines.__all__) - {"LinearPost"} == {*MOVERS, *CLASSIFIERS}
    assert set(SETTINGS) == set(MOVERS)


@pytest.mark.parametrize("name", [*MOVERS, *CLASSIFIERS])
def test_group_use_says_whether_the_group_is_needed_later(name):
    assert getattr(baselines, name).group_use == ("given" if name in GIVEN else "blind")


def checks_of_all():
    estimators = [build(name, missing_groups="single") for name in MOVERS]
    for name in CLASSIFIERS:
        inner = LogisticRegression()
        estimators.append(getattr(baselines, name)(inner, missing_groups="single"))
    for estimator in estimators:
        yield from estimator_checks_generator(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [pytest.param(e, c, id=f"{type(e).__name__}-{i}") for i, (e, c) in enumerate(checks_of_all())],
)
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        # scikit-learn's own checks provoke warnings of convergence and of data conversion
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.parametrize(("name", "settings"), EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_array_in_array_out_with_its_dtype(name, settings, dtype):
    X, _, groups = rows_of_groups()
    method = build(name, **settings)
    before = X.astype(dtype)
    out = method.fit_transform(before, sensitive_features=groups)
    assert isinstance(out, np.ndarray)
    assert out.dtype == dtype and out.shape == X.shape
    np.testing.assert_array_equal(before, X.astype(dtype))  # the caller's rows are not touched
    exact = build(name, **settings).fit_transform(X, sensitive_features=groups)
    # float32 input carries about 7 digits; statistics do not lose more
    np.testing.assert_allclose(out, exact, atol=2e-5 if dtype == np.float32 else 0.0)


@pytest.mark.parametrize("name", MOVERS)
@pytest.mark.parametrize("library", [pd, pl])
def test_frame_in_frame_out(name, library):
    X, _, groups = rows_of_groups()
    frame = library.DataFrame(
        {"one": X[:, 0], "city": groups, "two": X[:, 1], "three": X[:, 2], "four": X[:, 3]}
    )
    method = build(name).fit(frame, sensitive_features=frame["city"])
    out = method.transform(frame, sensitive_features=frame["city"])
    assert type(out) is type(frame)
    assert list(out.columns) == list(frame.columns)
    assert out["city"].to_list() == frame["city"].to_list()
    expected = build(name).fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out[["one", "two", "three", "four"]].to_numpy(), expected)


@pytest.mark.parametrize("name", MOVERS)
def test_group_columns_equal_sensitive_features(name):
    X, _, groups = rows_of_groups()
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(city=groups)
    out = build(name, group_columns=["city"]).fit_transform(frame)
    assert "city" not in out.columns
    np.testing.assert_allclose(
        out.to_numpy(), build(name).fit_transform(X, sensitive_features=groups)
    )


@pytest.mark.parametrize("name", [*MOVERS, *CLASSIFIERS])
def test_no_groups_raise_and_single_leaves_rows_alone(name):
    X, y, _ = rows_of_groups()
    with pytest.raises(GroupsRequiredError, match="`sensitive_features` passed to `.*fit`"):
        build(name).fit(X, y)
    method = build(name, missing_groups="single").fit(X, y)
    if name == "Reweighing":
        np.testing.assert_array_equal(method.sample_weight_, np.ones(len(y)))
    elif name in CLASSIFIERS:
        np.testing.assert_array_equal(method.sample_indices_, np.arange(len(y)))
    else:
        np.testing.assert_array_equal(method.transform(X), X)


@pytest.mark.parametrize("name", [*MOVERS, *CLASSIFIERS])
def test_missing_group_values_raise_or_become_a_group(name):
    X, y, groups = rows_of_groups(d=10)  # of few columns INLP leaves nothing to four groups
    holes = groups.astype(object)
    holes[:20] = None
    with pytest.raises(MissingGroupValuesError, match="20 missing of 240"):
        build(name).fit(X, y, sensitive_features=holes)
    method = build(name, missing_groups="own_group").fit(X, y, sensitive_features=holes)
    assert method.groups_ == ["a", "b", "c", "(missing)"]


@pytest.mark.parametrize("name", GIVEN)
def test_group_never_seen_raises_or_stays(name):
    X, _, groups = rows_of_groups()
    new = np.where(np.arange(len(X)) < 3, "z", groups)
    with pytest.raises(UnknownGroupError, match="got also z"):
        build(name).fit(X, sensitive_features=groups).transform(X, sensitive_features=new)
    method = build(name, unknown_group="identity").fit(X, sensitive_features=groups)
    np.testing.assert_array_equal(method.transform(X, sensitive_features=new)[:3], X[:3])


@pytest.mark.parametrize("name", GIVEN)
def test_transform_without_groups_raises(name):
    X, _, groups = rows_of_groups()
    with pytest.raises(GroupsRequiredError, match="one group a row"):
        build(name).fit(X, sensitive_features=groups).transform(X)


@pytest.mark.parametrize(("name", "settings"), EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_and_collinear_columns_give_finite_rows(name, settings, dtype):
    X, _, groups = rows_of_groups()
    wide = np.column_stack([X, np.full(len(X), 3.0), 2 * X[:, 0] - X[:, 1], np.zeros(len(X))])
    out = build(name, **settings).fit_transform(wide.astype(dtype), sensitive_features=groups)
    assert np.isfinite(out).all()
    if settings.get("shrinkage") is None:
        np.testing.assert_allclose(out[:, 4], 3.0, atol=1e-5)
    # a value-by-value repair knows no other column
    if settings.get("shrinkage") is None and name != "DisparateImpactRemover":
        np.testing.assert_allclose(out[:, 5], 2 * out[:, 0] - out[:, 1], atol=1e-4)


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_fewer_rows_than_columns_give_finite_rows(name, settings):
    X, _, groups = rows_of_groups(n=30, d=60)
    out = build(name, **settings).fit_transform(X, sensitive_features=groups)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_integer_weights_equal_repeated_rows(name, settings):
    X, _, groups = rows_of_groups()
    if settings.get("shrinkage") == "oas":
        settings = {**settings, "shrinkage": 0.2}
    weight = np.random.default_rng(1).integers(0, 4, size=len(X))
    weighted = build(name, **settings).fit(X, sensitive_features=groups, sample_weight=weight)
    repeated = build(name, **settings).fit(
        np.repeat(X, weight, axis=0), sensitive_features=np.repeat(groups, weight)
    )
    np.testing.assert_allclose(
        weighted.transform(X, sensitive_features=groups),
        repeated.transform(X, sensitive_features=groups),
        atol=1e-10,
    )


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_row_order_does_not_matter(name, settings):
    X, _, groups = rows_of_groups()
    order = np.random.default_rng(2).permutation(len(X))
    one = build(name, **settings).fit(X, sensitive_features=groups)
    two = build(name, **settings).fit(X[order], sensitive_features=groups[order])
    np.testing.assert_allclose(
        one.transform(X, sensitive_features=groups),
        two.transform(X, sensitive_features=groups),
        atol=1e-10,
    )


@pytest.mark.parametrize("name", MOVERS)
def test_nan_and_sparse_rows_raise(name):
    from scipy.sparse import csr_array

    X, _, groups = rows_of_groups()
    with pytest.raises(SparseInputError, match="TruncatedSVD"):
        build(name).fit(csr_array(X), sensitive_features=groups)
    X[5, 2] = np.nan
    with pytest.raises(InvalidInputError, match="column 'x2', row 5"):
        build(name).fit(X, sensitive_features=groups)


@pytest.mark.parametrize("name", [*MOVERS, *CLASSIFIERS])
def test_one_group_and_different_lengths_raise(name):
    X, y, groups = rows_of_groups()
    with pytest.raises(InvalidInputError, match="at least 2 groups"):
        build(name).fit(X, y, sensitive_features=np.full(len(y), "a"))
    with pytest.raises(InvalidInputError, match=r"\(240\), got 239"):
        build(name).fit(X, y, sensitive_features=groups[1:])


@pytest.mark.parametrize("name", MOVERS)
def test_a_group_without_weight_raises(name):
    X, _, groups = rows_of_groups()
    with pytest.raises(InvalidInputError, match="got 0 in all rows of c"):
        build(name).fit(X, sensitive_features=groups, sample_weight=(groups != "c").astype(float))


@pytest.mark.parametrize("name", REFERENCED)
def test_a_reference_that_is_no_group_raises(name):
    X, _, groups = rows_of_groups()
    with pytest.raises(InvalidInputError, match=r"one of the groups \(a, b, c\) or None, got 'q'"):
        build(name, reference="q").fit(X, sensitive_features=groups)


@pytest.mark.parametrize("name", MOVERS)
def test_routed_inside_a_pipeline(name):
    X, y, groups = rows_of_groups()
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = Pipeline(
            [("scale", StandardScaler()), ("move", build(name)), ("head", LogisticRegression())]
        )
        pipe.fit(X, y, sensitive_features=groups)
        at_predict = {} if name in BLIND else {"sensitive_features": groups}
        predicted = pipe.predict(X, **at_predict)
    scaled = StandardScaler().fit_transform(X)
    moved = build(name).fit_transform(scaled, sensitive_features=groups)
    np.testing.assert_array_equal(predicted, LogisticRegression().fit(moved, y).predict(moved))


@pytest.mark.parametrize(("name", "settings"), EVERY)
def test_clone_keeps_every_parameter(name, settings):
    method = build(name, **settings, group_columns=["g"], unknown_group="identity")
    assert clone(method).get_params() == method.get_params()


@pytest.mark.parametrize("name", MOVERS)
def test_the_target_of_a_later_regression_step_is_let_through(name):
    X, _, groups = rows_of_groups()
    out = build(name).fit_transform(X, X[:, 0], sensitive_features=groups)
    np.testing.assert_array_equal(out, build(name).fit_transform(X, sensitive_features=groups))
    with pytest.raises(InvalidInputError, match=r"`y` .* as many rows as `X` \(240\), got 239"):
        build(name).fit(X, X[1:, 0], sensitive_features=groups)
