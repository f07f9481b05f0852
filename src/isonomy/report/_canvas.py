"""A sheet to draw on: Matplotlib figures in pixels, and their way into a page as SVG.

Figures are made through Matplotlib's object API with a private ``rc_context``: nothing
global changes. In the SVG, text stays text (it can be read aloud, searched and takes the
page's font) and every colour becomes a CSS variable, so one drawing serves light, dark
and print. The same figure gives the same bytes: fixed hash salt, no dates.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from isonomy.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "new_figure", "new_panel", "plain_settings", "to_svg", "write"]

COLOURS: dict[str, str] = {
    "ink": "#1c2229",
    "muted": "#5b6572",
    "rule": "#c3c9d1",
    "grid": "#e4e7eb",
    "band": "#f1f4f8",
    "paper": "#fefefd",
    "before": "#6b7480",
    "blind": "#0f62a6",
    "given": "#b34a10",
    "inferred": "#7b3f92",
}
"""The light palette, told apart under the common forms of colour blindness (and every
group use has its own marker too). ``page.css.j2`` holds the dark one."""

_DOTS_PER_INCH = 72  # so that one SVG unit is one pixel
_FONT = re.compile(r"font-family: [^;\"]+;? ?")
_IDENTIFIER = re.compile(r'(\bid="|xlink:href="#|url\(#)')
_EMPTY_ROTATION = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
_HEAD = re.compile(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>")
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_GLOBAL_STYLE = re.compile(r"\s*<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_LINE_BREAK_IN_PATH = re.compile(r" ?\n(?=[MLCQz\"])")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of ``width`` x ``height`` pixels, on a clear background."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DOTS_PER_INCH, height / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
    figure.patch.set_visible(False)
    return figure


def new_panel(figure: Figure, *, left: float, top: float, width: float, height: float) -> Axes:
    """Return bare axes at a place in pixels, measured from the upper left corner."""
    full_width, full_height = figure.get_size_inches() * _DOTS_PER_INCH
    axes = figure.add_axes(
        (
            left / full_width,
            1 - (top + height) / full_height,
            width / full_width,
            height / full_height,
        )
    )
    axes.set_axis_off()
    return axes


def write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write ``text`` at data coordinates, never reading it as mathematics."""
    fixed: dict[str, Any] = {"parse_math": False, "clip_on": False, "va": "center_baseline"}
    axes.text(x, y, text, **{"color": COLOURS["ink"], "fontsize": 13, **style, **fixed})


@contextmanager
def plain_settings() -> Iterator[None]:
    """Draw with Matplotlib's defaults, whatever the caller has set; put that back after.

    Glyphs that only the reader's browser has are no reason to warn: text stays text.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError(
            "Figures need Matplotlib, which is not installed. Install it with "
            "`pip install isonomy[report]`."
        ) from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rc("svg", fonttype="none", hashsalt="isonomy")
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield


def to_svg(figure: Figure, *, name: str, title: str, description: str) -> str:
    """Return the figure as an SVG element to stand inside an HTML page.

    Parameters
    ----------
    figure : Figure
        A figure of this module; colours of :data:`COLOURS` become CSS variables.
    name : str
        Prefix of every identifier, unique on the page; letters, digits and hyphens.
    title, description : str
        Read aloud in place of the picture; escaped here.

    Returns
    -------
    str
        One ``<svg role="img">`` element; the same figure gives the same text.
    """
    stream = StringIO()
    with plain_settings():
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue(), name=name, title=title, description=description)


def _inline(svg: str, *, name: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg ") :].rstrip()
    # Only markup is edited: user text sits between tags and is left alone.
    pieces = re.split(r"(<[^>]*>)", _GLOBAL_STYLE.sub("", _METADATA.sub("", svg)))
    svg = "".join(_edit_tag(p, name) if p.startswith("<") else p for p in pieces)
    svg = re.sub(r">\n\s*<", "><", svg)
    head = _HEAD.search(svg)
    assert head is not None
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="chart" viewBox="{head.group(1)}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" font-family="system-ui, sans-serif" '
        f'stroke-linejoin="round"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    return svg[: head.start()] + opening + svg[head.end() :]


def _edit_tag(tag: str, name: str) -> str:
    tag = _EMPTY_ROTATION.sub("", _FONT.sub("", tag))
    tag = _IDENTIFIER.sub(rf"\g<1>{name}-", tag)
    tag = _LINE_BREAK_IN_PATH.sub(" ", tag)
    for variable, colour in COLOURS.items():
        tag = tag.replace(colour, f"var(--{variable}, {colour})")
    return tag
