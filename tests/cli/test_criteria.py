"""``--fail-if``: a gate that opens only for what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from isonomy.cli._criteria import parse_criterion
from isonomy.errors import InvalidInputError

AUDIT: dict[str, Any] = {
    "disparities": [
        {"metric": "rms_tpr_gap", "value": 0.05, "high": 0.09, "reason": None},
        {"metric": "accuracy_difference", "value": None, "reason": "one group"},
    ]
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rms_tpr_gap>0.05", False),
        ("rms_tpr_gap>=0.05", True),
        ("rms_tpr_gap < 5e-2", False),
        ("rms_tpr_gap<=.05", True),
        ("rms_tpr_gap.high>0.08", True),
        ("rms_tpr_gap.high > 0.1", False),
        ("rms_tpr_gap>-1", True),
    ],
)
def test_a_criterion_holds_exactly_when_its_comparison_does(text: str, holds: bool) -> None:
    assert (parse_criterion(text).judge(AUDIT) is not None) is holds


def test_an_undefined_disparity_fails_with_its_reason() -> None:
    sentence = parse_criterion("accuracy_difference>0.5").judge(AUDIT)
    assert sentence is not None
    assert "undefined (one group), so it fails" in sentence


def test_an_unknown_disparity_lists_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"'gap'.*it has: rms_tpr_gap, accuracy_difference"):
        parse_criterion("gap>0").judge(AUDIT)


@pytest.mark.parametrize(
    "text", ["", "rms_tpr_gap", "rms_tpr_gap=0.1", "rms_tpr_gap>", ">0.1", "a>x", "a>nan", "a>1>2"]
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"must look like 'rms_tpr_gap>0.05'"):
        parse_criterion(text)


def test_an_unknown_part_lists_the_parts() -> None:
    with pytest.raises(InvalidInputError, match=r"one of \.value, .*got \.upper"):
        parse_criterion("rms_tpr_gap.upper>1")
