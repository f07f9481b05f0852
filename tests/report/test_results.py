"""Reading and writing result files: round trip, and one clear sentence for a bad file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isonomy.errors import (
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    DataFileError,
    InvalidInputError,
)
from isonomy.report import dump_result, load_result, render
from report_samples import audit_result, comparison_result, hostile_result


@pytest.mark.parametrize("make", [audit_result, comparison_result, hostile_result])
def test_what_is_written_is_what_is_read(make, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(render(make(), "json"), encoding="utf-8")
    assert load_result(path) == make()
    assert list(load_result(path)) == list(make())


def test_nan_and_numpy_become_plain_json():
    text = dump_result({"a": np.float64("nan"), "b": np.arange(2), "c": -np.inf, "d": np.int64(3)})
    assert json.loads(text) == {"a": None, "b": [0, 1], "c": None, "d": 3}


def test_a_lone_surrogate_can_still_be_written(tmp_path):
    result = audit_result(["no", "yes"])
    result["notes"] = ["\ud800"]
    for kind in ("json", "html", "markdown"):
        assert render(result, kind).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("", CorruptArtefactError, "must be JSON"),
        ('{"schema": 1, "kind": "aud', CorruptArtefactError, "truncated"),
        ("[" * 100_000, CorruptArtefactError, "must be JSON"),
        ('{"schema": NaN}', CorruptArtefactError, "NaN is not JSON"),
        ("[1, 2]", CorruptArtefactError, "must be a JSON object"),
        ('{"kind": "audit"}', CorruptArtefactError, "under `schema`, got None"),
        ('{"schema": true, "kind": "audit"}', CorruptArtefactError, "got True"),
        ('{"schema": 2, "isonomy_version": "9.1"}', ArtefactVersionError, "written by isonomy 9.1"),
        ('{"schema": 1, "kind": "recipe"}', ArtefactKindError, "got 'recipe'"),
        ('{"schema": 1, "kind": ["audit"]}', ArtefactKindError, "must be of kind"),
        ('{"schema": 1, "kind": "audit"}', CorruptArtefactError, "a list under `classes`"),
        (
            '{"schema": 1, "kind": "comparison", "data": {}, "methods": []}',
            CorruptArtefactError,
            "at least one method",
        ),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(text, error, match, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=match):
        load_result(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"nowhere\.json.*readable file"):
        load_result(tmp_path / "nowhere.json")


def test_bytes_that_are_not_utf8_are_told(tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(CorruptArtefactError, match="UTF-8"):
        load_result(path)


@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_a_result_with_a_hole_raises_and_never_shows_half_a_page(kind):
    result = comparison_result()
    del result["methods"][0]["audit"]["by_group"]
    with pytest.raises(CorruptArtefactError, match=r"KeyError: 'by_group'"):
        render(result, kind)


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(
        InvalidInputError, match="'card', .*'html', 'json', 'markdown'.*, got 'pdf'"
    ):
        render(audit_result(["no", "yes"]), "pdf")
