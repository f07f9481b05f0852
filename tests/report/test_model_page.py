"""A steered language model's report: its section, its chart at both widths, and its card."""

from __future__ import annotations

import json
from typing import Any

import pytest
from matplotlib.text import Text

from isonomy.report import render, render_card
from isonomy.report._formats import build_page
from isonomy.report._layer_chart import layer_curves_blocks
from report_samples import HOSTILE, comparison_result


def measured(value: float | None, half: float = 0.05) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": value - half, "high": value + half, "n": 200}


def curves(n_layers: int = 4) -> dict[str, Any]:
    points = [
        {
            "layer": None if i == n_layers else i,
            "part": part,
            "probe_accuracy": measured(0.6 + 0.01 * i),
            "probe_chance": 0.55,
            "probe_within": measured(0.65),
            "probe_within_chance": 0.6,
            "accuracy": measured(0.7 + 0.02 * i),
            "macro_f1": measured(0.6 + 0.02 * i),
            "gap": measured(0.08 - 0.03 * i if i else None),
            "gap_plain": 0.1,
            "converged": True,
        }
        for part in ("validation", "test")
        for i in range(n_layers + 1)
    ]
    return {
        "kind": "layer_curves",
        "choice": {"layer": 2},
        "n_rows": {"train": 600, "validation": 200, "test": 200},
        "points": points,
    }


def result(**changes: Any) -> dict[str, Any]:
    model = {
        "base_model": "owner/small",
        "is_local": False,
        "revision": "abc",
        "architecture": "LlamaForCausalLM",
        "n_blocks": 4,
        "hidden_size": 256,
        "dtype": "float32",
        "site": "residual",
        "layer": 2,
        "positions": "mean",
        "max_length": 128,
        "mode": "given",
        "classes": ["nurse", "surgeon"],
        "groups": ["F", "M"],
        "choice": {"why": "Block 2 it is.", "curves": curves()},
        "method_why": "Chosen on validation rows.",
        "has_adapters": True,
        "adapter_folders": ["F", "M"],
        "serving": [{"what": "A classifier", "where": "classifier/", "how": "exact"}],
        "verified": [{"what": "classifier", "n": 64, "n_same": 63, "largest_difference": 2e-6}],
        "figures": [{"file": "figures/layer_curves.png", "title": "Layers"}],
        "files": [{"name": "report.json", "what": "the numbers"}],
    }
    return comparison_result() | {"steered_model": model | changes}


def test_the_section_says_where_and_what_serves_it() -> None:
    text = render(result(), "markdown")
    assert "## The language model" in text
    assert "the output of the block, block 2 of 4 (from 0), for the mean over the tokens" in text
    assert "63 of 64 decisions as before writing" in text
    assert "sensitive_features=['F']" in text
    assert '"DIR/adapters/F")  # one a group: that of the text' in text
    assert "| input of the head | 78.0 |" in text
    assert "The language model" not in render(comparison_result(), "markdown")


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("n_layers", [1, 4, 33])
def test_the_chart_is_readable_at_both_widths(width: Any, n_layers: int) -> None:
    chart = layer_curves_blocks(curves(n_layers) | {"choice": {"layer": 0}})[0]
    figure = chart.draw(width)
    assert round(figure.get_size_inches()[0] * 72) == (960 if width == "wide" else 300)
    assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 12
    figure.canvas.draw()
    right = figure.bbox.x1
    inside = [t.get_window_extent().x1 <= right + 1 for t in figure.findobj(Text) if t.get_text()]
    assert all(inside)


def test_curves_without_a_choice_are_drawn_too() -> None:
    blocks = layer_curves_blocks(curves() | {"choice": None})
    blocks[0].draw("wide")
    assert "Chosen" not in blocks[0].description


def test_the_card_has_the_head_that_hubs_read() -> None:
    card = render_card(result())
    head, body = card.split("---\n")[1], card.split("---\n", 2)[2]
    for line in ('base_model: "owner/small"', "library_name: peft", "    - type: accuracy"):
        assert line in head
    for title in ("What this is", "How to use it", "What it does not promise", "The certificate"):
        assert f"## {title}\n" in body
    assert "![Layers](figures/layer_curves.png)" in body
    assert "base_model" not in render_card(result(is_local=True)).split("---\n")[1]


def test_names_that_look_like_markup_stay_text() -> None:
    hostile = result(base_model=HOSTILE[0], groups=list(HOSTILE), classes=list(HOSTILE))
    page = render(hostile)
    assert "<script>alert" not in page
    card = render_card(hostile)
    outside = "".join(card.split("---\n", 2)[2].split("```")[::2])  # a fence is verbatim
    assert "<script>alert" not in outside
    assert json.dumps(HOSTILE[0]) in card


def test_an_older_result_without_serving_is_shown() -> None:
    page = build_page(result(serving=[], verified=[], files=[], choice=None, figures=[]))
    assert any(section.name == "model" for section in page.sections)
