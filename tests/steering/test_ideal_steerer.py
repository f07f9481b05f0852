"""IdealSteerer: what it promises in every mode, on rows whose law is known."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer

MODES = [
    dict(groups="given"),
    dict(groups="given", direction="moment"),
    dict(groups="given", subspace="discriminant"),
    dict(groups="given", covariance="diagonal"),
    dict(groups="blind", rank=1),
    dict(groups="infer"),
    dict(groups="infer", inference="hard"),
]


def biased(n=3000, seed=0, **kwargs):
    X, y, group, _ = make_biased_normals(n, random_state=seed, **kwargs)
    return X, y, np.asarray(group)


def worst_gap(predicted, y, group):
    gaps = []
    for label in np.unique(y):
        rates = [(predicted[(y == label) & (group == a)] == label).mean() for a in np.unique(group)]
        gaps.append(max(rates) - min(rates))
    return max(gaps)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_groups", [2, 3])
def test_a_blind_head_on_canonical_rows_stays_within_the_transfer_bound(seed, n_groups):
    X, y, group = biased(12_000, seed, n_groups=n_groups)
    steerer = IdealSteerer(groups="given").fit(X[::2], y[::2], sensitive_features=group[::2])
    head = LogisticRegression().fit(
        steerer.transform(X[::2], sensitive_features=group[::2]),
        y[::2],
        sample_weight=steerer.sample_weight_,
    )
    fresh, label, member = X[1::2], y[1::2], group[1::2]
    untouched = LogisticRegression().fit(X[::2], y[::2]).predict(fresh)
    predicted = head.predict(steerer.transform(fresh, sensitive_features=member))
    assert worst_gap(predicted, label, member) < worst_gap(untouched, label, member)
    assert (predicted == label).mean() > (untouched == label).mean()
    reach = {
        cell: min(np.sqrt(kl / 2), np.sqrt(1 - np.exp(-kl)))
        for cell, kl in steerer.solution_.kl_by_cell.items()
    }
    for value in (0, 1):
        rates = {
            a: (predicted[(label == value) & (member == a)] == value).mean()
            for a in np.unique(group)
        }
        for a, b in itertools.combinations(rates, 2):
            # 500 rows or more in a cell: two rates differ by chance by less than 0.1
            limit = reach[value, a] + reach[value, b] + 0.1
            assert abs(rates[a] - rates[b]) <= limit


def test_the_reference_group_stays_where_it_is():
    X, y, group = biased()
    for reference in ("a", "b"):
        steerer = IdealSteerer(groups="given", reference=reference).fit(
            X, y, sensitive_features=group
        )
        moved = steerer.transform(X, sensitive_features=group)
        assert (moved[group == reference] == X[group == reference]).all()
        assert np.abs(moved[group != reference] - X[group != reference]).max() > 0.1


@pytest.mark.parametrize("settings_", MODES)
def test_collinear_and_constant_columns_do_no_harm(settings_):
    X, y, group = biased()
    wide = np.column_stack([X, X[:, 0] + X[:, 1], np.full(len(X), 0.1)])
    plain = IdealSteerer(**settings_).fit(X, y, sensitive_features=group)
    steerer = IdealSteerer(**settings_).fit(wide, y, sensitive_features=group)
    moved = steerer.transform(wide, sensitive_features=group)
    assert np.isfinite(moved).all()
    assert moved[:, -1] == pytest.approx(0.1)
    if settings_.get("covariance") != "diagonal" and settings_["groups"] != "infer":
        assert moved[:, 4] == pytest.approx(moved[:, 0] + moved[:, 1], abs=1e-8)
        # shrinkage is judged in whitened coordinates, which the copy does not change
        expected = plain.transform(X, sensitive_features=group)
        assert moved[:, :4] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("settings_", MODES)
def test_units_do_not_matter(settings_):
    X, y, group = biased()
    units = np.array([1e-6, 1.0, 1e3, 1e7])
    plain = IdealSteerer(**settings_).fit(X, y, sensitive_features=group)
    scaled = IdealSteerer(**settings_).fit(X * units, y, sensitive_features=group)
    moved = scaled.transform(X * units, sensitive_features=group) / units
    expected = plain.transform(X, sensitive_features=group)
    # the probe's logistic regression stops at its own tolerance
    tolerance = 1e-2 if settings_["groups"] == "infer" else 1e-6
    if settings_.get("inference") != "hard":
        assert moved == pytest.approx(expected, abs=tolerance)


@given(seed=st.integers(0, 1000), cut=st.integers(50, 250))
@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("settings_", [dict(groups="given"), dict(groups="blind", rank=1)])
def test_chunks_in_any_order_equal_one_fit(settings_, seed, cut):
    X, y, group = biased(300, seed)
    whole = IdealSteerer(**settings_).fit(X, y, sensitive_features=group)
    parts = IdealSteerer(**settings_)
    for rows in (slice(cut, None), slice(0, cut)):
        parts.partial_fit(
            X[rows], y[rows], sensitive_features=group[rows], classes=[0, 1], groups=["a", "b"]
        )
    expected = whole.transform(X, sensitive_features=group)
    assert parts.transform(X, sensitive_features=group) == pytest.approx(expected, abs=1e-8)


def test_partial_fit_solves_when_asked_and_again_after_more_rows():
    X, y, group = biased()
    steerer = IdealSteerer(groups="given").partial_fit(
        X[:300], y[:300], sensitive_features=group[:300]
    )
    assert steerer._state is None
    first = steerer.maps_["a"], steerer.maps_["b"]
    assert steerer._state is not None
    steerer.partial_fit(X[300:], y[300:], sensitive_features=group[300:])
    assert steerer.maps_["a"] != first[0] or steerer.maps_["b"] != first[1]


@pytest.mark.parametrize("settings_", [dict(groups="infer"), dict(groups="blind")])
def test_partial_fit_refuses_modes_that_need_all_rows(settings_):
    X, y, group = biased(200)
    with pytest.raises(errors.InvalidInputError, match="need all rows at once"):
        IdealSteerer(**settings_).partial_fit(X, y, sensitive_features=group)


@pytest.mark.parametrize("settings_", [dict(groups="given"), dict(groups="blind", rank=2)])
def test_integer_weights_equal_repeated_rows(settings_):
    X, y, group = biased(500)
    weight = 1 + np.arange(500) % 3
    rows = np.repeat(np.arange(500), weight)
    unshrunk = settings_ | dict(shrinkage=None, cell_shrinkage=0.0)
    weighted = IdealSteerer(**unshrunk).fit(X, y, sensitive_features=group, sample_weight=weight)
    repeated = IdealSteerer(**unshrunk).fit(X[rows], y[rows], sensitive_features=group[rows])
    expected = repeated.transform(X, sensitive_features=group)
    assert weighted.transform(X, sensitive_features=group) == pytest.approx(expected, abs=1e-8)


def test_frames_come_back_as_they_were():
    X, y, group = biased(400)
    frame = pd.DataFrame(X, columns=["w", "x", "y", "z"], index=np.arange(400)[::-1])
    frame["x"] = frame["x"].astype("float32")
    frame.insert(1, "city", ["Rome", "Oslo"] * 200)
    steerer = IdealSteerer(groups="given").fit(frame, y, sensitive_features=group)
    moved = steerer.transform(frame, sensitive_features=group)
    assert list(moved.columns) == ["w", "city", "x", "y", "z"]
    assert (moved.index == frame.index).all()
    assert moved["x"].dtype == np.float32 and moved["w"].dtype == np.float64
    assert steerer.untouched_columns_ == ["city"]
    assert steerer.steered_columns_ == ["w", "x", "y", "z"]
    assert (moved["city"] == frame["city"]).all()
    assert list(steerer.get_feature_names_out()) == list(moved.columns)
    polars = pl.from_pandas(frame)
    again = IdealSteerer(groups="given").fit(polars, y, sensitive_features=pl.Series(group))
    out = again.transform(polars, sensitive_features=pl.Series(group))
    assert isinstance(out, pl.DataFrame)
    assert out["z"].to_numpy() == pytest.approx(moved["z"].to_numpy(), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings_", MODES)
def test_the_dtype_is_kept(dtype, settings_):
    X, y, group = biased(400)
    steerer = IdealSteerer(**settings_).fit(X.astype(dtype), y, sensitive_features=group)
    moved = steerer.transform(X.astype(dtype), sensitive_features=group)
    assert moved.dtype == dtype and moved.shape == X.shape


def test_lognormal_rows_stay_positive_and_equal_steered_logs():
    X, y, group = biased(800)
    logs = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    steerer = IdealSteerer(groups="given", family="lognormal").fit(
        np.exp(X), y, sensitive_features=group
    )
    moved = steerer.transform(np.exp(X), sensitive_features=group)
    assert (moved > 0).all()
    assert np.log(moved) == pytest.approx(logs.transform(X, sensitive_features=group), abs=1e-8)


def test_inferred_groups_with_a_sure_probe_are_given_groups():
    X, y, group = biased(2000)
    told = np.column_stack([X, np.where(group == "a", -40.0, 40.0) + 0.5 * X[:, 0]])
    given_ = IdealSteerer(groups="given").fit(told, y, sensitive_features=group)
    hard = IdealSteerer(groups="infer", inference="hard").fit(told, y, sensitive_features=group)
    expected = given_.transform(told, sensitive_features=group)
    assert hard.transform(told) == pytest.approx(expected)
    soft = IdealSteerer(groups="infer").fit(told, y, sensitive_features=group)
    assert np.abs(soft.transform(told) - expected).mean() < 0.1


def test_the_blind_rank_is_chosen_on_held_out_rows():
    X, y, group = biased(4000, n_features=12)
    steerer = IdealSteerer(random_state=0).fit(X, y, sensitive_features=group)
    curve = steerer.rank_curve_
    assert steerer.rank_ == curve.chosen
    at = list(curve.ranks).index(curve.chosen)
    allowed = curve.accuracy >= curve.accuracy[0] - 0.01
    assert allowed[at]
    best = curve.mean_square_gap[allowed].min()
    assert curve.mean_square_gap[at] <= best + curve.standard_error


def test_explain_rows_names_what_moved():
    X, y, group = biased(1000)
    frame = pd.DataFrame(X, columns=list("wxyz"))
    steerer = IdealSteerer(groups="given", reference="a").fit(frame, y, sensitive_features=group)
    head = LogisticRegression().fit(frame, y)
    told = steerer.explain_rows(frame, sensitive_features=group, estimator=head, top=2)
    after = steerer.transform(frame, sensitive_features=group)
    assert (told.distance[group == "a"] == 0).all()
    assert (told.changed == (head.predict(frame) != head.predict(after))).all()
    row = int(np.flatnonzero(group == "b")[0])
    relative = (after.iloc[row] - frame.iloc[row]).abs() / X.std(axis=0)
    assert told.features[row, 0] == relative.idxmax()
    shift = after.loc[row, told.features[row, 0]] - frame.loc[row, told.features[row, 0]]
    assert told.moves[row, 0] == pytest.approx(shift)
    assert list(told.to_frame().columns)[:3] == ["distance", "feature_1", "move_1"]


def test_the_weights_make_label_and_group_independent():
    X, y, group = biased(3000)
    w = IdealSteerer(groups="given").fit(X, y, sensitive_features=group).sample_weight_
    for label in (0, 1):
        shares = [w[(y == label) & (group == a)].sum() / w[group == a].sum() for a in ("a", "b")]
        assert shares[0] == pytest.approx(shares[1])


def test_the_rank_asked_for_is_met_once_later_chunks_allow_it():
    X, y, group = biased(600)
    labels = y + 2 * (np.arange(600) % 2)  # the first chunk holds two of four classes
    early = labels < 2
    chunks = IdealSteerer(rank=3).partial_fit(
        X[early], labels[early], sensitive_features=group[early]
    )
    chunks.transform(X)
    assert chunks.rank_ == 2
    chunks.partial_fit(X[~early], labels[~early], sensitive_features=group[~early])
    whole = IdealSteerer(rank=3).fit(X, labels, sensitive_features=group)
    assert chunks.transform(X) == pytest.approx(whole.transform(X))
    assert chunks.rank_ == whole.rank_ == 3


def test_partial_fit_after_fit_has_no_weights_of_rows():
    X, y, group = biased(300)
    steerer = IdealSteerer(rank=1).fit(X, y, sensitive_features=group)
    assert len(steerer.sample_weight_) == 300
    assert steerer.partial_fit(X, y, sensitive_features=group).sample_weight_ is None


@pytest.mark.parametrize("name", ["classes", "groups"])
def test_partial_fit_refuses_other_labels_at_a_later_call(name):
    X, y, group = biased(300)
    known = dict(classes=[0, 1], groups=["a", "b"])
    steerer = IdealSteerer(rank=1).partial_fit(X, y, sensitive_features=group, **known)
    steerer.partial_fit(X, y, sensitive_features=group, **known)
    other = known | {name: [*known[name], "more"]}
    with pytest.raises(errors.InvalidInputError, match=f"`{name}` .* the same at every call"):
        steerer.partial_fit(X, y, sensitive_features=group, **other)


def test_settings_may_be_numpy_scalars_as_in_a_parameter_grid():
    X, y, group = biased(300)
    steerer = IdealSteerer(groups=np.str_("blind"), rank=np.int64(1))
    assert steerer.fit(X, y, sensitive_features=group).rank_ == 1


def test_blind_rows_may_be_served_without_the_group_columns():
    X, y, group = biased(300)
    array = np.column_stack([group == "b", X]).astype(float)
    steerer = IdealSteerer(rank=1, group_columns=[0]).fit(array, y)
    assert (steerer.transform(X) == steerer.transform(array)).all()
    with pytest.raises(errors.InvalidInputError, match="features"):
        steerer.transform(X[:, :3])
