"""A saved steerer comes back whole, or says in one sentence why not."""

import json

import numpy as np
import pandas as pd
import pytest

from isonomy import errors
from isonomy.artefact import data_fingerprint, load_artefact, matches_fingerprint, save_artefact
from isonomy.datasets import make_biased_normals
from isonomy.ideal import certify
from isonomy.steering import IdealSteerer

MODES = [
    dict(groups="given"),
    dict(groups="given", subspace="discriminant"),
    dict(groups="given", covariance="diagonal"),
    dict(rank=1),
    dict(groups="given", family="lognormal"),
]


@pytest.fixture
def rows():
    X, y, group, _ = make_biased_normals(600, random_state=3)
    return pd.DataFrame(np.exp(X / 4), columns=list("wxyz")), y, np.asarray(group)


@pytest.mark.parametrize("settings", MODES)
def test_the_round_trip_is_exact(rows, tmp_path, settings):
    X, y, group = rows
    steerer = IdealSteerer(**settings).fit(X, y, sensitive_features=group)
    path = steerer.save(tmp_path / "s.safetensors")
    loaded = IdealSteerer.load(path)
    pd.testing.assert_frame_equal(
        loaded.transform(X, sensitive_features=group),
        steerer.transform(X, sensitive_features=group),
    )
    assert loaded.get_params() == steerer.get_params()
    assert list(loaded.get_feature_names_out()) == list("wxyz")
    assert str(loaded.certificate_) == str(steerer.certificate_)
    told = loaded.explain_rows(X, sensitive_features=group)
    assert (told.distance == steerer.explain_rows(X, sensitive_features=group).distance).all()


def test_the_probe_travels_through_skops(rows, tmp_path):
    pytest.importorskip("skops", reason="the probe is stored through skops")
    X, y, group = rows
    steerer = IdealSteerer(groups="infer").fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    pd.testing.assert_frame_equal(loaded.transform(X), steerer.transform(X))


@pytest.mark.parametrize("settings", MODES)
def test_a_saved_steerer_is_certified_again_on_later_rows(rows, tmp_path, settings):
    X, y, group = rows
    steerer = IdealSteerer(**settings).fit(X, y, sensitive_features=group)
    path = steerer.save(tmp_path / "s.safetensors")
    same = certify(path, X, y, sensitive_features=group)
    assert same.drift["moved"] is False
    assert "No judged cell has moved" in str(same)
    other = X * np.where(np.arange(4) == 0, 3.0, 1.0)
    moved = certify(path, other, y, sensitive_features=group)
    assert moved.drift["moved"] is True
    direct = certify(steerer, other, y, sensitive_features=group)
    assert str(direct) == str(moved)


def test_no_row_and_no_mean_of_a_small_cell_is_stored(rows, tmp_path):
    X, y, group = rows
    keep = np.r_[np.flatnonzero(~((y == 1) & (group == "b"))),
                 np.flatnonzero((y == 1) & (group == "b"))[:1]]  # fmt: skip
    X, y, group = X.iloc[keep], y[keep], group[keep]
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    lone = X.iloc[-1].to_numpy()
    artefact = load_artefact(steerer.save(tmp_path / "s.safetensors"))
    assert artefact.config["withheld_cells"] == [[1, 1]]
    assert "sample_weight" not in json.dumps(artefact.config)
    for name, tensor in artefact.tensors.items():
        last = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor[None]
        if last.shape[1] == 4:
            assert not np.isclose(last, lone).all(axis=1).any(), name


def test_the_fingerprint_recognises_the_training_rows(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    mark = data_fingerprint(X.to_numpy(), y, group)
    artefact = load_artefact(steerer.save(tmp_path / "s.safetensors", fingerprint=mark))
    assert matches_fingerprint(artefact.fingerprint, X.to_numpy(), y, group)
    assert not matches_fingerprint(artefact.fingerprint, X.to_numpy() + 1, y, group)


def test_a_loaded_steerer_does_not_learn_more(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    with pytest.raises(errors.InvalidInputError, match="cannot go on from a loaded steerer"):
        loaded.partial_fit(X, y, sensitive_features=group)
    assert loaded.fit(X, y, sensitive_features=group).partial_fit(X, y, sensitive_features=group)


def test_another_kind_and_a_cut_file_are_refused(rows, tmp_path):
    X, y, group = rows
    other = save_artefact(tmp_path / "o.safetensors", kind="other", config={}, tensors={})
    with pytest.raises(errors.ArtefactKindError, match="ideal-steerer"):
        IdealSteerer.load(other)
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    path = steerer.save(tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(errors.CorruptArtefactError):
        IdealSteerer.load(path)
    empty = save_artefact(tmp_path / "e.safetensors", kind="ideal-steerer", config={}, tensors={})
    with pytest.raises(errors.CorruptArtefactError, match="whole steerer"):
        IdealSteerer.load(empty)


@pytest.mark.parametrize("settings", MODES)
def test_the_certificate_comes_back_as_it_was_issued(rows, tmp_path, settings):
    # its small cells are withheld from the file, so it cannot be computed again from there
    X, y, group = rows
    few = np.r_[np.flatnonzero(~((y == 1) & (group == "b"))),
                np.flatnonzero((y == 1) & (group == "b"))[:3]]  # fmt: skip
    steerer = IdealSteerer(**settings).fit(X.iloc[few], y[few], sensitive_features=group[few])
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    assert str(loaded.certificate_) == str(steerer.certificate_)
    assert loaded.certificate_.to_dict() == steerer.certificate_.to_dict()
    again = IdealSteerer.load(loaded.save(tmp_path / "t.safetensors"))
    assert again.certificate_.to_dict() == steerer.certificate_.to_dict()
    assert load_artefact(tmp_path / "t.safetensors").config["withheld_cells"] == [[1, 1]]
    pd.testing.assert_frame_equal(
        again.transform(X, sensitive_features=group), steerer.transform(X, sensitive_features=group)
    )


def test_group_columns_in_an_array_are_saved_as_a_list(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(rank=1, group_columns=pd.Index(["sex"])).fit(X.assign(sex=group), y)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    assert loaded.group_columns == ["sex"]
    pd.testing.assert_frame_equal(loaded.transform(X), steerer.transform(X))


def test_a_refused_chunk_leaves_a_loaded_steerer_as_it_was(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(rank=1).fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    with pytest.raises(errors.InvalidInputError, match="cannot go on from a loaded steerer"):
        loaded.partial_fit(X[["w", "x"]], y, sensitive_features=group)
    pd.testing.assert_frame_equal(loaded.transform(X), steerer.transform(X))
