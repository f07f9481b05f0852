"""Rows keep their kind when categories flip: dtypes widen where a flip needs it, nothing is cut."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from isonomy.distributions import (
    Categorical,
    CategoricalJoint,
    JointDistribution,
    MixedJoint,
    Normal,
)
from isonomy.errors import InvalidInputError
from isonomy.ideal import FlipMap, nearest_ideal

NAMES = ["p", "a long name"]
PAIRS = [(y, a) for y in (0, 1) for a in (0, 1)]
PRIOR = dict.fromkeys(PAIRS, 0.25)
N = 2_000


def flipping():
    """Group 0 hardly knows the second category, group 1 hardly the first."""
    share = {(0, 0): 0.95, (1, 0): 0.9, (0, 1): 0.1, (1, 1): 0.05}
    cells = {pair: Categorical([p, 1.0 - p], NAMES) for pair, p in share.items()}
    return CategoricalJoint(cells, PRIOR, columns=["c"])


def mixed():
    laws = {(y, a): Normal(2.0 * y + a, 1.0 + a) for y, a in PAIRS}
    return MixedJoint(JointDistribution(laws, PRIOR), flipping())


ROWS = {
    "text array": lambda: np.array(["p"] * N),
    "list": lambda: [["p"]] * N,
    "pandas text": lambda: pd.DataFrame({"c": ["p"] * N}),
    "pandas category": lambda: pd.DataFrame({"c": pd.Categorical(["p"] * N)}, index=[7] * N),
    "polars text": lambda: pl.DataFrame({"c": ["p"] * N}),
    "polars enum": lambda: pl.DataFrame({"c": pl.Series(["p"] * N, dtype=pl.Enum(["p"]))}),
    "polars category": lambda: pl.DataFrame({"c": pl.Series(["p"] * N, dtype=pl.Categorical)}),
    "arrow": lambda: pa.table({"c": ["p"] * N}),
}


@pytest.mark.parametrize("kind", ROWS)
def test_a_flip_to_a_category_that_these_rows_lack_is_neither_cut_nor_refused(kind):
    solution, rows = nearest_ideal(flipping()), ROWS[kind]()
    steered = solution.steer(rows, sensitive_features=[0] * N)
    assert type(steered) is (np.ndarray if kind == "list" else type(rows))
    column = steered if isinstance(steered, np.ndarray) else steered["c"]
    found = np.asarray(column).ravel().astype(str)
    assert set(found.tolist()) == set(NAMES)
    stated = solution.maps[0][0].flip_probability["p"]
    assert stated > 0.3
    # four standard deviations of a share
    assert (found != "p").mean() == pytest.approx(stated, abs=2.0 / np.sqrt(N))
    # group 1 flips others: none of its rows that say "p" need change
    assert solution.maps[1][0].flip_probability["p"] < 0.05


def test_the_callers_rows_stay_as_they_were():
    solution = nearest_ideal(flipping())
    for kind in ("text array", "pandas category"):
        rows = ROWS[kind]()
        solution.steer(rows, sensitive_features=[0] * N)
        assert set(np.asarray(rows).ravel().tolist()) == {"p"}


def test_numbers_beside_categories_are_not_cut_to_whole_ones_or_to_the_width_of_text():
    solution = nearest_ideal(mixed())
    values, groups = np.arange(N) % 5, np.arange(N) % 2
    wanted = solution.numeric.steer(values[:, None].astype(float), sensitive_features=groups)
    assert np.abs(wanted - np.round(wanted)).max() > 0.01
    text = np.column_stack([values.astype(str), np.full(N, "p")])
    steered = solution.steer(text, sensitive_features=groups)
    assert steered.dtype.kind == "U"
    np.testing.assert_allclose(steered[:, 0].astype(float), wanted[:, 0], rtol=1e-12)
    assert set(steered[:, 1].tolist()) == set(NAMES)
    cells = {pair: Categorical(law.probabilities) for pair, law in flipping().cells.items()}
    coded = nearest_ideal(MixedJoint(mixed().numeric, CategoricalJoint(cells, PRIOR)))
    whole = np.column_stack([values, np.zeros(N, dtype=int)])
    steered = coded.steer(whole, sensitive_features=groups)
    np.testing.assert_allclose(steered[:, 0], wanted[:, 0])
    assert set(steered[:, 1].tolist()) == {0.0, 1.0}


def test_no_rows_are_refused_by_number():
    with pytest.raises(InvalidInputError, match="one row, got 0 rows and 1 columns"):
        nearest_ideal(flipping()).steer(np.empty((0, 1)), sensitive_features=[])


def test_flip_maps_are_public():
    flips = nearest_ideal(flipping()).maps[0][0]
    assert isinstance(flips, FlipMap)
    again = FlipMap.from_arrays(flips.to_arrays())
    np.testing.assert_array_equal(again.matrix, flips.matrix)
