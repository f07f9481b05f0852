"""Charts: deterministic SVG whose strings and colours are safe inside a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isonomy.errors import InvalidInputError
from isonomy.report import plot_audit
from isonomy.report._canvas import COLOURS, to_svg
from isonomy.report._words import clean
from isonomy.report.figures import ChartRow, Estimate, Scale, estimate_chart
from report_samples import audit_result

SCALE = Scale(
    "Gap (points)", "smaller is better", include=(0.0,), bounds=(0.0, 100.0), reference=5.0
)


def rows(label="a"):
    return [
        ChartRow(label, "BEFORE", ((Estimate(5.0, 4.0, 7.0, "before", "5.0"),),), is_bold=True),
        ChartRow("b", "", ((Estimate(None, None, None, "given", "n/a"),),)),
        ChartRow("c", "AFTER", ((Estimate(1.0, 0.0, 2.0, "inferred", "1.0"),),), is_marked=True),
    ]


def svg(figure, **words):
    return to_svg(figure, **{"name": "fig", "title": "t", "description": "d"} | words)


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_same_rows_give_the_same_svg(width):
    first = svg(estimate_chart(rows(), [SCALE], width))
    assert svg(estimate_chart(rows(), [SCALE], width)) == first
    assert not re.search(r"\d{4}-\d\d-\d\d|<metadata|<style|DOCTYPE", first)


@pytest.mark.parametrize("width", ["wide", "narrow"])
@given(label=st.text(min_size=1, max_size=50))
@example(label="a < b & \"c\" > 'd'")
@example(label="$x_$ {y} \\frac $")
@settings(max_examples=25, deadline=None)
def test_any_name_gives_well_formed_svg_with_that_name_as_text(width, label):
    label = clean(label) or "(empty)"
    figure = estimate_chart(rows(label), [SCALE], width)
    root = ET.fromstring(svg(figure, title=label, description=label))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    shown = label if len(label) <= 34 else label[:33].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    assert shown in texts
    assert next(root.iter("{http://www.w3.org/2000/svg}title")).text == label


def test_identifiers_and_references_carry_the_name_of_the_figure():
    text = svg(estimate_chart(rows(), [SCALE]), name="methods-wide")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert ids
    assert all(i.startswith("methods-wide-") for i in ids)
    references = re.findall(r'href="#([^"]+)"', text) + re.findall(r"url\(#([^)]+)\)", text)
    assert set(references) <= set(ids)


def test_a_name_that_looks_like_markup_or_a_colour_is_left_alone():
    label = 'id="x" #1c2229 url(#y)'
    text = svg(estimate_chart(rows(label), [SCALE]))
    assert 'id="x" #1c2229 url(#y)</text>' in text.replace("&quot;", '"')


def test_every_colour_is_a_variable_of_the_page():
    text = svg(estimate_chart(rows(), [SCALE]))
    in_tags = "".join(re.findall(r"<[^>]*>", text))
    bare = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", in_tags)
    assert not re.findall(r"#[0-9a-f]{6}\b", bare)
    assert f"var(--given, {COLOURS['given']})" not in text  # its only row is undefined
    assert f"var(--inferred, {COLOURS['inferred']})" in text


def test_an_undefined_estimate_draws_no_dot():
    one = [ChartRow("a", "", ((Estimate(None, None, None, "blind", "n/a"),),))]
    assert "--blind" not in svg(estimate_chart(one, [SCALE]))


@pytest.mark.parametrize("kind", ["class_gaps", "rates", "groups"])
def test_plot_audit_returns_a_figure_that_pyplot_does_not_hold(kind, tmp_path):
    import matplotlib.pyplot as plt

    figure = plot_audit(audit_result(), kind)
    figure.savefig(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000
    assert plt.get_fignums() == []


def test_plot_audit_refuses_an_unknown_kind_and_an_empty_chart():
    with pytest.raises(InvalidInputError, match="'groups', 'calibration', got 'pie'"):
        plot_audit(audit_result(), "pie")
    with pytest.raises(InvalidInputError, match="enough rows"):
        plot_audit(audit_result() | {"class_gaps": []})


def test_sixty_classes_are_cut_to_forty_in_the_chart():
    names = [f"class {i:02d}" for i in range(60)]
    audit = audit_result(names, n_samples=60_000)
    texts = svg(plot_audit(audit, "class_gaps"))
    assert len(re.findall(r">class \d\d</text>", texts)) == 40


def test_rows_must_have_estimates_for_every_scale():
    with pytest.raises(InvalidInputError, match="one tuple of estimates for each of the 2 scales"):
        estimate_chart(rows(), [SCALE, SCALE])
    with pytest.raises(InvalidInputError, match="at least one row"):
        estimate_chart([], [SCALE])
