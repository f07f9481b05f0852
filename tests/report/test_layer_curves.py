"""The figure of the layers shows every point where it belongs, and the layer chosen."""

import io

import numpy as np
import pytest

from isonomy.errors import InvalidInputError
from isonomy.report import plot_layer_curves

mpl = pytest.importorskip("matplotlib", reason="figures need the extra `report`")


def measured(value, width=0.05):
    known = value is not None
    return {
        "value": value,
        "low": value - width if known else None,
        "high": value + width if known else None,
        "n": 100,
    }


def point(layer, part, gap, accuracy):
    return {
        "layer": layer,
        "part": part,
        "probe_accuracy": measured(0.8),
        "probe_chance": 0.5,
        "probe_within": measured(0.7),
        "probe_within_chance": 0.6,
        "accuracy": measured(accuracy),
        "macro_f1": measured(accuracy - 0.1),
        "gap": measured(gap),
        "gap_plain": 0.2,
        "converged": True,
    }


def result(points, chosen):
    return {"kind": "layer_curves", "points": points, "choice": {"layer": chosen}}


GAPS = [(0, 0.2, 0.5), (4, -0.03, 0.7), (8, None, 0.8), (None, 0.1, 0.75)]
CURVES = result(
    [point(*p[:1], "test", *p[1:]) for p in GAPS]
    + [point(p[0], "validation", 0.15, 0.5) for p in GAPS],
    4,
)


def line(axes, label):
    (found,) = [x for x in axes.get_lines() if x.get_label() == label]
    return found.get_xdata(), found.get_ydata()


def test_points_stand_where_they_were_measured_and_the_head_input_behind_the_last_layer():
    figure = plot_layer_curves(CURVES)
    probe, utility, gap = figure.get_axes()
    x, y = line(utility, "accuracy")
    assert list(x) == [0, 4, 8, 9] and list(y) == [0.5, 0.7, 0.8, 0.75]
    np.testing.assert_array_equal(line(gap, "test rows")[1], [0.2, -0.03, np.nan, 0.1])
    assert list(line(gap, "validation rows (choose)")[1]) == [0.15] * 4
    assert list(line(probe, "largest group of the class")[1]) == [0.6] * 4
    assert [t.get_text() for t in gap.get_xticklabels()] == ["0", "4", "8", "head\ninput"]
    low, high = (
        f(utility.collections[0].get_datalim(utility.transData).intervaly) for f in (min, max)
    )
    assert (low, high) == pytest.approx((0.45, 0.85))


def test_the_chosen_layer_is_marked_in_every_panel():
    for chosen, place in ((4, 4), (None, 9)):
        for axes in plot_layer_curves(result(CURVES["points"], chosen)).get_axes():
            (mark,) = [t for t in axes.texts if t.get_text() == "chosen"]
            # the word stays inside its panel
            assert mark.get_ha() == ("right" if place > np.mean(axes.get_xlim()) else "left")
            assert mark.xy[0] == place
    unchosen = plot_layer_curves({**CURVES, "choice": None})
    assert all(not axes.texts for axes in unchosen.get_axes())


@pytest.mark.parametrize("layers", [[None], [3], list(range(48)), [5, None]], ids=str)
def test_any_number_of_layers_is_drawn_and_nothing_global_changes(layers):
    before = dict(mpl.rcParams)
    points = [point(i, part, 0.1, 0.7) for part in ("test", "validation") for i in layers]
    figure = plot_layer_curves(result(points, layers[-1]))
    figure.savefig(io.BytesIO(), format="png")
    assert dict(mpl.rcParams) == before
    assert len(figure.get_axes()[0].get_xticks()) <= 9


def test_curves_themselves_are_taken():
    class Curves:
        def to_dict(self):
            return CURVES

    assert len(plot_layer_curves(Curves()).get_axes()) == 3


@pytest.mark.parametrize("wrong", [{"kind": "audit"}, {}, 3, result([], 0)], ids=str)
def test_another_kind_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="must be of kind 'layer_curves' with a point"):
        plot_layer_curves(wrong)
