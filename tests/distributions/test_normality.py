"""The cheap look at columns: its scores are SciPy's, its size is right, its words name columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, kurtosistest, skewtest

from isonomy.distributions._normality import (
    _kurtosis_score,
    _shape_of,
    _skewness_score,
    check_columns,
    warn_if_not_normal,
)
from isonomy.errors import NonNormalWarning


def rows(seed, n=400, d=3):
    rng = np.random.default_rng(seed)
    y, a = np.divmod(np.arange(n) % 4, 2)
    # cells with means and spreads of their own: that is no departure
    X = rng.normal(size=(n, d)) * (1.0 + 3.0 * y + a)[:, None] + 5.0 * y[:, None]
    return X, y, a


@pytest.mark.parametrize("n", [20, 50, 1000])
def test_scores_are_scipys(n):
    x = np.random.default_rng(n).gamma(2.0, size=(n, 4))
    g1, g2 = (g[0] for g in _shape_of(x, np.array([0])))
    assert _skewness_score(g1, n) == pytest.approx(skewtest(x).statistic)
    assert _kurtosis_score(g2, n) == pytest.approx(kurtosistest(x).statistic)


def test_one_column_in_a_hundred_normal_data_sets_is_called():
    low = [np.nanmin(check_columns(*rows(seed)).p) for seed in range(300)]
    # Holm at 5 %: 15 expected; the chi-square limit of two scores is a little too generous
    assert 4 <= np.sum(np.array(low) <= 0.05) <= 30


def test_skewed_and_heavy_columns_are_named_with_their_p():
    X, y, a = rows(0)
    X[:, 1] = np.random.default_rng(1).lognormal(size=len(X))
    with pytest.warns(NonNormalWarning, match="column\\(s\\) 'income' do not look normal") as seen:
        found = warn_if_not_normal(X, y, a, names=["age", "income", "size"], where="f")
    text = str(seen[0].message)
    assert "`f` with `family='normal'`" in text
    assert f"p = {found.p[1]:.2g} for 'income'" in text
    assert '"auto", "lognormal" or "nonparanormal"' in text
    assert found.skewness[1] > 1.0
    X[:, 1] *= -1.0
    with pytest.warns(NonNormalWarning) as seen:
        warn_if_not_normal(X, y, a, names=list("abc"), where="f")
    assert "lognormal" not in str(seen[0].message)


def test_normal_rows_make_no_warning():
    X, y, a = rows(2)
    found = warn_if_not_normal(X, y, a, names=list("abc"), where="f")
    assert np.nanmin(found.p) > 0.01


def test_few_rows_and_constant_columns_are_not_judged():
    X, y, a = rows(3, n=60)
    assert np.isnan(check_columns(X, y, a).p).all()  # 15 rows a cell
    X, y, a = rows(4)
    X[:, 2] = 0.1
    found = check_columns(X, y, a)
    assert np.isnan(found.p[2])
    assert not np.isnan(found.p[:2]).any()


def test_large_tables_are_sampled_with_a_fixed_seed():
    X, y, a = rows(5, n=40_000)
    one, two = check_columns(X, y, a), check_columns(X, y, a)
    assert one.n_rows == 1_000
    assert (one.p == two.p).all()


def test_cells_are_judged_together_as_they_are_one_by_one():
    X, y, a = rows(6, n=500)
    order = np.random.default_rng(0).permutation(500)[:430]  # cells of unequal size, mixed up
    X, y, a = X[order], y[order], a[order]
    found = check_columns(X, y, a)
    statistic = np.zeros(3)
    for label, group in np.ndindex(2, 2):
        cell = X[(y == label) & (a == group)]
        statistic += skewtest(cell).statistic ** 2 + kurtosistest(cell).statistic ** 2
    p = np.sort(chi2.sf(statistic, 8))
    assert np.sort(found.p)[0] == pytest.approx(min(1.0, 3 * p[0]))


def test_rows_without_weight_are_not_looked_at():
    X, y, a = rows(7)
    strange = np.exp(X)
    both = np.r_[X, strange], np.r_[y, y], np.r_[a, a]
    assert np.nanmin(check_columns(*both, np.repeat([1.0, 0.0], 400)).p) > 0.01
    assert np.nanmin(check_columns(*both, np.repeat([0.0, 1.0], 400)).p) < 1e-6


def test_a_small_cell_is_left_out_beside_large_ones():
    X, y, a = rows(8)
    strange = np.exp(5.0 * np.random.default_rng(0).normal(size=(15, 3)))
    X, y, a = np.r_[X, strange], np.r_[y, np.full(15, 2)], np.r_[a, np.zeros(15, dtype=int)]
    found = check_columns(X, y, a)
    assert found.n_rows == 400
    assert np.nanmin(found.p) > 0.01


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_units_of_columns_do_not_matter(unit):
    X, y, a = rows(9)
    found, other = check_columns(X, y, a), check_columns(unit * X, y, a)
    assert other.p == pytest.approx(found.p)
    assert other.skewness == pytest.approx(found.skewness)
