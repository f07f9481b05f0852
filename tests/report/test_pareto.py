"""The front: whom nobody beats, by definition, and the chart that names them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.errors import InvalidInputError
from isonomy.report import render
from isonomy.report._canvas import to_svg
from isonomy.report._labels import place_labels
from isonomy.report._pareto import MethodPoint, both_fronts, pareto_front, trade_off_chart
from isonomy.report.figures import Estimate
from report_samples import comparison_result

# a small grid, so that ties in one number or both come up often
numbers = st.one_of(st.none(), st.integers(0, 4).map(float))
methods = st.lists(st.tuples(numbers, numbers, st.booleans()), max_size=8)


def point(gap, accuracy, needs_group=False, label="m"):
    return MethodPoint(label, Estimate(gap), Estimate(accuracy), needs_group)


def beaten(i, places):
    """A literal reading of the definition."""
    gap, right = places[i]
    for other_gap, other_right in places:
        if None in (other_gap, other_right):
            continue
        if (other_gap < gap and other_right >= right) or (other_gap <= gap and other_right > right):
            return True
    return False


@given(methods)
def test_the_front_holds_those_that_nobody_beats(drawn):
    places = [(gap, right) for gap, right, _ in drawn]
    expected = {i for i, p in enumerate(places) if None not in p and not beaten(i, places)}
    front = pareto_front([point(*m) for m in drawn])
    assert set(front) == expected
    gaps = [places[i][0] for i in front]
    rights = [places[i][1] for i in front]
    assert gaps == sorted(gaps) and rights == sorted(rights)


@given(methods)
def test_the_second_front_is_that_of_the_methods_without_a_group(drawn):
    points = [point(*m) for m in drawn]
    without = [i for i, p in enumerate(points) if not p.needs_group]
    alone = pareto_front([points[i] for i in without])
    assert both_fronts(points) == (pareto_front(points), tuple(without[i] for i in alone))


def test_a_known_front():
    points = [point(5.0, 72.0), point(0.0, 72.0), point(4.0, 73.0), point(6.0, 72.9)]
    assert pareto_front(points) == (1, 2)


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_chart_numbers_every_method_and_names_it_in_the_key(width):
    points = [point(float(i), 70.0 + i % 3, i % 2 == 0, f"method {i}") for i in range(20)]
    text = to_svg(trade_off_chart(points, width), name="x", title="t", description="d")
    for i in range(20):
        assert f">method {i}</text>" in text
        assert len(re.findall(rf">{i + 1}</text>", text)) >= 2  # beside its point, in the key
    assert ">On the front of all methods</text>" in text
    assert ">On the front without a group at prediction</text>" in text


def test_a_chart_needs_a_method_with_both_numbers():
    with pytest.raises(InvalidInputError, match="gap and accuracy are both numbers, got 1 without"):
        trade_off_chart([point(None, 70.0)])


def test_the_page_names_both_fronts_in_words_and_in_the_table():
    page = render(comparison_result(), "markdown")
    front = "Calibrated offsets; Ideal steering, blind; LEACE"
    assert f"On the front of all methods, from the smallest gap: {front}." in page
    assert "neither ask for nor guess it (dotted): Ideal steering, blind; LEACE." in page
    table = page[page.index("of every method, with the fronts") :]
    assert re.search(r"\| 9\\?\. Calibrated offsets .*\| all methods \|", table)
    assert re.search(r"\| 1\\?\. Untouched .*\| behind \|", table)


def test_a_page_without_any_gap_still_comes():
    result = comparison_result(["a", "b"])
    for method in result["methods"]:
        method["gap"] = {}
    assert "On the front" not in render(result, "html").split("The numbers behind")[0]


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200)), min_size=1, max_size=12))
def test_labels_stay_in_the_frame(points):
    sizes = [(12.0, 14.0)] * len(points)
    corners = place_labels(points, sizes, (300.0, 200.0))
    assert len(corners) == len(points)
    for x, y in corners:
        assert -0.001 <= x <= 288.001 and -0.001 <= y <= 186.001


def test_labels_of_crowded_points_cover_neither_points_nor_each_other():
    points = [(100.0 + 16 * (i % 4), 100.0 + 16 * (i // 4)) for i in range(12)]
    corners = place_labels(points, [(12.0, 14.0)] * 12, (300.0, 200.0))
    boxes = [(x, y, x + 12, y + 14) for x, y in corners]
    boxes += [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    for i, a in enumerate(boxes[:12]):
        for b in boxes[i + 1 :]:
            across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 0.01 or up <= 0.01
