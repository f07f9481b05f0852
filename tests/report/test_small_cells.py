"""Numbers resting on few rows are never shown, even if the result holds them."""

from __future__ import annotations

import re

import pytest

from isonomy.report import render
from report_samples import METHODS, OCCUPATIONS, audit_result, comparison_result

FEW = OCCUPATIONS[:6]


def words(page):
    """Return what a reader sees: no tags (their coordinates hold all sorts of digits)."""
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)


def spoil(audit):
    """Put numbers of a tiny cell and of a tiny group into an audit that should not hold them."""
    audit["groups"].append({"name": "tiny", "n": 3, "share": 0.00123, "withheld": False})
    common = {"group": "tiny", "n": 3, "value": 0.98765, "low": 0.98761, "high": 0.98769}
    audit["by_group"].append({"metric": "accuracy", "class": None, **common})
    first = audit["class_gaps"][0]
    first |= {"gap": 0.98765, "low": 0.98761, "high": 0.98769, "n_group": 4, "rare": False}
    for entry in audit["by_group"]:
        if entry["metric"] == "true_positive_rate" and entry["class"] == audit["classes"][1]:
            entry |= {"value": 0.98765, "low": 0.98761, "high": 0.98769, "n": 9}
    return audit


@pytest.mark.parametrize("format", ["html", "markdown"])
def test_a_small_cell_in_an_audit_is_not_shown(format):
    page = words(render(spoil(audit_result(FEW)), format))
    assert "98.8" not in page
    assert "98.76" not in page
    assert "withheld, too few rows" in page
    assert "under 10" in page
    assert "0.1 |" not in page


@pytest.mark.parametrize("format", ["html", "markdown"])
def test_small_cells_of_a_comparison_are_not_shown(format):
    result = comparison_result(FEW, methods=METHODS[-2:])
    result["data"]["cells"][0] |= {"n_train": 7, "n_test": 1}
    for method in result["methods"]:
        spoil(method["audit"])
    page = words(render(result, format))
    assert "98.8" not in page
    assert "98.76" not in page
    assert "under 10" in page


def test_min_cell_of_the_result_is_kept():
    result = audit_result()
    result["min_cell"] = 100
    page = render(result, "markdown").replace("\\_", "_")
    assert "under 100" in page
    smallest = [e for e in result["class_gaps"] if e["n_group"] and e["n_group"] < 100]
    assert smallest
    gaps = page[page.index("## Class by class") : page.index("## Rates of every group")]
    withheld = next(line for line in page.splitlines() if "Withheld, because" in line)
    for entry in smallest:
        assert f"{entry['class']};" in withheld or f"{entry['class']}." in withheld
        assert f"| {entry['class']} |" not in gaps


def test_rare_classes_with_enough_rows_have_a_chart_and_a_table_of_their_own():
    result = audit_result()
    rare = [e["class"] for e in result["class_gaps"] if e["rare"]]
    page = render(result, "markdown").replace("\\_", "_")
    assert rare
    after = page[page.index("Rare classes, listed apart") : page.index("Rates of every group")]
    assert "TPR gap of every rare class" in after
    table = after[: after.index("The numbers behind the chart")]
    for name in rare:
        assert f"| {name} |" in table
