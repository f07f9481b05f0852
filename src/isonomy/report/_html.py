"""A page as one self-contained HTML file: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isonomy.errors import MissingExtraError
from isonomy.report._canvas import to_svg
from isonomy.report._document import Chart, Page, Width

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["write_html"]


def write_html(page: Page) -> str:
    """Return ``page`` as HTML, every name escaped, figures inline.

    Raises
    ------
    MissingExtraError
        If Jinja2 or Matplotlib is not installed.
    """
    template = _environment().get_template("page.html.j2")
    return template.render(page=page) + "\n"


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError(
            "An HTML report needs Jinja2, which is not installed. Install it with "
            "`pip install isonomy[report]`."
        ) from error
    environment = Environment(
        loader=PackageLoader("isonomy.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["draw"] = _draw
    return environment


def _draw(chart: Chart, width: Width) -> Any:
    """Return a chart as SVG that is safe to stand in the page as it is."""
    from markupsafe import Markup

    svg = to_svg(
        chart.draw(width),
        name=f"{chart.name}-{width}",
        title=chart.title,
        description=chart.description,
    )
    return Markup(svg)  # noqa: S704 - made by to_svg, which escapes every string of the user
