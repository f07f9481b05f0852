"""The figure of a layer profile shows every number where it belongs, and stays readable."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from isonomy import plugins
from isonomy.errors import InvalidInputError

mpl = pytest.importorskip("matplotlib", reason="figures need the extra `report`")

from matplotlib.text import Text  # noqa: E402

from isonomy.report import plot_layer_profile  # noqa: E402
from isonomy.report._document import Table  # noqa: E402
from isonomy.report._profile_chart import layer_profile_blocks  # noqa: E402


def profile(n_layers: int = 3, n_labels: int = 4, **changes: Any) -> dict[str, Any]:
    rise = [[0.1 * layer + k for k in range(n_labels)] for layer in range(n_layers)]
    made = {
        "kind": "layer_profile",
        "layers": list(range(n_layers)),
        "classes": [f"a label of many words {k}" for k in range(n_labels)],
        "n": [10 + k for k in range(n_labels)],
        "n_rows": 100,
        "rest_mean": [[-1.0] * n_labels for _ in range(n_layers)],
        "label_mean": [[r - 1.0 for r in row] for row in rise],
        "propensity": [0.5 + 0.1 * i for i in range(n_layers)],
        "discriminability_mean": [sum(row) / n_labels for row in rise],
        "discriminability_std": [1.0] * n_layers,
        "discriminability_min": [row[0] for row in rise],
    }
    return made | changes


CHOICE = {"layer": 1, "sentence": "Layer 1 of 3 (from 0), the middle one."}


def line(axes: Any, label: str) -> tuple[list[float], list[float]]:
    (found,) = [x for x in axes.get_lines() if x.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def test_numbers_stand_where_they_were_measured() -> None:
    propensity, told, labels = plot_layer_profile(profile()).get_axes()
    assert line(propensity, "std over labels") == ([0, 1, 2], [0.5, 0.6, 0.7])
    assert line(told, "mean over labels")[1] == pytest.approx([1.5, 1.6, 1.7])
    band = told.collections[0].get_datalim(told.transData)
    # from the least label of layer 0 to the greatest of layer 2
    assert (band.y0, band.y1) == pytest.approx((0.0, 3.2))
    assert [t.get_text() for t in told.get_xticklabels()] == ["0", "1", "2"]
    x, y = line(labels, "texts with it")
    # worst told on top
    assert x == pytest.approx([-0.8, 0.2, 1.2, 2.2]) and y == [3, 2, 1, 0]
    assert line(labels, "texts without it")[0] == [-1.0] * 4
    assert labels.get_yticklabels()[0].get_text() == "a label of many w\u2026"


def test_the_chosen_layer_is_marked_over_the_layers() -> None:
    for chosen, side in ((0, "left"), (2, "right")):
        panels = plot_layer_profile(profile(), chosen=chosen).get_axes()
        for axes in panels[:2]:
            (mark,) = [t for t in axes.texts if t.get_text() == "chosen"]
            assert (mark.get_ha(), mark.xy[0]) == (side, chosen)
        assert not panels[2].texts
    assert not plot_layer_profile(profile()).get_axes()[0].texts
    with pytest.raises(InvalidInputError, match="`chosen` of `plot_layer_profile` must be one of"):
        plot_layer_profile(profile(), chosen=3)


def test_undefined_numbers_are_left_out() -> None:
    wanting = profile(label_mean=[[None] * 4] * 3, discriminability_mean=[None] * 3)
    _, told, labels = plot_layer_profile(wanting).get_axes()
    assert np.isnan(line(told, "mean over labels")[1]).all()
    assert np.isnan(line(labels, "texts with it")[0]).all()
    mixed = profile(label_mean=[[None, 0.0, 1.0, 2.0]] * 3)
    _, _, labels = plot_layer_profile(mixed).get_axes()
    # a label without texts comes behind those with
    assert line(labels, "texts with it")[0][:3] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("n_layers", "n_labels"), [(1, 2), (48, 3), (4, 77)])
def test_any_number_of_layers_and_labels_is_drawn_and_nothing_global_changes(
    n_layers: int, n_labels: int
) -> None:
    before = dict(mpl.rcParams)
    figure = plot_layer_profile(profile(n_layers, n_labels), chosen=0)
    figure.savefig(io.BytesIO(), format="png")
    assert dict(mpl.rcParams) == before
    propensity, _, labels = figure.get_axes()
    assert len(propensity.get_xticks()) <= 9 and len(labels.get_yticks()) == min(n_labels, 14)


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize(("n_layers", "n_labels"), [(1, 2), (33, 77)])
def test_the_chart_is_readable_at_both_widths(width: Any, n_layers: int, n_labels: int) -> None:
    chart = layer_profile_blocks(profile(n_layers, n_labels), {"layer": 0, "sentence": "Zero."})[0]
    figure = chart.draw(width)  # type: ignore[union-attr]
    assert round(figure.get_size_inches()[0] * 72) == (960 if width == "wide" else 300)
    written = [t for t in figure.findobj(Text) if t.get_text()]
    assert min(t.get_fontsize() for t in written) >= 12
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in written if t.get_visible()]
    assert all(b.x0 >= -1 and b.x1 <= figure.bbox.x1 + 1 for b in boxes)


def test_the_tables_hold_all_numbers() -> None:
    chart, fold = layer_profile_blocks(profile(), CHOICE)
    assert "the middle one" in chart.description and "100 texts" in chart.caption  # type: ignore[union-attr]
    by_layer, by_label = (b for b in fold.blocks if isinstance(b, Table))  # type: ignore[union-attr]
    assert by_layer.rows[1] == ("block 1", "0.60", "1.60", "1.00", "0.10")
    assert by_label.rows[3] == ("a label of many words 3", "13", "2.20", "-1.00", "3.20")
    (plain, _) = layer_profile_blocks(profile(4, 77))
    assert "the 14 of 77 that are told worst" in plain.caption  # type: ignore[union-attr]


def test_the_plugin_draws_it() -> None:
    draw = plugins.get("report_formats", "figure")
    assert len(draw(profile(), "layer_profile").get_axes()) == 3
    with pytest.raises(InvalidInputError, match="`kind` of `draw_figure` must be one of"):
        draw(profile(), "rates")
    with pytest.raises(InvalidInputError, match="`kind` of `plot_audit` must be one of"):
        draw({"kind": "audit"}, "layer_profile")


@pytest.mark.parametrize("wrong", [{"kind": "audit"}, {}, 3, profile(0, 0)], ids=str)
def test_another_kind_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match="must be of kind 'layer_profile' with a layer"):
        plot_layer_profile(wrong)
