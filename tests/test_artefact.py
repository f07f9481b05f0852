"""Artefacts: what is saved comes back, and what is damaged is refused in one sentence."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression

from isonomy import _record
from isonomy.artefact import (
    SCHEMA,
    Artefact,
    data_fingerprint,
    load_artefact,
    save_artefact,
    warn_unknown_keys,
)
from isonomy.errors import (
    ArtefactError,
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    InvalidInputError,
    IsonomyWarning,
    MissingExtraError,
    OutputError,
    UnknownKeyWarning,
)

CONFIG = {"groups": ["a", "b"], "rank": 3, "moves": None, "deep": {"é": [1.5, True]}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_artefact(
        tmp_path / "maps.safetensors",
        kind="maps",
        config=CONFIG,
        tensors={"matrix": np.arange(6.0).reshape(2, 3), "count": np.array(7)},
        fingerprint=data_fingerprint([1, 2]),
        certificate={"kl": 0.25},
    )


def rewrite(path: Path, *, seal: bool = True, **changes: object) -> None:
    """Write the file anew with a changed record, as another version would."""
    data = path.read_bytes()
    record = _record.read_record(_record.read_header(data, path), path)
    record.update(changes)
    tensors = safetensors.numpy.load(data)
    if seal:
        path.write_bytes(_record.to_bytes(record, tensors))
    else:
        path.write_bytes(safetensors.numpy.save(tensors, {"isonomy": json.dumps(record)}))


def test_what_was_saved_comes_back(saved):
    artefact = load_artefact(saved, kind="maps")
    assert isinstance(artefact, Artefact)
    assert (artefact.kind, artefact.schema, artefact.config) == ("maps", SCHEMA, CONFIG)
    assert artefact.certificate == {"kl": 0.25}
    assert artefact.created_with["numpy"] == np.__version__
    assert artefact.left_out == () and artefact.estimators == {}
    np.testing.assert_array_equal(artefact.tensors["matrix"], [[0, 1, 2], [3, 4, 5]])
    assert artefact.tensors["count"].shape == ()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    def save(name, config):
        return save_artefact(
            tmp_path / name, kind="k", config=config, tensors={"b": np.ones(2), "a": np.zeros(3)}
        ).read_bytes()

    assert save("1", {"x": 1, "y": 2}) == save("2", {"y": 2, "x": 1})


@given(
    array=hnp.arrays(
        dtype=st.sampled_from(["f2", "f4", "f8", ">f8", "i1", "i4", ">i8", "u2", "?"]),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    transpose=st.booleans(),
)
def test_every_array_comes_back_with_shape_and_dtype(tmp_path_factory, array, transpose):
    given_array = array.T if transpose else array
    path = tmp_path_factory.mktemp("a") / "x"
    save_artefact(path, kind="k", config={}, tensors={"x": given_array})
    loaded = load_artefact(path).tensors["x"]
    assert loaded.dtype == given_array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded, given_array)


@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("a") / "x"
    save_artefact(path, kind="k", config={"rank": 3}, tensors={"x": np.arange(4.0)})
    raw = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(raw))
    with pytest.raises(ArtefactError):
        load_artefact(path)


@pytest.mark.parametrize("keep", [9, 30, 200, -1, -9])
def test_a_truncated_file_is_corrupt(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CorruptArtefactError, match="cut off: its end is missing"):
        load_artefact(saved)


def test_bytes_added_at_the_end_are_an_alteration(saved):
    saved.write_bytes(saved.read_bytes() + b"more")
    with pytest.raises(CorruptArtefactError, match="was altered"):
        load_artefact(saved)


def test_an_altered_setting_is_corrupt(saved):
    rewrite(saved, seal=False, config={"rank": 4})
    with pytest.raises(CorruptArtefactError, match=r"was altered: .* SHA-256"):
        load_artefact(saved)


@pytest.mark.parametrize(
    "text", ["not json", "[]", '{"schema": "one"}', '{"schema": NaN}', "[" * 100_000]
)
def test_a_header_that_makes_no_sense_is_corrupt(saved, text):
    saved.write_bytes(safetensors.numpy.save({}, {"isonomy": text}))
    with pytest.raises(CorruptArtefactError, match="was altered"):
        load_artefact(saved)


def test_a_record_without_its_keys_is_corrupt(saved):
    record = {"schema": 1, "kind": "maps"}
    saved.write_bytes(_record.to_bytes(record, {}))
    with pytest.raises(CorruptArtefactError, match="was altered"):
        load_artefact(saved)


def test_a_newer_schema_names_both_versions_and_the_way_out(saved):
    rewrite(saved, schema=SCHEMA + 1, isonomy_version="9.9.9")
    with pytest.raises(
        ArtefactVersionError, match=r"schema 2, written by isonomy 9\.9\.9; this is isonomy .*-U"
    ):
        load_artefact(saved)


def test_another_kind_is_named(saved):
    with pytest.raises(ArtefactKindError, match=r"kind 'steerer', but .* holds kind 'maps'"):
        load_artefact(saved, kind="steerer")


@pytest.mark.parametrize("content", [b"", b"abc", b"a,b,c\n1,2,3\n" * 9, b"PK\x03\x04" * 20])
def test_another_file_is_no_artefact(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is something else"):
        load_artefact(path)


def test_a_plain_safetensors_file_is_no_artefact(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.numpy.save({"w": np.ones(3)}))
    with pytest.raises(ArtefactError, match="is something else"):
        load_artefact(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ArtefactError, match="does not exist"):
        load_artefact(tmp_path / "none")
    with pytest.raises(ArtefactError, match="must be a file that can be read"):
        load_artefact(tmp_path)


def test_unknown_keys_are_named_in_a_warning(saved):
    rewrite(saved, colour="red", shape="round")
    with pytest.warns(UnknownKeyWarning, match=r"does not know and ignores: colour, shape"):
        artefact = load_artefact(saved)
    assert artefact.config == CONFIG


def test_known_keys_give_no_warning(recwarn):
    warn_unknown_keys(["a"], ["a", "b"], source="config")
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"a": {"b": np.ones(2)}}, r"`config\['a'\]\['b'\]` .* got array"),
        ({"a": [1, float("nan")]}, r"`config\['a'\]\[1\]` .* got nan"),
        ({1: "x"}, r"must have strings as keys, got 1 \(int\)"),
        ({"a": {1, 2}}, r"\(set\)"),
    ],
)
def test_settings_that_json_cannot_hold_are_refused(tmp_path, config, message):
    with pytest.raises(InvalidInputError, match=message):
        save_artefact(tmp_path / "x", kind="k", config=config, tensors={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([object()]), np.ones(1, "complex")])
def test_tensors_must_be_numeric(tmp_path, value):
    with pytest.raises(InvalidInputError, match=r"`tensors\['t'\]` .* numeric or boolean"):
        save_artefact(tmp_path / "x", kind="k", config={}, tensors={"t": value})


def test_the_names_of_estimators_are_kept_free(tmp_path):
    with pytest.raises(InvalidInputError, match="kept for estimators"):
        save_artefact(tmp_path / "x", kind="k", config={}, tensors={"estimator/a": np.ones(1)})


def test_an_estimator_comes_back_and_predicts_the_same(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    path = save_artefact(
        tmp_path / "m", kind="k", config={}, tensors={}, estimators={"head": model}
    )
    artefact = load_artefact(path)
    assert artefact.tensors == {}
    np.testing.assert_array_equal(
        artefact.estimators["head"].predict_proba(X), model.predict_proba(X)
    )


class Suspect:
    """A type that nobody has trusted yet."""


def test_a_type_that_is_not_trusted_is_listed_and_not_built(tmp_path, monkeypatch):
    # skops names a type by its module, which importlib mode does not put into sys.modules
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    path = save_artefact(
        tmp_path / "m", kind="k", config={}, tensors={}, estimators={"odd": Suspect()}
    )
    named = f"{Suspect.__module__}.Suspect"
    with pytest.raises(ArtefactError, match=rf"'odd' also holds {re.escape(named)}"):
        load_artefact(path)
    assert isinstance(load_artefact(path, trusted=[named]).estimators["odd"], Suspect)


def _this_module():
    import types

    module = types.ModuleType(__name__)
    module.Suspect = Suspect
    return module


def test_what_skops_cannot_save_is_left_out_and_named(tmp_path):
    generator = (x for x in [1])
    with pytest.warns(IsonomyWarning, match="gen left out of the artefact; skops cannot save it"):
        path = save_artefact(
            tmp_path / "m", kind="k", config={}, tensors={}, estimators={"gen": generator}
        )
    assert load_artefact(path).left_out == ("gen",)


def test_without_skops_estimators_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.warns(IsonomyWarning, match=r"head left out .* pip install 'isonomy\[estimators"):
        path = save_artefact(
            tmp_path / "m",
            kind="k",
            config={},
            tensors={},
            estimators={"head": LogisticRegression()},
        )
    assert load_artefact(path).left_out == ("head",)


def test_loading_an_estimator_without_skops_names_the_extra(tmp_path, monkeypatch):
    path = save_artefact(
        tmp_path / "m", kind="k", config={}, tensors={}, estimators={"head": LogisticRegression()}
    )
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingExtraError, match=r"head.* pip install 'isonomy\[estimators\]'"):
        load_artefact(path)


def test_damaged_bytes_of_an_estimator_are_corrupt(tmp_path, monkeypatch):
    path = save_artefact(
        tmp_path / "m", kind="k", config={}, tensors={}, estimators={"head": LogisticRegression()}
    )
    monkeypatch.setattr("skops.io.loads", lambda *_, **__: (_ for _ in ()).throw(KeyError("x")))
    with pytest.raises(CorruptArtefactError, match="'head' .* could not be built"):
        load_artefact(path)


def test_saving_under_a_file_is_an_output_error(saved):
    with pytest.raises(OutputError, match="could not be"):
        save_artefact(saved / "deeper", kind="k", config={}, tensors={})


def test_an_interrupted_save_keeps_the_old_artefact_and_leaves_nothing(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_artefact(saved, kind="maps", config={}, tensors={})
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
