"""LinearPostRule: the programme against a literal one, its laws, and its deterministic rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.baselines import _linear_post_rule, _linear_programme
from isonomy.baselines._restricted_programme import Programme
from isonomy.baselines.linear_post import LinearPostRule
from isonomy.errors import (
    GroupsRequiredError,
    InvalidInputError,
    UndefinedRateWarning,
    UnknownGroupError,
)
from reference import linear_post as reference

CRITERIA = ["equal_opportunity", "demographic_parity", "equalized_odds"]


@pytest.fixture
def no_tie_cost(monkeypatch):
    """Take out the small cost that prefers certain decisions: the literal programme has none."""
    monkeypatch.setattr(_linear_post_rule, "TIE_COST", 0.0)


def scores(seed=0, n=40, n_classes=3, n_groups=2):
    """Return continuous p(k | x), p(a, k | x) and groups that depend on the classes."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.7), size=n)
    lean = rng.dirichlet(np.full(n_groups, 1.5), size=(n, n_classes))
    joint = proba[:, :, None] * lean
    codes = np.array([rng.choice(n_groups, p=row) for row in joint.sum(axis=1)])
    codes[:n_groups] = np.arange(n_groups)
    return proba, joint, np.array(list("abcd"))[codes]


def given_joint(proba, groups):
    return np.stack([proba * (groups == g)[:, None] for g in np.unique(groups)], axis=2)


def inputs(blind, proba, joint, groups):
    """Return the arguments of the rule, and the p(a, k | x) that they stand for."""
    if blind:
        return {"joint_proba": joint}, joint
    return {"sensitive_features": groups}, given_joint(proba, groups)


def one_hot(decided, n_classes):
    return np.eye(n_classes)[decided]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize(("n_classes", "n_groups"), [(2, 2), (3, 2), (3, 3)])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
@pytest.mark.usefixtures("no_tie_cost")
def test_the_least_risk_is_that_of_the_literal_programme(
    criterion, blind, n_classes, n_groups, tolerance
):
    proba, joint, groups = scores(3, n_classes=n_classes, n_groups=n_groups)
    keywords, joint = inputs(blind, proba, joint, groups)
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 4, size=len(proba)).astype(float)
    costs = rng.uniform(1, 3, size=(n_classes, n_classes)) * (1 - np.eye(n_classes))
    rule = LinearPostRule(criterion=criterion, tolerance=tolerance, cost_matrix=costs)
    rule.fit(proba, **keywords, sample_weight=weight)
    least, _ = reference.least_risk(proba, joint, weight, criterion, tolerance, costs)
    # HiGHS meets constraints to 1e-7 of a row
    assert rule.risk_ == pytest.approx(least, abs=1e-6)
    assert rule.lower_bound_ == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.usefixtures("no_tie_cost")
def test_no_rule_that_meets_the_constraints_costs_less(criterion, blind):
    proba, joint, groups = scores(5)
    keywords, joint = inputs(blind, proba, joint, groups)
    weight, costs = np.ones(len(proba)), 1 - np.eye(3)
    rule = LinearPostRule(criterion=criterion, tolerance=0.1).fit(proba, **keywords)
    _, best = reference.least_risk(proba, joint, weight, criterion, 0.1, costs)
    rng = np.random.default_rng(0)
    met = 0
    for step in (1e-3, 1e-2, 0.1, 0.3, 1.0) * 20:
        # between the best rule and a random one, so that many meet the constraints
        pi = (1 - step) * best + step * rng.dirichlet(np.ones(3), size=len(proba))
        pi = (1 - step) * pi + step * np.eye(3)[0]  # a constant rule has equal rates
        if reference.largest_difference_of(pi, joint, weight, criterion) <= 0.1:
            met += 1
            assert reference.risk_of(pi, proba, weight, costs) >= rule.risk_ - 1e-7
    assert met > 5
    untouched = reference.risk_of(one_hot(proba.argmax(1), 3), proba, weight, costs)
    assert untouched < rule.risk_  # the constraints bind: the programme has something to do


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_deterministic_rule_keeps_the_tolerance_up_to_its_ties(criterion, blind, n_groups):
    proba, joint, groups = scores(2, n=600, n_groups=n_groups)
    keywords, joint = inputs(blind, proba, joint, groups)
    rule = LinearPostRule(criterion=criterion, tolerance=0.02).fit(proba, **keywords)
    values = rule.decision_function(proba, **keywords)
    decided = rule.predict(proba, **keywords)
    weight = np.ones(len(proba))
    pi = one_hot(decided, 3)
    found = reference.largest_difference_of(pi, joint, weight, criterion)
    assert rule.fitted_difference_ == pytest.approx(found)
    ordered = np.sort(values, axis=1)
    tied = np.flatnonzero(ordered[:, -1] == ordered[:, -2])
    # a vertex of the programme splits at most one row a bound rate
    assert len(tied) <= rule.duals_.size
    conditions = joint.sum(axis=1, keepdims=True) if "parity" in criterion else joint
    largest_share = conditions[tied].max(axis=0, initial=0) / conditions.sum(axis=0)
    assert found <= 0.02 + len(tied) * largest_share.max() + 1e-7
    untouched = one_hot(proba.argmax(1), 3)
    assert found < reference.largest_difference_of(untouched, joint, weight, criterion)
    assert reference.risk_of(pi, proba, weight, 1 - np.eye(3)) == pytest.approx(
        rule.risk_, abs=len(tied) / len(proba) + 1e-4
    )


@pytest.mark.parametrize("criterion", ["equal_opportunity", "equalized_odds"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_group_that_has_to_lose_is_decided_row_by_row_and_not_all_alike(
    criterion, n_classes, monkeypatch
):
    """Cost and rates of a given group are linear in one p: without a cost beside, all tie."""
    rng = np.random.default_rng(0)
    group = np.repeat(["a", "b"], 400)
    sharp = rng.dirichlet(np.full(n_classes, 0.2), size=400)
    proba = np.vstack([sharp, rng.dirichlet(np.full(n_classes, 2.0), size=400)])
    rule = LinearPostRule(criterion=criterion, tolerance=0.01)
    fitted = rule.fit(proba, sensitive_features=group)
    assert fitted.fitted_difference_ < 0.05
    with_cost = fitted.risk_
    monkeypatch.setattr(_linear_post_rule, "TIE_COST", 0.0)
    assert rule.fit(proba, sensitive_features=group).risk_ == pytest.approx(with_cost, abs=1e-4)
    if (criterion, n_classes) != ("equal_opportunity", 2):  # there, one threshold serves
        assert rule.fitted_difference_ > 0.3


@pytest.mark.usefixtures("no_tie_cost")
def test_binary_parity_with_groups_given_cuts_every_group_at_its_quantile():
    rng = np.random.default_rng(0)
    group = np.repeat(["a", "b"], [300, 200])
    positive = np.where(group == "a", rng.beta(2, 3, 500), rng.beta(3, 2, 500))
    proba = np.column_stack([1 - positive, positive])
    rule = LinearPostRule(criterion="demographic_parity", tolerance=0.0)
    decided = rule.fit(proba, sensitive_features=group).predict(proba, sensitive_features=group)
    best = min(
        (reference.quantile_thresholds(positive, group, share) for share in np.arange(101) / 100),
        key=lambda d: np.where(d == 1, 1 - positive, positive).sum(),
    )
    cost = np.where(best == 1, 1 - positive, positive).mean()
    assert rule.risk_ == pytest.approx(cost, abs=1e-7)
    assert (decided != best).sum() <= 2  # one row a group is at the threshold itself
    for g in "ab":
        chosen, left = (
            positive[(group == g) & (decided == 1)],
            positive[(group == g) & (decided == 0)],
        )
        assert chosen.min() > left.max()


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), criterion=st.sampled_from(CRITERIA), blind=st.booleans())
def test_names_and_order_of_classes_and_groups_do_not_matter(seed, criterion, blind):
    proba, joint, groups = scores(seed, n=30)
    keywords, _ = inputs(blind, proba, joint, groups)
    rule = LinearPostRule(criterion=criterion, tolerance=0.05).fit(proba, **keywords)
    order, swap = np.array([2, 0, 1]), np.array([1, 0])
    renamed = np.where(groups == "a", "z", groups)
    other, _ = inputs(blind, proba, joint[:, order][:, :, swap], renamed)
    turned = LinearPostRule(criterion=criterion, tolerance=0.05).fit(proba[:, order], **other)
    assert turned.risk_ == pytest.approx(rule.risk_, abs=1e-7)
    # each one's prices are optimal for the other too, though a vertex may have several
    turned_back = np.argsort(order)
    conditions = turned.duals_[turned_back] if len(turned.duals_) == 3 else turned.duals_
    rule.duals_ = conditions[:, turned_back][:, :, swap]
    values = rule.decision_function(proba, **keywords)
    bound = -values.max(axis=1).mean() - 0.05 / 2 * np.abs(rule.duals_).sum()
    assert bound == pytest.approx(rule.risk_, abs=1e-7)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), criterion=st.sampled_from(CRITERIA), blind=st.booleans())
def test_a_larger_tolerance_never_costs_more_and_the_largest_leaves_decisions_untouched(
    seed, criterion, blind
):
    proba, joint, groups = scores(seed, n=30)
    keywords, _ = inputs(blind, proba, joint, groups)
    rule = LinearPostRule(criterion=criterion, warm_start=True, tolerance=1.0)
    np.testing.assert_array_equal(
        rule.fit(proba, **keywords).predict(proba, **keywords), proba.argmax(axis=1)
    )
    assert np.abs(rule.duals_).max() == pytest.approx(0)
    risks = [rule.risk_]
    for tolerance in (0.4, 0.1, 0.01, 0.0):
        rule.set_params(tolerance=tolerance).fit(proba, **keywords)
        risks.append(rule.risk_)
        assert rule.lower_bound_ == pytest.approx(rule.risk_, abs=1e-7)
    assert (np.diff(risks) >= -1e-7).all()
    cold = LinearPostRule(criterion=criterion, tolerance=0.0).fit(proba, **keywords)
    assert cold.risk_ == pytest.approx(risks[-1], abs=1e-7)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_integer_weights_equal_repeated_rows(seed):
    proba, joint, groups = scores(seed, n=25)
    weight = np.random.default_rng(seed).integers(0, 4, size=25)
    weight[groups == "a"] += 1
    weight[groups == "b"] += 1
    times = np.repeat(np.arange(25), weight)
    rule = LinearPostRule(tolerance=0.03)
    weighted = rule.fit(proba, joint, sample_weight=weight).risk_
    assert rule.fit(proba[times], joint[times]).risk_ == pytest.approx(weighted, abs=1e-7)
    kept = weight > 0
    assert rule.fit(proba, joint, sample_weight=kept).risk_ == pytest.approx(
        rule.fit(proba[kept], joint[kept]).risk_, abs=1e-7
    )


def test_costs_in_another_unit_change_the_decisions_of_no_row():
    proba, _, groups = scores(1, n=200)
    costs = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    one = LinearPostRule(cost_matrix=costs).fit(proba, sensitive_features=groups)
    many = LinearPostRule(cost_matrix=1e6 * costs).fit(proba, sensitive_features=groups)
    np.testing.assert_array_equal(
        one.predict(proba, sensitive_features=groups),
        many.predict(proba, sensitive_features=groups),
    )
    assert many.risk_ == pytest.approx(1e6 * one.risk_)
    np.testing.assert_allclose(many.duals_, 1e6 * one.duals_, rtol=1e-6, atol=1e-3)


def test_a_start_from_a_sample_ends_where_a_start_from_nothing_does(monkeypatch):
    proba, joint, _ = scores(4, n=500)
    whole = LinearPostRule(tolerance=0.02).fit(proba, joint)
    monkeypatch.setattr(_linear_programme, "SMALL_ENOUGH", 100)
    sampled = LinearPostRule(tolerance=0.02).fit(proba, joint)
    assert sampled.risk_ == pytest.approx(whole.risk_, abs=1e-9)
    np.testing.assert_allclose(sampled.duals_, whole.duals_, atol=1e-7)


def test_perturbation_keeps_the_tolerance_where_few_scores_are_shared_by_many_rows():
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b"], size=4000)
    positive = rng.choice([0.2, 0.4, 0.6, 0.8], size=4000, p=[0.1, 0.3, 0.4, 0.2])
    positive = np.where(group == "a", positive, 1 - positive)
    proba = np.column_stack([1 - positive, positive])
    settings = {"criterion": "demographic_parity", "tolerance": 0.01}
    plain = LinearPostRule(**settings).fit(proba, sensitive_features=group)
    spread = LinearPostRule(**settings, perturbation=1e-3, random_state=0)
    spread.fit(proba, sensitive_features=group)
    assert plain.fitted_difference_ > 0.1  # a deterministic rule moves whole atoms
    assert spread.fitted_difference_ < 0.012
    # noise in [0, 1e-3) can cost no more than that a decision
    assert spread.risk_ == pytest.approx(plain.risk_, abs=1e-3)
    new = LinearPostRule(**settings, perturbation=1e-3, random_state=1)
    new.fit(proba, sensitive_features=group).set_params(random_state=2)
    decided = new.predict(proba, sensitive_features=group)
    rates = [decided[group == g].mean() for g in "ab"]
    # a binomial rate of 2000 rows has a standard deviation of at most .011
    assert abs(rates[0] - rates[1]) < 0.05


@pytest.mark.usefixtures("no_tie_cost")
def test_a_group_without_probability_of_a_class_is_left_out_and_told():
    proba, joint, _ = scores(0, n_groups=3)
    joint[:, 1, 2] = 0.0
    with pytest.warns(UndefinedRateWarning, match=r"leaves 1 rate\(s\) out.*: \(1, 2\)"):
        rule = LinearPostRule(tolerance=0.0).fit(proba, joint)
    least, _ = reference.least_risk(
        proba, joint, np.ones(len(proba)), "equal_opportunity", 0.0, 1 - np.eye(3)
    )
    assert rule.risk_ == pytest.approx(least, abs=1e-6)
    assert rule.duals_[1, 1, 2] == 0
    with pytest.warns(UndefinedRateWarning):
        alone = LinearPostRule(tolerance=0.0).fit(proba, joint * np.array([1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(alone.duals_, 0)


@pytest.mark.usefixtures("no_tie_cost")
def test_one_group_leaves_decisions_untouched():
    proba, joint, _ = scores()
    for keywords in ({"joint_proba": joint.sum(axis=2, keepdims=True)}, {}):
        rule = LinearPostRule(missing_groups="single").fit(proba, **keywords)
        np.testing.assert_array_equal(rule.predict(proba, **keywords), proba.argmax(axis=1))
        assert rule.risk_ == rule.lower_bound_ == pytest.approx(1 - proba.max(axis=1).mean())


def test_a_tie_goes_to_the_first_class():
    proba = np.array([[0.5, 0.5], [0.5, 0.5]])
    rule = LinearPostRule(tolerance=1.0).fit(proba, sensitive_features=["a", "b"])
    np.testing.assert_array_equal(rule.predict(proba, sensitive_features=["a", "b"]), [0, 0])


@pytest.mark.usefixtures("no_tie_cost")
def test_the_positive_class_of_two_can_be_chosen():
    proba, joint, _ = scores(7, n=60, n_classes=2)
    risks = {}
    for positive in (0, 1):
        rule = LinearPostRule(tolerance=0.0, positive=positive).fit(proba, joint)
        risks[positive] = rule.risk_
        least, _ = reference.least_risk(
            proba, joint, np.ones(60), "equal_opportunity", 0.0, 1 - np.eye(2), positive
        )
        assert rule.risk_ == pytest.approx(least, abs=1e-6)
    assert risks[0] != pytest.approx(risks[1], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "change", "match"),
    [
        ({"criterion": "parity"}, {}, "`criterion` of `LinearPostRule.fit` must be one of"),
        ({"tolerance": -0.1}, {}, r"`tolerance` of .* must lie in \[0, 1\], got -0.1"),
        ({"tolerance": 2}, {}, r"must lie in \[0, 1\], got 2"),
        ({"positive": 2}, {}, "`positive` of"),
        ({"perturbation": -1}, {}, "`perturbation` of"),
        ({"unknown_group": "x"}, {}, "`unknown_group` of"),
        ({"cost_matrix": np.eye(2)}, {}, "3 x 3 finite numbers"),
        ({}, {"proba": np.ones((4, 1))}, r"`proba` passed to .* got shape \(4, 1\)"),
        ({}, {"proba": np.full((40, 3), 2.0)}, r"probabilities in \[0, 1\], got values from 2"),
        ({}, {"proba": np.full((40, 3), np.nan)}, r"`proba` .* probabilities in \[0, 1\]"),
        ({}, {"joint_proba": np.ones((40, 2, 2))}, r"shape \(40, 3, n_groups\).*\(40, 2, 2\)"),
        ({}, {"joint_proba": -np.ones((40, 3, 2))}, "`joint_proba` .* probabilities"),
        ({}, {"sensitive_features": ["a"] * 40}, "got both `joint_proba` and"),
        ({}, {"joint_proba": None, "sensitive_features": ["a", "b"]}, r"`proba` \(40\), got 2"),
        ({}, {"sample_weight": [1.0]}, "`sample_weight`"),
    ],
)
def test_wrong_settings_and_shapes_are_told(settings, change, match):
    proba, joint, _ = scores()
    arguments = {"proba": proba, "joint_proba": joint} | change
    with pytest.raises(InvalidInputError, match=match):
        LinearPostRule(**settings).fit(**arguments)


def test_predict_wants_what_fit_had():
    proba, joint, groups = scores()
    blind = LinearPostRule().fit(proba, joint)
    with pytest.raises(InvalidInputError, match="`joint_proba` .* because `fit` had it"):
        blind.predict(proba)
    with pytest.raises(InvalidInputError, match=r"shape \(40, 3, 2\)"):
        blind.predict(proba, joint[:, :, :1])
    with pytest.raises(InvalidInputError, match="must have 3 columns"):
        blind.predict(proba[:, :2], joint[:, :2])
    known = LinearPostRule().fit(proba, sensitive_features=groups)
    with pytest.raises(InvalidInputError, match="must be None because `fit` knew the groups"):
        known.predict(proba, joint)
    with pytest.raises(GroupsRequiredError, match="LinearPostRule.predict"):
        known.predict(proba)
    new = np.where(np.arange(40) < 2, "new", groups)
    with pytest.raises(UnknownGroupError, match="got also new"):
        known.predict(proba, sensitive_features=new)
    known.set_params(unknown_group="identity")
    decided = known.predict(proba, sensitive_features=new)
    np.testing.assert_array_equal(decided[:2], proba[:2].argmax(axis=1))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_sample_without_a_rare_group_is_a_start_all_the_same(criterion, monkeypatch):
    """In a sample rates have other sums than in all rows: taken as they are, none would do."""
    proba, _, groups = scores(4, n=400)
    groups = groups.copy()
    groups[[1, 2]] = "c"
    rule = LinearPostRule(criterion=criterion, tolerance=0.0)
    whole = rule.fit(proba, sensitive_features=groups).risk_
    monkeypatch.setattr(_linear_programme, "SMALL_ENOUGH", 100)
    sampled = rule.fit(proba, sensitive_features=groups)
    assert sampled.risk_ == pytest.approx(whole, abs=1e-7)
    assert sampled.lower_bound_ == pytest.approx(whole, abs=1e-7)


def test_a_part_of_a_programme_has_rates_that_can_agree():
    proba, _, groups = scores(4, n=60, n_groups=3)
    joint = given_joint(proba, groups)
    ratio = joint / joint.mean(axis=0)
    bound = np.ones((3, 3, 3), dtype=bool)
    rows = np.flatnonzero(groups != "c")[:20]
    weight = np.linspace(0.5, 1.5, 60)
    part = Programme(1 - proba, ratio, bound, weight, 0.0).take(rows)
    assert part.weight.mean() == pytest.approx(1)
    means = np.tensordot(part.weight, part.ratio, axes=1) / len(rows)
    np.testing.assert_allclose(means, [[1, 1, 0]] * 3)
    assert part.bound[:, :, :2].all() and not part.bound[:, :, 2].any()
    alone = Programme(1 - proba, ratio, bound, weight, 0.0).take(np.flatnonzero(groups == "a"))
    assert not alone.bound.any()


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("blind", [False, True])
def test_the_order_of_the_rows_of_fit_changes_nothing(criterion, blind):
    proba, joint, groups = scores(0, n=300)
    keywords, _ = inputs(blind, proba, joint, groups)
    rule = LinearPostRule(criterion=criterion).fit(proba, **keywords)
    order = np.random.default_rng(0).permutation(300)
    turned = {name: value[order] for name, value in keywords.items()}
    again = LinearPostRule(criterion=criterion).fit(proba[order], **turned)
    np.testing.assert_array_equal(again.duals_, rule.duals_)
