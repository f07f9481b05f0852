"""Calibration and group rates on the page: what is drawn, said, tabled and withheld."""

from __future__ import annotations

import re

import numpy as np
import pytest

from isonomy import audit
from isonomy.errors import InvalidInputError
from isonomy.report import plot_audit, render
from isonomy.report._canvas import to_svg
from isonomy.report._group_rates import group_rate_charts
from isonomy.report._reliability import Bin, ReliabilityPanel, _line, reliability_chart
from report_samples import audit_result, comparison_result


def curve(*counts, group="a"):
    bins = [
        {
            "group": group,
            "low_edge": b / 10,
            "high_edge": (b + 1) / 10,
            "mean_score": (b + 0.5) / 10,
            "value": b / 10,
            "low": max(0.0, b / 10 - 0.05),
            "high": b / 10 + 0.05,
            "n": n,
            "reason": None,
        }
        for b, n in enumerate(counts)
        if n
    ]
    return {"of": "yes", "n_bins": 10, "bins": bins}


def with_scores(calibration):
    scores = {"by_group": [], "disparities": [], "calibration": calibration}
    return audit_result(["no", "yes"], ("a", "b")) | {"scores": scores}


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_the_curve_is_drawn_and_tabled(form):
    page = render(with_scores(curve(30, 0, 25, 40)), form)
    assert "Calibration of every group, bin by bin" in page
    assert "the share of rows that truly are yes" in page
    assert "20 to 30" in page
    assert "(3 bins)" in page.replace("\\", "")


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_bin_of_few_rows_is_withheld_even_if_the_file_holds_it(form):
    few = curve(30, 7, 25)
    few["bins"][1] |= {"mean_score": 0.1234, "value": 0.4321, "low": 0.4111, "high": 0.4999}
    page = render(with_scores(few), form)
    assert "withheld" in page
    for number in ("12.3", "43.2", "41.1", "50.0"):
        assert number not in page[page.index("Calibration of every group, bin by bin") :][:2500]


def test_several_classes_judge_the_largest_score():
    page = render(with_scores(curve(30, 20) | {"of": None}), "markdown")
    assert "class with the largest score was the true one" in page


@pytest.mark.parametrize("calibration", [None, curve(3, 2), {"of": None, "n_bins": 10, "bins": []}])
def test_without_a_bin_to_show_there_is_no_chart(calibration):
    assert "what came true" not in render(with_scores(calibration), "html")
    with pytest.raises(InvalidInputError, match="enough rows for the chart 'calibration'"):
        plot_audit(with_scores(calibration), "calibration")


def test_scores_of_an_older_result_have_no_curve():
    result = with_scores(None)
    del result["scores"]["calibration"]
    assert "Metrics of the scores" in render(result, "markdown")


def test_plot_audit_draws_the_calibration_of_a_real_audit(tmp_path):
    rng = np.random.default_rng(0)
    score = rng.random(400)
    y = rng.random(400) < score
    found = audit(y, score > 0.5, sensitive_features=rng.choice(["f", "m"], 400), y_score=score)
    found.plot("calibration").savefig(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_every_group_has_a_panel_with_its_name(width, n):
    panels = [
        ReliabilityPanel(f"g{i}", (Bin(20, 25, 15, 30, 40, 2), Bin(70, 60, 50, 70, 12, 7)))
        for i in range(n)
    ]
    text = to_svg(reliability_chart(panels, width), name="x", title="t", description="d")
    assert re.findall(r">(g\d+)</text>", text) == [f"g{i}" for i in range(n)]


def test_the_curve_is_broken_where_a_bin_is_withheld_or_empty():
    bins = [Bin(10 * i + 5, 10 * i, 0, 100, 40, i) for i in (0, 1, 4, 5)]
    xs, ys = _line(bins)
    assert xs == pytest.approx([5, 15, np.nan, 45, 55], nan_ok=True)
    assert ys == pytest.approx([0, 10, np.nan, 40, 50], nan_ok=True)
    assert _line(()) == ([], [])


def test_withheld_bins_are_told_beside_the_calibration_error():
    found = curve(30, 20, 25)
    words = "takes the withheld bins of a group as one bin"
    assert words not in render(with_scores(found), "markdown")
    found["bins"][1] |= dict.fromkeys(("mean_score", "value", "low", "high", "n"))
    assert words in render(with_scores(found), "markdown")


def test_a_group_whose_bins_are_all_withheld_says_so():
    panels = [ReliabilityPanel("a", (Bin(20, 25, 15, 30, 40, 2),)), ReliabilityPanel("b", ())]
    text = to_svg(reliability_chart(panels), name="x", title="t", description="d")
    assert ">withheld</text>" in text
    with pytest.raises(InvalidInputError, match="at least one bin"):
        reliability_chart(panels[1:])


def test_a_binary_comparison_shows_the_rates_of_every_group_before_and_after():
    page = render(comparison_result(["no", "yes"], ("a", "b", "c")), "markdown")
    part = page[page.index("## Every group, before and after") :].split("\n## ")[0]
    for name in ("Accuracy", "Selection rate of yes", "True positive rate of yes"):
        assert f"{name} before" in part and f"{name} after" in part
    rows = [line for line in part.splitlines() if re.match(r"\| [abc] \|", line)]
    assert len(rows) == 3
    assert re.search(r"\d+\.\d \(\d+\.\d to \d+\.\d\)", rows[0])


def test_groups_that_a_chart_leaves_out_are_told():
    few, many = (
        group_rate_charts(None, audit_result(["no", "yes"], tuple(f"g{i}" for i in range(n))))
        for n in (40, 43)
    )
    assert not any("more are in the table" in chart.caption for chart in few)
    assert all("The first 40 groups; 3 more are in the table." in c.caption for c in many)


def test_of_many_classes_the_largest_are_shown_by_group():
    page = render(comparison_result(), "markdown")
    part = page[page.index("## Every group, before and after") :].split("\n## ")[0]
    shown = re.findall(r"True positive rate of (\w+) after", part)
    assert shown == ["accountant", "architect", "attorney"]


def test_a_withheld_rate_of_a_group_is_not_in_the_table():
    result = comparison_result(["no", "yes"], ("a", "b"))
    for method in result["methods"]:
        for entry in method["audit"]["by_group"]:
            if entry["metric"] == "true_positive_rate" and entry["group"] == "a":
                entry |= {"value": 0.98765, "n": 4}
    assert "98.8" not in render(result, "markdown")
