"""The cheap look at columns: its scores are SciPy's, its size is right, its words name columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kurtosistest, skewtest

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
    g1, g2 = _shape_of(x)
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
    assert one.n_rows == 2_500
    assert (one.p == two.p).all()
