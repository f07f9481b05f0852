"""The figure of what a wrong probe costs shows every point where it belongs."""

import io

import pytest

from isonomy.errors import InvalidInputError
from isonomy.report.probe_cost import plot_probe_cost

mpl = pytest.importorskip("matplotlib", reason="figures need the extra `report`")


def point(probe, way, knowledge, known, gap, accuracy):
    return {
        "probe": probe,
        "inference": way,
        "knowledge": knowledge,
        "probe_accuracy": known,
        "accuracy": accuracy,
        "gap": gap,
        "corrected": gap,
        "low": None if gap is None else gap - 0.02,
        "high": None if gap is None else gap + 0.02,
        "p_value": 0.5,
    }


def result(points):
    return {"kind": "probe_cost", "points": points}


CURVE = [
    point("none", None, None, None, 0.15, 0.75),
    point("fitted", "soft", None, 0.75, 0.08, 0.74),
    point("simulated", "soft", 1.0, 1.0, 0.02, 0.73),
    point("simulated", "soft", 0.0, 0.5, 0.12, 0.72),
    point("simulated", "soft", -1.0, 0.0, 0.3, 0.6),
]


def lines_of(axes):
    return [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]


def test_points_stand_where_they_were_measured():
    figure = plot_probe_cost(result(CURVE))
    gap, accuracy = figure.get_axes()
    simulated, fitted = [x for x in lines_of(gap) if len(x.get_xdata())]
    assert list(simulated.get_xdata()) == [1.0, 0.0, -1.0]
    assert list(simulated.get_ydata()) == [0.02, 0.12, 0.3]
    # right in 75 % of rows: half way between the simulated probes of 50 and 100 %
    assert (list(fitted.get_xdata()), list(fitted.get_ydata())) == ([0.5], [0.08])
    assert list(lines_of(accuracy)[0].get_ydata()) == [0.73, 0.72, 0.6]
    assert gap.get_xlim()[0] > gap.get_xlim()[1]  # worse probes to the right
    assert "untouched" in [t.get_text() for t in figure.legends[0].get_texts()]


def test_undefined_numbers_leave_gaps_and_nothing_global_changes():
    before = dict(mpl.rcParams)
    figure = plot_probe_cost(result([*CURVE, point("simulated", "hard", 1.0, 1.0, None, 0.7)]))
    figure.savefig(io.BytesIO(), format="png")
    assert dict(mpl.rcParams) == before


def test_another_kind_is_refused():
    with pytest.raises(InvalidInputError, match="of kind 'probe_cost', got 'audit'"):
        plot_probe_cost({"kind": "audit"})
