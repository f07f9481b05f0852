"""``fit_method``: one contract for every method, and what each promises of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from isonomy import SteeredClassifier
from isonomy.baselines import LEACE
from isonomy.datasets import make_biased_normals
from isonomy.distributions import AffineMap, CellMoments
from isonomy.errors import GroupsRequiredError, InvalidInputError
from isonomy.groups import kamiran_calders_weights
from isonomy.hidden_states._method._inputs import default_head
from isonomy.hidden_states.methods import METHODS, FittedMethod, fit_method
from isonomy.metrics import rms_tpr_gap
from isonomy.steering import GapCalibrator, IdealSteerer

torch = pytest.importorskip("torch", reason="hidden states need the extra `llm`")

ON_MOMENTS = {
    "none": {},
    "ideal_affirmative": {},
    "ideal_all": {},
    "ideal_blind": {"rank": 2},
    "leace": {},
    "leace_oracle": {},
    "leace_quadratic": {},
    "mimic": {},
    "mean_matching": {},
    "difference_of_means": {},
    "reweighing": {},
}
ON_ROWS = [name for name in METHODS if name not in ON_MOMENTS]
SCORES = ("linear_post", "linear_post_blind")
MAPS = [name for name in METHODS if name not in SCORES]
USE = {
    "none": "none",
    "ideal_affirmative": "given",
    "ideal_all": "given",
    "ideal_blind": "blind",
    "ideal_inferred": "inferred",
    "calibrated_offsets": "given",
    "calibrated_offsets_inferred": "inferred",
    "leace": "blind",
    "leace_oracle": "given",
    "leace_quadratic": "given",
    "mimic": "given",
    "mean_matching": "given",
    "inlp": "blind",
    "difference_of_means": "blind",
    "reweighing": "blind",
    "linear_post": "given",
    "linear_post_blind": "blind",
}
D = 6


def rows(n: int = 1200, n_groups: int = 2, n_classes: int = 3, seed: int = 0) -> Any:
    X, y, group, _ = make_biased_normals(
        n, n_features=D, n_classes=n_classes, n_groups=n_groups, random_state=seed
    )
    return X, y, group


def fit(name: str, data: Any, **more: Any) -> FittedMethod:
    X, y, group = data
    return fit_method(name, X=X, y=y, sensitive_features=group, random_state=0, **more)


def moments_of(data: Any, kind: Any = "full") -> CellMoments:
    X, y, group = data
    return CellMoments(D, covariance=kind).update(X, y, sensitive_features=group)


@pytest.fixture(scope="module")
def fitted() -> dict[str, FittedMethod]:
    data = rows()
    return {name: fit(name, data, head=default_head()) for name in METHODS}


def test_every_method_of_the_issue_is_there() -> None:
    assert set(USE) == set(METHODS)
    assert len(set(METHODS)) == len(METHODS) == 17


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_says_of_itself(name: str, fitted: dict[str, FittedMethod]) -> None:
    found = fitted[name]
    assert (found.name, found.group_use) == (name, USE[name])
    assert found.label and found.is_map == (name not in SCORES)
    weighted = name.startswith("ideal") or name == "reweighing"
    assert found.sample_weight_rule == ("kamiran_calders" if weighted else "none")
    assert (found.probe_accuracy is not None) == (USE[name] == "inferred")
    assert found.groups == (() if name == "none" else tuple(np.unique(rows()[2]).tolist()))
    record = found.to_dict()
    assert record["name"] == name and record["group_use"] == USE[name]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_decides_new_rows(name: str, fitted: dict[str, FittedMethod]) -> None:
    X, y, group = rows(400, seed=1)
    given = {"sensitive_features": group} if USE[name] == "given" else {}
    decided = fitted[name].predict(X, **given)
    assert decided.shape == y.shape
    assert set(decided) <= set(y)
    if USE[name] == "given":
        with pytest.raises(GroupsRequiredError):
            fitted[name].predict(X)
    else:  # groups are let through and not read
        np.testing.assert_array_equal(fitted[name].predict(X, sensitive_features=group), decided)


@pytest.mark.parametrize("name", MAPS)
def test_states_keep_shape_and_dtype_and_the_callers_stay(
    name: str, fitted: dict[str, FittedMethod]
) -> None:
    X, _, group = rows(100, seed=1)
    single = X.astype(np.float32)
    moved = fitted[name].transform(single, sensitive_features=group)
    assert moved.shape == X.shape and moved.dtype == np.float32
    np.testing.assert_array_equal(single, X.astype(np.float32))
    exact = fitted[name].transform(X, sensitive_features=group)
    np.testing.assert_allclose(moved, exact, atol=1e-4)
    half = fitted[name].transform(torch.tensor(X).to(torch.bfloat16), sensitive_features=group)
    assert half.dtype == np.float32  # NumPy has no bf16
    if name in ("none", "reweighing"):
        np.testing.assert_array_equal(exact, X)
    else:
        assert np.abs(exact - X).max() > 1e-3


@pytest.mark.parametrize("name", ON_MOMENTS)
def test_moments_give_the_maps_of_the_rows(name: str) -> None:
    data = rows(n_groups=3)
    by_rows = fit(name, data, **ON_MOMENTS[name])
    found = fit_method(name, moments=moments_of(data, "tied"), **ON_MOMENTS[name])
    X, _, group = rows(200, n_groups=3, seed=1)
    np.testing.assert_allclose(
        found.transform(X, sensitive_features=group),
        by_rows.transform(X, sensitive_features=group),
        atol=1e-6,
    )
    assert (found.groups, found.label) == (by_rows.groups, by_rows.label)
    with pytest.raises(InvalidInputError, match=f"needs a head, and '{name}' was fitted without"):
        found.predict(X, sensitive_features=group)


@pytest.mark.parametrize("name", ON_ROWS)
def test_what_needs_rows_says_so_by_name(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"cannot fit '{name}' on moments: .* Pass rows"):
        fit_method(name, moments=moments_of(rows()))


def test_blind_without_rows_asks_for_its_rank() -> None:
    with pytest.raises(InvalidInputError, match="'ideal_blind' on moments: .* set `rank` to a"):
        fit_method("ideal_blind", moments=moments_of(rows()))


@pytest.mark.parametrize("name", ["ideal_blind", "ideal_inferred"])
def test_rows_choose_and_the_moments_of_more_rows_solve(name: str) -> None:
    X, y, group = data = rows()
    part = X[:500], y[:500], group[:500]
    sample = fit(name, part)
    both = fit(name, part, moments=moments_of(data, "full"))
    assert both.steerer.rank_ == sample.steerer.rank_
    whole = IdealSteerer(
        groups="blind" if name == "ideal_blind" else "given",
        rank=both.steerer.rank_ or "auto",
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    for g in whole.groups_:
        np.testing.assert_allclose(both.steerer.maps_[g].matrix, whole.maps_[g].matrix, atol=1e-6)
    assert np.abs(sample.steerer.maps_[g].matrix - whole.maps_[g].matrix).max() > 1e-4
    assert both.probe_accuracy == sample.probe_accuracy


def test_moments_beside_rows_give_the_maps() -> None:
    X, y, group = data = rows()
    both = fit("leace", (X[:300], y[:300], group[:300]), moments=moments_of(data))
    expected = LEACE().fit(X, sensitive_features=group).map_.matrix
    np.testing.assert_allclose(both.steerer.map_.matrix, expected, atol=1e-10)


def test_affirmative_leaves_the_largest_group_or_the_one_named() -> None:
    data = X, _, group = rows(n_groups=3)
    names, sizes = np.unique(group, return_counts=True)
    largest = names[sizes.argmax()]
    smallest = names[sizes.argmin()]
    found = fit("ideal_affirmative", data)
    moved = found.transform(X, sensitive_features=group)
    still = (moved == X).all(axis=1)
    np.testing.assert_array_equal(still, group == largest)
    on_moments = fit_method("ideal_affirmative", moments=moments_of(data), reference=smallest)
    moved = on_moments.transform(X, sensitive_features=group)
    np.testing.assert_array_equal((moved == X).all(axis=1), group == smallest)
    with pytest.raises(InvalidInputError, match=r"`reference` .* must be one of the groups .* 'q'"):
        fit("ideal_affirmative", data, reference="q")


def test_the_largest_group_is_the_heaviest() -> None:
    X, _, group = data = rows()
    light = np.where(group == np.unique(group)[0], 1.0, 50.0)
    found = fit("ideal_affirmative", data, sample_weight=light)
    moved = found.transform(X, sensitive_features=group)
    np.testing.assert_array_equal((moved == X).all(axis=1), group != np.unique(group)[0])
    assert found.steerer.moments_.counts.sum() == pytest.approx(light.sum())


@pytest.mark.parametrize("name", [n for n in MAPS if not n.startswith("calibrated")])
def test_an_unfitted_head_is_fitted_on_moved_rows_under_the_rule(
    name: str, fitted: dict[str, FittedMethod]
) -> None:
    X, y, group = rows()
    found = fitted[name]
    moved = found.training_rows(X, sensitive_features=group)
    weight = kamiran_calders_weights(y, sensitive_features=group)
    rule = found.sample_weight_rule == "kamiran_calders"
    by_hand = default_head().fit(
        moved, y, logisticregression__sample_weight=weight if rule else None
    )
    np.testing.assert_allclose(found.head[-1].coef_, by_hand[-1].coef_, atol=1e-8)
    again = found.fit_head(default_head(), X, y, sensitive_features=group)
    np.testing.assert_allclose(again[-1].coef_, by_hand[-1].coef_, atol=1e-8)


def test_a_fitted_head_is_left_as_it_is() -> None:
    data = X, y, group = rows()
    head = LogisticRegression(max_iter=500).fit(X, y)
    before = head.coef_.copy()
    found = fit("leace", data, head=head)
    assert found.head is head
    np.testing.assert_array_equal(head.coef_, before)
    np.testing.assert_array_equal(
        found.predict(X), head.predict(LEACE().fit(X, sensitive_features=group).transform(X))
    )
    with pytest.raises(InvalidInputError, match="must be an unfitted classifier"):
        fit("reweighing", data, head=head)


def test_inferred_training_rows_move_by_their_true_group_unless_told() -> None:
    data = X, _, group = rows()
    found = fit("ideal_inferred", data)
    given = IdealSteerer(groups="infer", random_state=0).fit(X, data[1], sensitive_features=group)
    expected = given.fit_transform(X, data[1], sensitive_features=group)
    np.testing.assert_allclose(found.training_rows(X, sensitive_features=group), expected)
    assert np.abs(expected - found.transform(X)).max() > 1e-3
    for way in ("inferred", "cross_fitted"):
        other = fit("ideal_inferred", data, training_rows=way)
        steerer = IdealSteerer(groups="infer", training_rows=way, random_state=0)
        expected = steerer.fit_transform(X, data[1], sensitive_features=group)
        np.testing.assert_allclose(other.training_rows(X, sensitive_features=group), expected)


def test_calibrated_offsets_decide_as_the_calibrator_on_the_scores() -> None:
    data = X, y, group = rows(2000, n_groups=3)
    found = fit("calibrated_offsets", data)
    model = SteeredClassifier(
        default_head(),
        steerer="passthrough",
        reweigh=False,
        calibrator=GapCalibrator(),
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    new, _, theirs = rows(2000, n_groups=3, seed=1)
    np.testing.assert_array_equal(
        found.predict(new, sensitive_features=theirs),
        model.predict(new, sensitive_features=theirs),
    )
    assert set(found.steerer) == set(np.unique(group))
    for shift in found.steerer.values():
        assert shift.factors is not None and shift.factors[0].shape[1] == 0  # a translation
    assert (found.predict(new, sensitive_features=theirs) != found.head.predict(new)).any()


@pytest.mark.parametrize("strength", [None, 0.7])
def test_guessed_offsets_decide_as_the_guessing_calibrator_on_the_scores(strength: Any) -> None:
    data = X, y, group = rows(1500, n_groups=3)
    found = fit("calibrated_offsets_inferred", data, base_rate_shift=strength)
    model = SteeredClassifier(
        default_head(),
        steerer="passthrough",
        reweigh=False,
        calibrator=GapCalibrator(
            groups="infer", accuracy_tolerance=0.005, base_rate_shift=strength
        ),
        random_state=0,
    ).fit(X, y, sensitive_features=group)
    new, _, _ = rows(1500, n_groups=3, seed=1)
    np.testing.assert_array_equal(found.predict(new), model.predict(new))
    quality = found.probe_quality
    assert quality is not None and quality.n == 1500
    assert quality.accuracy > quality.base_rate


@pytest.mark.parametrize("strength", [None, 0.7])
def test_guessed_offsets_are_one_function_in_numpy_and_in_torch(strength: Any) -> None:
    found = fit("calibrated_offsets_inferred", rows(1500, n_groups=3), base_rate_shift=strength)
    new, _, _ = rows(300, n_groups=3, seed=1)
    new[:20] *= 50  # far out, where a guess is sure
    maps = found.steerer.steering_maps()
    weights = maps.posterior(torch.tensor(new)).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all() and weights.shape == (300, 6)
    mixed = sum(w[:, None] * m.apply(new) for w, m in zip(weights.T, maps.maps, strict=True))
    np.testing.assert_allclose(mixed, found.transform(new), atol=1e-8)
    shift, x = found.steerer, new[100]
    guess = np.zeros((3, 3))
    for k in range(3):
        odds = [np.exp(shift.slope[a] @ x + shift.level[k, a]) for a in range(3)]
        guess[k] = np.array(odds) / sum(odds)
    expected = x.copy()
    proba = shift.head.predict_proba(x[None])[0]
    for k in range(3):
        lift = sum(guess[k, a] * shift.offsets[a, k] for a in range(3))
        if strength is not None:
            of_row = [sum(proba[j] * guess[j, a] for j in range(3)) for a in range(3)]
            lift += np.log(sum(of_row[a] * shift.factors[a, k] for a in range(3)))
        expected += lift * shift.step[k]
    np.testing.assert_allclose(found.transform(new)[100], expected, atol=1e-10)


def test_a_models_own_head_is_calibrated_on_its_own_scores() -> None:
    data = X, y, group = rows(1500)
    head = LogisticRegression(max_iter=500).fit(X, y)
    module = torch.nn.Linear(D, 3).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(head.coef_))
        module.bias.copy_(torch.tensor(head.intercept_))
    found = fit("calibrated_offsets", data, head=module)
    calibrator = GapCalibrator().fit(head.predict_proba(X), y, sensitive_features=group)
    predicted = calibrator.predict(head.predict_proba(X), sensitive_features=group)
    np.testing.assert_array_equal(found.predict(X, sensitive_features=group), predicted)


def test_offsets_bring_the_rates_together() -> None:
    X, y, group = rows(12_000, n_classes=4)  # one law: another seed would be another one
    data, (new, labels, theirs) = [(X[p], y[p], group[p]) for p in np.split(np.arange(12_000), 2)]

    def gap(predicted: Any) -> float:
        return rms_tpr_gap(
            labels, predicted, sensitive_features=theirs, corrected=True, weighting="precision"
        )

    found = fit("calibrated_offsets", data)
    before, after = gap(found.head.predict(new)), gap(found.predict(new, sensitive_features=theirs))
    assert before > 0.1 and after < before / 3


def test_offsets_take_weights_and_leave_out_rows_of_weight_zero() -> None:
    X, y, group = rows()
    weight = np.r_[np.zeros(200), np.ones(1000)]
    kept = fit("calibrated_offsets", (X[200:], y[200:], group[200:]))
    found = fit("calibrated_offsets", (X, y, group), sample_weight=weight)
    for g, shift in kept.steerer.items():
        np.testing.assert_allclose(found.steerer[g].offset, shift.offset, atol=1e-6)


def test_offsets_have_a_head_of_their_own() -> None:
    data = X, y, group = rows()
    for name in ("calibrated_offsets", "linear_post"):
        with pytest.raises(InvalidInputError, match=f"cannot fit another head for '{name}'"):
            fit(name, data).fit_head(default_head(), X, y, sensitive_features=group)
    with pytest.raises(InvalidInputError, match="must be linear: .* got GaussianNB"):
        fit("calibrated_offsets", data, head=GaussianNB())
    few = LogisticRegression(max_iter=500).fit(X[y < 2], y[y < 2])
    with pytest.raises(InvalidInputError, match="classes of the `head` only, got also 2"):
        fit("calibrated_offsets", data, head=few)
    with pytest.raises(InvalidInputError, match="at least 2 groups, got only"):
        fit("calibrated_offsets", (X, y, np.full(len(y), "a")))
    flat = np.ones((3, D)) * [[0.0], [1.0], [2.0]], np.zeros(3)
    with pytest.raises(InvalidInputError, match="3 classes apart in 2 directions .* got 1"):
        fit("calibrated_offsets", data, head=flat)


def test_a_probe_of_the_group_that_is_not_linear_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="must be linear: .* got GaussianNB"):
        fit("calibrated_offsets_inferred", rows(), group_model=GaussianNB())
    with pytest.raises(InvalidInputError, match="softmax of its scores"):
        fit("calibrated_offsets_inferred", rows(), group_model=_Steeper())


class _Steeper(LogisticRegression):
    """Linear scores, other probabilities."""

    def predict_proba(self, X: Any) -> Any:
        found = super().predict_proba(X) ** 2
        return found / found.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["none", "mean_matching", "calibrated_offsets"])
def test_a_head_without_classes_names_the_sorted_labels(name: str) -> None:
    X, y, group = rows()
    words = np.array([f"class {label}" for label in y])
    weight = np.random.default_rng(0).normal(size=(len(np.unique(y)), D))
    found = fit(name, (X, words, group), head=(weight, None))
    decided = found.predict(X, sensitive_features=group)
    assert set(decided) <= set(words) and len(set(decided)) > 1
    if name == "none":
        np.testing.assert_array_equal(decided, np.unique(words)[(X @ weight.T).argmax(axis=1)])
    if name == "mean_matching":
        alone = fit_method(name, moments=moments_of((X, words, group)), head=(weight, None))
        np.testing.assert_array_equal(decided, alone.predict(X, sensitive_features=group))


@pytest.mark.parametrize("name", SCORES)
def test_linear_post_is_no_map_and_says_so(name: str, fitted: dict[str, FittedMethod]) -> None:
    X, _, group = rows(50, seed=1)
    found = fitted[name]
    assert found.steerer is None
    with pytest.raises(InvalidInputError, match="post-processes the scores and is no map"):
        found.transform(X, sensitive_features=group)
    with pytest.raises(InvalidInputError, match=f"{name!r} post-processes scores .* attached"):
        found.steering_maps()
    with pytest.raises(InvalidInputError, match="which it fits again in folds, got tuple"):
        fit(name, rows(), head=(np.eye(3, D), None))


@pytest.mark.parametrize("name", MAPS)
def test_what_attaching_and_folding_read(name: str, fitted: dict[str, FittedMethod]) -> None:
    from isonomy.hidden_states._attach._steering_maps import as_steering_maps

    X, _, group = rows(64, seed=1)
    maps = as_steering_maps(fitted[name], d=D, where="test")
    expected = fitted[name].transform(X, sensitive_features=group)
    if maps.posterior is not None:
        weights = maps.posterior(torch.tensor(X)).numpy()
        moved = sum(w[:, None] * m.apply(X) for w, m in zip(weights.T, maps.maps, strict=True))
    elif maps.groups is None:
        moved = maps.maps[0].apply(X)
    else:
        moved = np.stack(
            [
                maps.maps[maps.groups.index(g)].apply(x[None])[0]
                for x, g in zip(X, group, strict=True)
            ]
        )
    np.testing.assert_allclose(moved, expected, atol=1e-8)


def test_unknown_names_settings_and_missing_data_are_refused() -> None:
    data = X, y, group = rows(200)
    with pytest.raises(InvalidInputError, match="`name` of `fit_method` must be one of 'none'"):
        fit("nobody", data)
    with pytest.raises(InvalidInputError, match="needs `moments` or rows .* got neither"):
        fit_method("leace")
    with pytest.raises(InvalidInputError, match="must be `CellMoments` of one layer, got dict"):
        fit_method("leace", moments={})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="`y` passed to `fit_method` must go with rows"):
        fit_method("leace", moments=moments_of(data), y=y)
    with pytest.raises(InvalidInputError, match=r"must have the 6 features of `moments`, got 5"):
        fit_method("leace", moments=moments_of(data), X=X[:, :5], y=y, sensitive_features=group)
    known_of = (("leace", "method, missing_groups"), ("none", "none at all"), ("mimic", "ref"))
    for name, known in known_of:
        with pytest.raises(
            InvalidInputError, match=f"for '{name}' must be among .*{known}.*, got q"
        ):
            fit(name, data, q=1)
    for name in ("calibrated_offsets", "linear_post"):
        with pytest.raises(InvalidInputError, match="got q"):
            fit(name, data, q=1)
    with pytest.raises(InvalidInputError, match="got groups"):
        fit("ideal_all", data, groups="blind")
    with pytest.raises(InvalidInputError, match="got group_model"):
        fit("calibrated_offsets", data, group_model=LogisticRegression())


def test_settings_reach_the_method_and_the_record() -> None:
    data = rows()
    found = fit("leace", data, shrinkage=0.5)
    assert found.steerer.shrinkage == 0.5 and dict(found.settings) == {"shrinkage": 0.5}
    assert found.to_dict()["settings"] == {"shrinkage": "0.5"}
    assert fit("linear_post", data, tolerance=0.3).decider.tolerance == 0.3
    given = fit("linear_post", data).decider
    assert given.cell_estimator is not None and given.groups == "given"
    assert fit("linear_post_blind", data).decider.groups == "blind"
    assert isinstance(fit_method("none", X=data[0]).steerer, AffineMap)


def test_the_callers_estimator_is_cloned() -> None:
    head = default_head()
    fit("leace", rows(), head=head)
    with pytest.raises(AttributeError):
        head[-1].coef_
    assert clone(head) is not head
