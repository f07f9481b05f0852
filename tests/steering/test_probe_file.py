"""A steerer that infers groups, saved and loaded: what travels, and what cannot."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from isonomy import errors
from isonomy.artefact import load_artefact
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer


def biased(n_groups=2):
    X, y, group, _ = make_biased_normals(500, n_groups=n_groups, random_state=3)
    return pd.DataFrame(X, columns=list("wxyz")), y, np.asarray(group)


@pytest.fixture
def without_skops(monkeypatch):
    """Hide skops, as where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic", "temperature", None])
@pytest.mark.parametrize("inference", ["soft", "hard", "gated"])
def test_the_default_probe_and_every_calibration_travel_as_arrays(
    tmp_path, without_skops, n_groups, calibration, inference
):
    X, y, group = biased(n_groups)
    steerer = IdealSteerer(
        groups="infer", probe_calibration=calibration, inference=inference, gate_threshold=0.7
    ).fit(X, y, sensitive_features=group)
    path = steerer.save(tmp_path / "s.safetensors")
    assert load_artefact(path).estimators == {}
    loaded = IdealSteerer.load(path)
    pd.testing.assert_frame_equal(loaded.transform(X), steerer.transform(X))
    assert loaded.get_params() == steerer.get_params()
    assert loaded.probe_quality_ == steerer.probe_quality_
    assert str(loaded.certificate_) == str(steerer.certificate_)
    assert loaded.certificate_.inferred_groups == steerer.certificate_.inferred_groups
    assert (loaded.probe_.predict(X.to_numpy()) == steerer.probe_.predict(X.to_numpy())).all()
    assert loaded.group_posterior_ is None
    again = IdealSteerer.load(loaded.save(tmp_path / "again.safetensors"))
    assert (again.group_posterior(X) == steerer.group_posterior(X)).all()


@pytest.mark.parametrize("probe", [GaussianNB(), make_pipeline(StandardScaler(), LinearSVC())])
def test_another_probe_travels_through_skops_fitted_and_unfitted(tmp_path, probe):
    pytest.importorskip("skops", reason="such a probe is stored through skops")
    X, y, group = biased()
    steerer = IdealSteerer(groups="infer", probe=probe).fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    pd.testing.assert_frame_equal(loaded.transform(X), steerer.transform(X))
    assert str(loaded.get_params()) == str(steerer.get_params())
    refitted = loaded.fit(X, y, sensitive_features=group)
    pd.testing.assert_frame_equal(refitted.transform(X), steerer.transform(X))


def test_a_probe_that_cannot_be_stored_is_named_when_saved_used_and_fitted(tmp_path, without_skops):
    X, y, group = biased()
    steerer = IdealSteerer(groups="infer", probe=GaussianNB()).fit(X, y, sensitive_features=group)
    with pytest.warns(errors.IsonomyWarning, match="probe, probe_parameter left out"):
        path = steerer.save(tmp_path / "s.safetensors")
    loaded = IdealSteerer.load(path)
    assert loaded.probe_quality_ == steerer.probe_quality_
    with pytest.raises(errors.InvalidInputError, match="saved without it"):
        loaded.transform(X)
    truth = (group[:, None] == np.array(loaded.groups_)).astype(float)
    moved = loaded.transform_by_posterior(X, truth)
    pd.testing.assert_frame_equal(moved, steerer.transform_by_posterior(X, truth))
    with pytest.raises(errors.InvalidInputError, match="could not hold its GaussianNB"):
        loaded.fit(X, y, sensitive_features=group)
    loaded.set_params(probe=LogisticRegression()).fit(X, y, sensitive_features=group)
    assert loaded.transform(X).shape == X.shape


def test_no_row_and_no_posterior_of_a_row_is_stored(tmp_path):
    X, y, group = biased()
    steerer = IdealSteerer(groups="infer").fit(X, y, sensitive_features=group)
    artefact = load_artefact(steerer.save(tmp_path / "s.safetensors"))
    assert all(len(X) not in tensor.shape for tensor in artefact.tensors.values())
    assert artefact.config["probe_quality"]["n"] == 500
