"""Whatever steers rows becomes maps of states, or one clear error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from isonomy.baselines import INLP, LEACE, DisparateImpactRemover, MeanMatching
from isonomy.datasets import make_biased_normals
from isonomy.distributions import AffineMap
from isonomy.errors import ArtefactError, InvalidInputError
from isonomy.hidden_states._attach._posterior import is_default
from isonomy.hidden_states._attach._steering_maps import SteeringMaps, as_steering_maps
from isonomy.steering import IdealSteerer
from isonomy.steering._probe import group_weights

X, Y, GROUP, _ = make_biased_normals(600, n_features=4, n_groups=3, random_state=0)


def maps_of(steerer, d=4):
    return as_steering_maps(steerer, d=d, where="attached")


def test_one_map_asks_for_no_group():
    one = AffineMap.identity(4)
    found = maps_of(one)
    assert found == SteeringMaps(None, (one,))
    assert not found.needs_groups
    assert maps_of(found) is found


def test_a_mapping_names_its_groups():
    maps = {"b": AffineMap.identity(4), "a": AffineMap(2 * np.eye(4), np.ones(4))}
    found = maps_of(maps)
    assert found.groups == ("b", "a")
    assert found.maps == tuple(maps.values())
    assert found.needs_groups


@pytest.mark.parametrize("method", [LEACE(), INLP()])
def test_a_method_with_one_map_is_blind(method):
    method.fit(X, Y, sensitive_features=GROUP)
    assert maps_of(method) == SteeringMaps(None, (method.map_,))


def test_a_method_with_one_map_a_group_keeps_what_it_does_with_unknown_groups():
    method = MeanMatching(unknown_group="identity").fit(X, Y, sensitive_features=GROUP)
    found = maps_of(method)
    assert found.groups == tuple(method.groups_)
    assert found.maps == tuple(method.maps_[g] for g in method.groups_)
    assert found.unknown_group == "identity"


@pytest.mark.parametrize("mode", ["blind", "given"])
def test_an_ideal_steerer_and_its_file_give_the_same_maps(mode, tmp_path):
    steerer = IdealSteerer(groups=mode).fit(X, Y, sensitive_features=GROUP)
    found = maps_of(steerer)
    assert found.groups == (None if mode == "blind" else tuple(steerer.groups_))
    loaded = maps_of(steerer.save(tmp_path / "steerer.safetensors"))
    assert loaded == found
    assert maps_of(str(tmp_path / "steerer.safetensors")) == found


def test_a_steerer_of_one_group_moves_nothing_and_asks_for_nothing():
    steerer = IdealSteerer(groups="given", missing_groups="single").fit(X, Y)
    found = maps_of(steerer)
    assert found.groups is None
    assert found.maps[0].is_identity


def test_an_object_that_says_what_its_maps_are_is_believed():
    class Told:
        def steering_maps(self):
            return {"a": AffineMap.identity(4)}

    assert maps_of(Told()).groups == ("a",)


CALIBRATIONS = ["sigmoid", "isotonic", "temperature", None]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_default_probes_posterior_in_torch_is_that_of_the_steerer(calibration, n_groups):
    rows, y, group, _ = make_biased_normals(600, n_features=4, n_groups=n_groups, random_state=1)
    steerer = IdealSteerer(groups="infer", probe_calibration=calibration)
    steerer.fit(rows, y, sensitive_features=group)
    found = maps_of(steerer)
    assert not found.needs_groups
    expected = steerer.group_posterior(rows)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        weights = found.posterior(torch.tensor(rows, dtype=dtype))
        assert weights.dtype == dtype
        np.testing.assert_allclose(weights.numpy(), expected, atol=tolerance)


@pytest.mark.parametrize("inference", ["hard", "gated"])
def test_hard_and_gated_inference_act_on_the_posterior(inference):
    steerer = IdealSteerer(groups="infer", inference=inference, gate_threshold=0.7)
    steerer.fit(X, Y, sensitive_features=GROUP)
    weights = maps_of(steerer).posterior(torch.tensor(X)).numpy()
    expected = group_weights(steerer.group_posterior(X), inference, 0.7)
    np.testing.assert_allclose(weights, expected, atol=1e-12)
    assert (weights.max(axis=1) == 1).any()


def test_a_loaded_default_probe_runs_in_torch_too(tmp_path):
    steerer = IdealSteerer(groups="infer").fit(X, Y, sensitive_features=GROUP)
    path = steerer.save(tmp_path / "steerer.safetensors")
    states = torch.tensor(X)
    torch.testing.assert_close(
        maps_of(path).posterior(states), maps_of(steerer).posterior(states), rtol=0, atol=0
    )


@pytest.mark.parametrize("probe", [GaussianNB(), LogisticRegression()])
def test_another_probe_is_asked_through_numpy(probe):
    steerer = IdealSteerer(groups="infer", probe=probe).fit(X, Y, sensitive_features=GROUP)
    assert not is_default(steerer._probe.model)
    weights = maps_of(steerer).posterior(torch.tensor(X, dtype=torch.float32))
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights.numpy(), steerer.group_posterior(X), atol=1e-5)


def test_a_group_that_the_probe_never_saw_is_the_unlikeliest():
    steerer = IdealSteerer(groups="infer").fit(X, Y, sensitive_features=GROUP)
    classifier = steerer._probe.model[-1]
    classifier.classes_ = classifier.classes_[:2]
    classifier.coef_, classifier.intercept_ = classifier.coef_[:2], classifier.intercept_[:2]
    found = maps_of(steerer).posterior(torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, steerer.group_posterior(X), atol=1e-12)


@pytest.mark.parametrize(
    ("steerer", "said"),
    [
        (IdealSteerer(), "must be fitted, got IdealSteerer before `fit`"),
        (MeanMatching(), "must be fitted, got MeanMatching before `fit`"),
        (StandardScaler(), "must be fitted, got StandardScaler"),
        ({}, "must hold one `AffineMap` a group, got an empty mapping"),
        ({"a": np.eye(4)}, "must hold one `AffineMap` a group, got ndarray"),
        (np.eye(4), r"or a path to a saved `IdealSteerer`, got ndarray"),
        (AffineMap.identity(5), "must map states of 4 features.*got 5"),
        (
            {"a": AffineMap.identity(4), "b": AffineMap.identity(5)},
            "must map states of 4 features.*got 4 and 5",
        ),
    ],
)
def test_what_cannot_steer_states_says_why(steerer, said):
    with pytest.raises(InvalidInputError, match=said):
        maps_of(steerer)


def test_a_method_without_affine_maps_is_refused():
    method = DisparateImpactRemover().fit(X, sensitive_features=GROUP)
    with pytest.raises(InvalidInputError, match="whose rows move by affine maps"):
        maps_of(method)


def test_logarithms_are_refused():
    steerer = IdealSteerer(family="lognormal").fit(np.exp(X), Y, sensitive_features=GROUP)
    with pytest.raises(InvalidInputError, match="act on logarithms"):
        maps_of(steerer)


def test_a_steerer_saved_without_its_probe_is_refused():
    steerer = IdealSteerer(groups="infer").fit(X, Y, sensitive_features=GROUP)
    steerer._probe = None
    with pytest.raises(InvalidInputError, match="was saved without its probe"):
        maps_of(steerer)


def test_a_missing_file_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="no-such-file"):
        maps_of(tmp_path / "no-such-file.safetensors")


def test_maps_and_groups_must_be_as_many():
    with pytest.raises(InvalidInputError, match=r"must be one a group \(2\), got 1"):
        SteeringMaps(("a", "b"), (AffineMap.identity(2),))
    with pytest.raises(InvalidInputError, match="must name the maps that `posterior` weighs"):
        SteeringMaps(None, (AffineMap.identity(2),), lambda states: states)
