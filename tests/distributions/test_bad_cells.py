"""Fits of bad cells: what is refused, by name and with a remedy, and what still works."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isonomy.distributions import JointDistribution
from isonomy.errors import EmptyCellError, SingularCovarianceError


def rows(seed, n=200, d=3):
    rng = np.random.default_rng(seed)
    y, a = np.divmod(np.arange(n) % 4, 2)
    return rng.normal(size=(n, d)) + y[:, None], y, np.array(["f", "m"])[a]


def fit(X, y, a, **options):
    return JointDistribution.fit(X, y, sensitive_features=a, **options)


def short_cell(n_left, d=3):
    """The cell (1, m) keeps ``n_left`` rows."""
    X, y, a = rows(0, d=d)
    cell = np.flatnonzero((y == 1) & (a == "m"))
    keep = np.setdiff1d(np.arange(len(y)), cell[n_left:])
    return X[keep], y[keep], a[keep]


def test_a_cell_with_two_rows_is_named_with_remedies_that_work():
    data = short_cell(2)
    with pytest.raises(SingularCovarianceError) as caught:
        fit(*data)
    text = str(caught.value)
    assert "at least 4 rows in (label 1, group m), got 2 rows for 3 features" in text
    assert '`covariance="tied"` or `shrinkage="oas"`' in text
    for options in ({"covariance": "tied"}, {"shrinkage": "oas"}, {"covariance": "diagonal"}):
        joint = fit(*data, **options)
        assert joint.prior[1, 1] == pytest.approx(2 / len(data[0]))


@pytest.mark.parametrize("n_left", [0, 1])
def test_cells_with_one_row_or_none(n_left):
    data = short_cell(n_left, d=1)
    error = EmptyCellError if n_left == 0 else SingularCovarianceError
    with pytest.raises(error, match=r"\(label 1, group m\)"):
        fit(*data)
    if n_left:
        assert np.isfinite(fit(*data, covariance="tied").covariances).all()


def test_two_rows_of_one_variable_are_enough():
    joint = fit(*short_cell(2, d=1))
    assert joint.covariances[1, 1, 0, 0] > 0


def test_more_features_than_rows_is_refused_with_a_remedy_that_works():
    X, y, a = rows(1, n=40, d=60)
    with pytest.raises(SingularCovarianceError, match=r"got 10 rows for 60 features.*oas"):
        fit(X, y, a)
    with pytest.raises(SingularCovarianceError, match=r"got 20 rows for 60 features.*oas"):
        fit(X, y, a, covariance="tied")
    for covariance in ("full", "tied"):
        joint = fit(X, y, a, covariance=covariance, shrinkage="oas")
        assert np.linalg.eigvalsh(joint.covariances).min() > 0


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_a_direction_that_one_group_alone_lacks_is_named(covariance):
    X, y, a = rows(2)
    frame = pd.DataFrame(X, columns=["age", "income", "size"])
    group = a == "m"
    frame.loc[group, "size"] = 3.0 * frame.loc[group, "age"] - frame.loc[group, "income"]
    with pytest.raises(SingularCovarianceError) as caught:
        fit(frame, y, a, covariance=covariance)
    text = str(caught.value)
    cell = "group m" if covariance == "tied" else "(label 0, group m)"
    other = "group f" if covariance == "tied" else "(label 0, group f)"
    assert f"The covariance of {cell} in `JointDistribution.fit` must be positive" in text
    assert f"{cell} has no variance and {other} has" in text
    # 3 age - income - size, in units of the spreads of the other group, which are near 1
    _, _, words = text.partition("Along ")
    weights = words.partition(" (in standard")[0]
    assert weights.startswith("0.9")
    assert " age - 0." in weights
    assert "no invertible map carries one onto the other" in text
    assert fit(frame, y, a, covariance=covariance, shrinkage=0.1) is not None


def test_a_column_that_is_constant_in_one_cell_alone_is_named():
    X, y, a = rows(3)
    X[(y == 0) & (a == "f"), 1] = 7.0
    for covariance in ("full", "diagonal"):
        with pytest.raises(SingularCovarianceError, match=r"Along 1\.00 x1 .*group f\) has no var"):
            fit(X, y, a, covariance=covariance)
    assert fit(X, y, a, covariance="tied") is not None


def test_what_no_group_has_is_not_called_a_difference_between_groups():
    X, y, a = rows(4)
    X[:, 2] = X[:, 0] - X[:, 1]
    with pytest.raises(SingularCovarianceError, match="x0, x1, x2 are constant or") as caught:
        fit(X, y, a)
    assert "Along" not in str(caught.value)


def test_units_of_columns_do_not_change_the_verdict():
    X, y, a = rows(5)
    X[a == "m", 2] = X[a == "m", 0]
    found = []
    for units in (np.ones(3), np.array([1e-9, 1.0, 1e6])):
        with pytest.raises(SingularCovarianceError) as caught:
            fit(X * units, y, a)
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_a_group_that_is_a_copy_of_another_is_fitted_the_same():
    X, y, _ = rows(6, n=100)
    X, y = np.concatenate([X, X]), np.concatenate([y, y])
    joint = fit(X, y, ["one"] * 100 + ["two"] * 100)
    assert np.array_equal(joint.means[:, 0], joint.means[:, 1])
    assert np.array_equal(joint.covariances[:, 0], joint.covariances[:, 1])


def test_a_prior_of_one_in_a_million_survives_a_weighted_fit():
    X, y, a = rows(7)
    rare = (y == 1) & (a == "m")
    weight = np.where(rare, 1e-6 / rare.sum(), 1.0 / (~rare).sum())
    joint = fit(X, y, a, sample_weight=weight)
    assert joint.prior[1, 1] == pytest.approx(1e-6, rel=1e-5)
    alone = fit(X, y, a)
    assert joint.covariances == pytest.approx(alone.covariances)
