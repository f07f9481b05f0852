"""One result in, one page out: HTML, Markdown or JSON.

>>> from isonomy.report import load_result, render
>>> page = render(load_result("report.json"))  # doctest: +SKIP
"""

from __future__ import annotations

from isonomy.report._card import render_card
from isonomy.report._formats import render_html, render_json, render_markdown
from isonomy.report._plots import plot_audit
from isonomy.report._render import FORMATS, render
from isonomy.report._results import dump_result, load_result
from isonomy.report.frontier import plot_frontier
from isonomy.report.layer_curves import plot_layer_curves
from isonomy.report.layer_profile import plot_layer_profile
from isonomy.report.probe_cost import plot_probe_cost

__all__ = [
    "FORMATS",
    "dump_result",
    "load_result",
    "plot_audit",
    "plot_frontier",
    "plot_layer_curves",
    "plot_layer_profile",
    "plot_probe_cost",
    "render",
    "render_card",
    "render_html",
    "render_json",
    "render_markdown",
]
