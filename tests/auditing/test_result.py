"""``AuditResult``: tables, files, charts, and reading back."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.auditing import AuditResult, audit
from isonomy.auditing.result import SCHEMA
from isonomy.errors import (
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    InvalidInputError,
    OutputError,
)


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    y, g = rng.integers(0, 3, 400), rng.choice(["<b>f</b>", "m"], 400)
    p = np.where(rng.random(400) < 0.7, y, rng.integers(0, 3, 400))
    return audit(y, p, sensitive_features=g, n_boot=200)


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("section", ["by_group", "disparities", "class_gaps", "groups"])
def test_every_section_becomes_a_frame(result, backend, section):
    pytest.importorskip(backend)
    frame = result.to_frame(backend, section=section)
    assert type(frame).__module__.startswith(backend)
    assert len(frame) == len(result.data[section])


def test_without_a_library_the_frame_is_a_dict(result, monkeypatch):
    assert isinstance(result.to_frame("dict"), dict)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(result.to_frame(), dict)


def test_frame_arguments_are_checked(result):
    with pytest.raises(InvalidInputError, match="`backend` of `AuditResult.to_frame`"):
        result.to_frame("excel")
    with pytest.raises(InvalidInputError, match="`section`"):
        result.to_frame(section="rates")


def test_the_result_cannot_be_changed_through_its_parts(result):
    result.to_dict()["overall"].clear()
    result.overall.clear()
    result.disparities[0].clear()
    assert result.overall["accuracy"]["value"] > 0
    assert result.disparities[0]["metric"]


def test_html_is_written_whole(result, tmp_path):
    pytest.importorskip("jinja2")
    path = result.to_html(tmp_path / "audit.html")
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html")
    assert "<b>f</b>" not in text


def test_html_to_a_bad_path_is_one_clear_error(result, tmp_path):
    pytest.importorskip("jinja2")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        result.to_html(tmp_path / "file" / "audit.html")


@pytest.mark.parametrize("kind", ["class_gaps", "rates", "groups"])
def test_plot_gives_a_figure(result, kind):
    figure = pytest.importorskip("matplotlib.figure")
    assert isinstance(result.plot(kind), figure.Figure)


def test_unknown_plot_is_named(result):
    pytest.importorskip("matplotlib")
    with pytest.raises(InvalidInputError, match="`kind`"):
        result.plot("pie")


def test_from_dict_refuses_what_is_no_audit(result):
    data = result.to_dict()
    with pytest.raises(ArtefactKindError, match="`kind` 'audit'"):
        AuditResult.from_dict({**data, "kind": "comparison"})
    with pytest.raises(ArtefactKindError, match="list"):
        AuditResult.from_dict([])
    with pytest.raises(ArtefactVersionError, match="schema"):
        AuditResult.from_dict({**data, "schema": SCHEMA + 1})
    del data["by_group"]
    with pytest.raises(CorruptArtefactError, match="by_group"):
        AuditResult.from_dict(data)


def test_an_unknown_disparity_is_named(result):
    with pytest.raises(InvalidInputError, match="one of demographic_parity_difference"):
        result.disparity("gap")


def test_repr_and_str(result):
    assert repr(result) == "AuditResult(400 rows, 3 classes, 2 groups)"
    assert "percentage points" in str(result)
