"""Every wrong input gets one clear sentence; each case stands alone."""

import numpy as np
import pandas as pd
import pytest

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer

MODES = ["blind", "given", "infer"]


@pytest.fixture
def rows():
    X, y, group, _ = make_biased_normals(300, random_state=3)
    return X, y, np.asarray(group)


@pytest.mark.parametrize("mode", MODES)
def test_features_that_are_not_finite(rows, mode):
    X, y, group = rows
    X = X.copy()
    X[7, 2] = np.nan
    with pytest.raises(errors.InvalidInputError, match="column 'x2', row 7"):
        IdealSteerer(groups=mode).fit(X, y, sensitive_features=group)
    steerer = IdealSteerer(groups=mode).fit(rows[0], y, sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match="column 'x2', row 7"):
        steerer.transform(X, sensitive_features=group)


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_different_length(rows, mode):
    X, y, group = rows
    with pytest.raises(errors.InvalidInputError, match=r"`y` .* as many rows as `X` \(300\)"):
        IdealSteerer(groups=mode).fit(X, y[:-1], sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match=r"`sensitive_features` .* \(300\), got 299"):
        IdealSteerer(groups=mode).fit(X, y, sensitive_features=group[:-1])


@pytest.mark.parametrize("mode", MODES)
def test_a_single_class_or_group(rows, mode):
    X, y, group = rows
    with pytest.raises(errors.InvalidInputError, match="got one class: 0"):
        IdealSteerer(groups=mode).fit(X, np.zeros(300, int), sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match="at least 2 groups, got only 'a'"):
        IdealSteerer(groups=mode).fit(X, y, sensitive_features=["a"] * 300)


@pytest.mark.parametrize("mode", ["given", "infer"])
def test_an_empty_cell(rows, mode):
    X, y, group = rows
    keep = ~((y == 1) & (group == "b"))
    with pytest.raises(errors.EmptyCellError, match=r"got none in 1 of 4: \(label 1, group b\)"):
        IdealSteerer(groups=mode).fit(X[keep], y[keep], sensitive_features=group[keep])


def test_a_cell_with_fewer_rows_than_features(rows):
    X, y, group = rows
    few = np.r_[np.flatnonzero(group == "a"), np.flatnonzero((group == "b") & (y == 0))[:2],
                np.flatnonzero((group == "b") & (y == 1))[:2]]  # fmt: skip
    with pytest.raises(errors.SingularCovarianceError, match=r"2 degrees of freedom for 4 feat"):
        IdealSteerer(groups="given", subspace="full", shrinkage=None).fit(
            X[few], y[few], sensitive_features=group[few]
        )
    shrunk = IdealSteerer(groups="given").fit(X[few], y[few], sensitive_features=group[few])
    assert np.isfinite(shrunk.transform(X, sensitive_features=group)).all()


def test_only_constant_columns(rows):
    _, y, group = rows
    with pytest.raises(errors.InvalidInputError, match="got only constant columns"):
        IdealSteerer(groups="given").fit(np.full((300, 2), 0.1), y, sensitive_features=group)


def test_groups_at_transform(rows):
    X, y, group = rows
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    with pytest.raises(errors.UnknownGroupError, match=r"seen in `fit` \(a, b\), got also c"):
        steerer.transform(X[:2], sensitive_features=["a", "c"])
    with pytest.raises(errors.GroupsRequiredError, match="use the group of every row, got None"):
        steerer.transform(X)
    with pytest.raises(errors.MissingGroupValuesError, match="got 1 missing of 2"):
        steerer.transform(X[:2], sensitive_features=["a", None])
    lenient = IdealSteerer(groups="given", unknown_group="identity").fit(
        X, y, sensitive_features=group
    )
    assert (lenient.transform(X[:1], sensitive_features=["c"]) == X[:1]).all()


def test_missing_groups_kept_as_a_group(rows):
    X, y, group = rows
    some = group.astype(object)
    some[::7] = None
    steerer = IdealSteerer(groups="given", missing_groups="own_group")
    steerer.fit(X, y, sensitive_features=some)
    assert steerer.groups_ == ["a", "b", "(missing)"]
    assert np.isfinite(steerer.transform(X, sensitive_features=some)).all()


def test_the_wrong_family(rows):
    X, y, group = rows
    frame = pd.DataFrame(np.exp(X), columns=list("wxyz"))
    steerer = IdealSteerer(groups="given", family="lognormal").fit(
        frame, y, sensitive_features=group
    )
    frame.loc[5, "y"] = -1.0
    with pytest.raises(errors.FamilyError, match="column 'y', row 5: -1"):
        steerer.transform(frame, sensitive_features=group)


def test_labels_as_fractions_and_missing_labels(rows):
    X, _, group = rows
    with pytest.raises(errors.InvalidInputError, match="fractional numbers such as"):
        IdealSteerer().fit(X, np.linspace(0, 1, 300), sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match="got 300 missing"):
        IdealSteerer().fit(X, [None] * 300, sensitive_features=group)


def test_other_columns_at_transform(rows):
    X, y, group = rows
    frame = pd.DataFrame(X, columns=list("wxyz"))
    steerer = IdealSteerer(rank=1).fit(frame, y, sensitive_features=group)
    with pytest.raises(ValueError, match="feature names should match"):
        steerer.transform(frame.rename(columns={"w": "v"}))
    with pytest.raises(errors.InvalidInputError, match="must have the numeric columns seen"):
        steerer.transform(frame.assign(w="text"))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(groups="blnd"), "`groups` .* must be one of 'blind', 'given', 'infer'"),
        (dict(covariance="tide"), "`covariance` .* must be one of"),
        (dict(rank=0), "`rank` .* at least 1"),
        (dict(rank=True), "`rank` .* at least 1"),
        (dict(shrinkage=2.0), "`shrinkage` .* must lie in"),
        (dict(shrinkage="lw"), "`shrinkage` .* must be one of"),
        (dict(cell_shrinkage=-1), "`cell_shrinkage` .* must lie in"),
        (dict(subspace="discriminant", covariance="diagonal"), "cannot go with"),
        (dict(groups="given", moves="c"), "moves"),
        (dict(groups="given", reference="c"), "reference"),
    ],
)
def test_bad_settings(rows, settings, match):
    X, y, group = rows
    with pytest.raises(errors.InvalidInputError, match=match):
        IdealSteerer(**settings).fit(X, y, sensitive_features=group)


def test_families_of_maps_say_what_they_need(rows):
    X, y, group = rows
    with pytest.raises(errors.InvalidInputError, match='needs `covariance="diagonal"`'):
        IdealSteerer(groups="given", covariance="full", map_family="diagonal").fit(
            X, y, sensitive_features=group
        )
