"""Groups inferred at deployment: any probe, three ways to use it, and what it is worth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.groups import encode_groups
from isonomy.steering import IdealSteerer
from isonomy.steering._counted import CountedRows
from isonomy.steering._probe import fit_probe, group_weights
from isonomy.steering._probe_calibration import fit_calibration
from isonomy.steering._probe_folds import N_FOLDS, probe_folds
from isonomy.steering._probe_quality import measure_probe
from reference.probe import calibration_error, moved_by, weights_of

WAYS = ("soft", "hard", "gated")


def biased(n=600, seed=3, **settings_):
    X, y, group, _ = make_biased_normals(n, random_state=seed, **settings_)
    return X, y, np.asarray(group)


def fit(X, y, group, **settings_):
    return IdealSteerer(groups="infer", **settings_).fit(X, y, sensitive_features=group)


def posteriors(n_rows, n_groups, seed):
    """Return random posteriors, some of them sure."""
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.full(n_groups, 0.5), size=n_rows)
    found[: n_rows // 4] = np.eye(n_groups)[rng.integers(n_groups, size=n_rows // 4)]
    return found


@pytest.mark.parametrize(
    "probe",
    [
        LinearSVC(),
        make_pipeline(StandardScaler(), LinearSVC()),
        SVC(),
        GaussianNB(),
        LinearDiscriminantAnalysis(),
        RandomForestClassifier(n_estimators=10, random_state=0),
        SGDClassifier(random_state=0),
    ],
    ids=lambda p: type(p).__name__,
)
@pytest.mark.parametrize(
    ("calibration", "n_groups"), [("sigmoid", 2), ("isotonic", 3), ("temperature", 3)]
)
def test_any_probe_gives_a_posterior_that_knows_more_than_the_base_rate(
    probe, calibration, n_groups
):
    X, y, group = biased(400, n_groups=n_groups)
    X = np.column_stack([X, np.unique(group, return_inverse=True)[1] + 0.3 * X[:, 0]])
    steerer = fit(X, y, group, probe=probe, probe_calibration=calibration)
    posterior = steerer.group_posterior(X)
    assert posterior.shape == (400, n_groups)
    assert posterior.sum(axis=1) == pytest.approx(1)
    assert (posterior >= 0).all()
    quality = steerer.probe_quality_
    assert quality.accuracy > quality.base_rate
    assert quality.n == 400 and sum(quality.rows.values()) == 400
    assert np.isfinite(steerer.transform(X)).all()


@given(
    n_groups=st.integers(2, 4),
    seed=st.integers(0, 10_000),
    inference=st.sampled_from(WAYS),
    gate=st.floats(0, 1),
)
@settings(max_examples=30, deadline=None)
def test_the_weights_of_the_maps_are_those_of_the_definition(n_groups, seed, inference, gate):
    posterior = posteriors(20, n_groups, seed)
    found = group_weights(posterior, inference, gate)
    assert (found == weights_of(posterior, inference, gate)).all()
    assert found.sum(axis=1) == pytest.approx(1)


@given(n_groups=st.integers(2, 4), seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_gate_of_0_is_hard_and_of_1_is_soft(n_groups, seed):
    posterior = posteriors(20, n_groups, seed)
    assert (group_weights(posterior, "gated", 0.0) == group_weights(posterior, "hard", 0.5)).all()
    assert (group_weights(posterior, "gated", 1.0) == posterior).all()


@pytest.fixture(scope="module", params=[2, 3])
def fitted(request):
    X, y, group = biased(500, n_groups=request.param)
    return X, y, group, fit(X, y, group)


@given(seed=st.integers(0, 10_000), inference=st.sampled_from(WAYS))
@settings(max_examples=8, deadline=None)
def test_rows_move_to_the_weighted_mean_of_their_images(fitted, seed, inference):
    X, _, _, steerer = fitted
    steerer = steerer.set_params(inference=inference)
    posterior = posteriors(len(X), len(steerer.groups_), seed)
    maps = [(steerer.maps_[g].matrix, steerer.maps_[g].offset) for g in steerer.groups_]
    expected = moved_by(X, maps, weights_of(posterior, inference, steerer.gate_threshold))
    assert steerer.transform_by_posterior(X, posterior) == pytest.approx(expected, abs=1e-10)


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
@settings(max_examples=8, deadline=None)
def test_soft_steering_is_linear_in_the_posterior(fitted, seed, share):
    X, _, _, steerer = fitted
    steerer = steerer.set_params(inference="soft")
    first = posteriors(len(X), len(steerer.groups_), seed)
    second = posteriors(len(X), len(steerer.groups_), seed + 1)
    mixed = steerer.transform_by_posterior(X, share * first + (1 - share) * second)
    apart = (steerer.transform_by_posterior(X, p) for p in (first, second))
    expected = sum(w * rows for w, rows in zip((share, 1 - share), apart, strict=True))
    assert mixed == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("inference", WAYS)
def test_a_perfect_posterior_is_exactly_the_mode_with_groups_given(fitted, inference):
    X, y, group, steerer = fitted
    truth = (group[:, None] == np.array(steerer.groups_)).astype(float)
    moved = steerer.set_params(inference=inference).transform_by_posterior(X, truth)
    known = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    assert (moved == known.transform(X, sensitive_features=group)).all()
    assert (moved == steerer.fit_transform(X, y, sensitive_features=group)).all()


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic", "temperature", None])
def test_names_of_groups_do_not_matter(n_groups, calibration):
    X, y, group = biased(400, n_groups=n_groups)
    other = pd.Series(group).map(dict(zip("abc", "zyx", strict=True))).to_numpy()
    first = fit(X, y, group, reference="a", probe_calibration=calibration)
    second = fit(X, y, other, reference="z", probe_calibration=calibration)
    # two runs of the probe's own solver
    assert second.transform(X) == pytest.approx(first.transform(X), abs=1e-2)
    order = [second.groups_.index("zyx"["abc".index(g)]) for g in first.groups_]
    expected = first.group_posterior_
    assert second.group_posterior_[:, order] == pytest.approx(expected, abs=1e-3)
    assert second.probe_quality_.accuracy == pytest.approx(first.probe_quality_.accuracy, abs=0.01)


def test_the_order_of_rows_does_not_matter():
    X, y, group = biased()
    order = np.random.default_rng(0).permutation(len(X))
    first, second = fit(X, y, group), fit(X[order], y[order], group[order])
    assert second.group_posterior_ == pytest.approx(first.group_posterior_[order], abs=1e-4)
    assert second.transform(X) == pytest.approx(first.transform(X), abs=1e-4)


def test_weights_equal_repeated_rows_in_posterior_and_quality():
    X, y, group = biased()
    weight = 1 + np.arange(600) % 3
    rows = np.repeat(np.arange(600), weight)
    steerer = IdealSteerer(groups="infer", shrinkage=None)
    weighed = clone(steerer).fit(X, y, sensitive_features=group, sample_weight=weight)
    repeated = clone(steerer).fit(X[rows], y[rows], sensitive_features=group[rows])
    assert weighed.group_posterior_[rows] == pytest.approx(repeated.group_posterior_, abs=1e-4)
    for name in ("accuracy", "base_rate", "auc", "log_loss", "calibration_error"):
        expected = getattr(repeated.probe_quality_, name)
        assert getattr(weighed.probe_quality_, name) == pytest.approx(expected, abs=2e-3)


def test_rows_of_weight_0_get_the_posterior_of_the_final_probe():
    X, y, group = biased()
    weight = (np.arange(600) >= 50).astype(float)
    steerer = IdealSteerer(groups="infer").fit(X, y, sensitive_features=group, sample_weight=weight)
    assert (steerer.group_posterior_[:50] == steerer.group_posterior(X[:50])).all()
    assert (steerer.group_posterior_[50:] != steerer.group_posterior(X[50:])).any()
    assert steerer.probe_quality_.n == 550


def test_the_held_out_posterior_owes_nothing_to_its_row():
    X, y, group = biased(300)
    fold = probe_folds(X, np.unique(group, return_inverse=True)[1])
    assert set(fold) == set(range(N_FOLDS))
    memory = fit(X, y, group, probe=_Memory())
    assert memory.probe_quality_.accuracy < 0.65  # it has seen none of the rows it is judged on
    assert (memory.probe_.predict(X) == np.unique(group, return_inverse=True)[1]).all()
    codes = np.unique(group, return_inverse=True)[1]
    raw = fit(X, y, group, probe=LogisticRegression(), probe_calibration=None)
    told = fit(X, y, group, probe=LogisticRegression(), probe_calibration="isotonic")
    scores = np.empty((300, 2))
    for f in range(N_FOLDS):
        model = LogisticRegression().fit(X[fold != f], codes[fold != f])
        assert raw.group_posterior_[fold == f] == pytest.approx(model.predict_proba(X[fold == f]))
        scores[fold == f, 1] = model.decision_function(X[fold == f])
    scores[:, 0] = -scores[:, 1]
    for f in range(N_FOLDS):
        curve = fit_calibration("isotonic", scores[fold != f], codes[fold != f], None)
        expected = curve.posterior(scores[fold == f])
        assert told.group_posterior_[fold == f] == pytest.approx(expected)


class _Memory(RandomForestClassifier):
    """Knows by heart every row that it has seen."""

    def __init__(self, n_estimators=5, bootstrap=False, random_state=0):
        super().__init__(n_estimators, bootstrap=bootstrap, random_state=random_state)


def test_equal_rows_share_a_fold_and_every_fold_holds_every_group():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(40, 3)), 3, axis=0)
    codes = np.repeat(np.arange(40) % 2, 3)
    fold = probe_folds(values, codes)
    assert all(len(set(fold[i : i + 3])) == 1 for i in range(0, 120, 3))
    assert {(f, c) for f, c in zip(fold, codes, strict=True)} == {
        (f, c) for f in range(N_FOLDS) for c in (0, 1)
    }
    copies = probe_folds(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
    assert len(set(copies[:2])) == len(set(copies[2:])) == 2


@pytest.mark.parametrize("weighted", [False, True])
def test_the_quality_is_that_of_the_definitions(weighted):
    rng = np.random.default_rng(1)
    posterior = posteriors(200, 3, 1)
    codes = np.array([rng.choice(3, p=p) for p in posterior])
    weight = rng.uniform(0.5, 2, 200) if weighted else np.ones(200)
    found = measure_probe(posterior, codes, list("abc"), weight if weighted else None)
    known = posterior.argmax(axis=1) == codes
    assert found.accuracy == pytest.approx(np.average(known, weights=weight))
    areas = [roc_auc_score(codes == k, posterior[:, k], sample_weight=weight) for k in range(3)]
    assert found.auc == pytest.approx(np.mean(areas))
    expected = calibration_error(posterior, codes, weight)
    assert found.calibration_error == pytest.approx(expected)
    for k, name in enumerate("abc"):
        recall = np.average(known[codes == k], weights=weight[codes == k])
        assert found.recall[name] == pytest.approx(recall)
        assert found.rows[name] == (codes == k).sum()


def test_a_group_of_few_rows_gets_no_recall_and_no_count():
    posterior = np.full((40, 2), 0.5)
    codes = (np.arange(40) < 5).astype(int)
    found = measure_probe(posterior, codes, ["many", "few"])
    assert found.recall == {"many": 1.0, "few": None}
    assert found.rows == {"many": 35, "few": None}
    assert "few" not in found.sentence and "many 100 % of 35" in found.sentence
    assert found.to_dict()["by_group"][1] == {"group": "few", "n": None, "recall": None}


def test_the_certificate_says_for_which_rows_it_holds():
    X, y, group = biased()
    steerer = fit(X, y, group)
    certificate = steerer.certificate_
    quality = steerer.probe_quality_
    assert certificate.sentences[-1] == quality.sentence
    assert f"Of 600 held-out rows it knew {100 * quality.accuracy:.0f} %" in str(certificate)
    assert certificate.to_dict()["inferred_groups"]["accuracy"] == quality.accuracy
    given_ = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    assert given_.certificate_.sentences == certificate.sentences[:-1]
    assert given_.certificate_.inferred_groups is None


def test_what_the_next_step_learns_from():
    X, y, group = biased()
    rows = {
        name: IdealSteerer(groups="infer", training_rows=name).fit_transform(
            X, y, sensitive_features=group
        )
        for name in ("given", "cross_fitted", "inferred")
    }
    steerer = fit(X, y, group)
    assert (rows["inferred"] == steerer.transform(X)).all()
    by_hand = steerer.transform_by_posterior(X, steerer.group_posterior_)
    assert (rows["cross_fitted"] == by_hand).all()
    known = IdealSteerer(groups="given").fit_transform(X, y, sensitive_features=group)
    assert (rows["given"] == known).all()


@pytest.mark.parametrize("name", ["given", "cross_fitted", "inferred"])
def test_training_rows_come_back_as_the_callers_own_kind(name):
    X, y, group = biased()
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(sex=group, note="n")
    frame["x"] = frame["x"].astype("float32")
    steerer = IdealSteerer(groups="infer", group_columns=["sex"], training_rows=name)
    moved = steerer.fit_transform(frame, y)
    assert list(moved.columns) == ["w", "x", "y", "z", "note"]
    assert moved["x"].dtype == np.float32
    assert steerer.group_posterior(frame).shape == (600, 2)
    assert steerer.group_posterior(frame.drop(columns="sex")).shape == (600, 2)


def test_lognormal_rows_are_inferred_and_mixed_on_the_logarithms():
    X, y, group = biased()
    logs = fit(X, y, group)
    steerer = fit(np.exp(X), y, group, family="lognormal")
    # exp and log change the last digits, and with them which rows share a fold
    assert np.log(steerer.transform(np.exp(X))) == pytest.approx(logs.transform(X), abs=2e-2)
    posterior = logs.group_posterior(X)
    moved = np.log(steerer.transform_by_posterior(np.exp(X), posterior))
    assert moved == pytest.approx(logs.transform(X), abs=1e-8)


def test_one_group_needs_no_probe():
    X, y, _ = biased(100)
    steerer = IdealSteerer(groups="infer", missing_groups="single").fit(X, y)
    assert (steerer.transform(X) == X).all()
    assert steerer.probe_ is None and steerer.probe_quality_ is None
    assert (steerer.group_posterior(X) == 1).all()
    assert (IdealSteerer(groups="infer", missing_groups="single").fit_transform(X, y) == X).all()


def test_a_frozen_probe_knows_names_and_is_not_fitted_again():
    X, y, group = biased(2000)
    outside = LogisticRegression().fit(X[1000:], group[1000:])
    steerer = fit(X[:1000], y[:1000], group[:1000], probe=FrozenEstimator(outside),
                  probe_calibration=None)  # fmt: skip
    assert (steerer.group_posterior(X) == outside.predict_proba(X)).all()
    strange = LogisticRegression().fit(X, np.where(group == "a", "no", "yes"))
    with pytest.raises(errors.InvalidInputError, match="frozen .* tells no, yes"):
        fit(X, y, group, probe=FrozenEstimator(strange))


def test_a_calibrated_posterior_is_better_than_an_overconfident_one():
    X, y, group = biased(600)
    wide = np.column_stack([X, np.random.default_rng(0).normal(size=(600, 100))])
    rows = CountedRows(wide, y, encode_groups(group, where="test"), None)
    found = {
        c: fit_probe(None, rows, calibration=c, n_jobs=None, where="test").quality
        for c in ("sigmoid", "temperature", None)
    }
    for method in ("sigmoid", "temperature"):
        assert found[method].log_loss < found[None].log_loss
        assert found[method].calibration_error < found[None].calibration_error


def test_rows_in_doubt_move_less_than_sure_rows():
    X, y, group = biased(1000)
    steerer = fit(X, y, group, moves="b")
    far = np.abs(steerer.transform_by_posterior(X, np.tile([0.0, 1.0], (1000, 1))) - X).sum()
    near = np.abs(steerer.transform_by_posterior(X, np.tile([0.7, 0.3], (1000, 1))) - X).sum()
    assert near == pytest.approx(0.3 * far)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (dict(probe=Ridge()), "`probe` of .* `predict_proba` or `decision_function`, got Ridge"),
        (dict(probe=LinearSVC(), probe_calibration=None), "must have `predict_proba` where"),
        (dict(probe_calibration="platt"), "`probe_calibration` .* must be one of 'sigmoid'"),
        (dict(inference="gate"), "`inference` .* must be one of 'soft', 'hard', 'gated'"),
        (dict(gate_threshold=1.5), "`gate_threshold` of `IdealSteerer.fit`"),
        (dict(training_rows="true"), "`training_rows` .* must be one of 'given'"),
    ],
)
def test_wrong_settings_are_named(settings_, message):
    X, y, group = biased(60)
    with pytest.raises(errors.InvalidInputError, match=message):
        fit(X, y, group, **settings_)


def test_a_support_vector_machine_of_pairs_is_refused():
    X, y, group = biased(300, n_groups=4)
    with pytest.raises(errors.InvalidInputError, match="one finite column a group .*got 6"):
        fit(X, y, group, probe=SVC(decision_function_shape="ovo"))


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (np.ones((60, 3)) / 3, r"one column a group \(60, 2\), got shape \(60, 3\)"),
        (np.full((60, 2), 0.4), "must hold probabilities that sum to 1 in every row, got"),
        (np.tile([1.5, -0.5], (60, 1)), r"got \[1.5, -0.5\] in row 0"),
        (np.full((60, 2), np.nan), "must hold probabilities"),
    ],
)
def test_a_posterior_from_elsewhere_is_checked(posterior, message):
    X, y, group = biased(60)
    with pytest.raises(errors.InvalidInputError, match=message):
        fit(X, y, group).transform_by_posterior(X, posterior)


@pytest.mark.parametrize("mode", ["blind", "given"])
def test_only_inferring_steerers_have_a_posterior(mode):
    X, y, group = biased(200)
    steerer = IdealSteerer(groups=mode, random_state=0).fit(X, y, sensitive_features=group)
    assert steerer.probe_ is None and steerer.group_posterior_ is None
    with pytest.raises(errors.InvalidInputError, match='only `groups="infer"` fits one'):
        steerer.group_posterior(X)
