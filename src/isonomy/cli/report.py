"""``isonomy report``: show a saved result again, in another format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from isonomy import plugins
from isonomy.artefact import write_text_atomic
from isonomy.cli.options import Debug
from isonomy.report import load_result

__all__ = ["report"]

BY_SUFFIX = {".html": "html", ".htm": "html", ".md": "markdown", ".json": "json"}


def report(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT.json", help="What demo, audit or steer wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write here instead of to stdout."),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="html, markdown, json or a plugin's. Default: by -o's suffix, else markdown.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    debug: Debug = False,
) -> None:
    """Show a saved result in another format.

    The same result always gives the same bytes. Without -o the text goes to stdout.
    """
    suffix = output.suffix.lower() if output else ".md"
    chosen = format_name or ("json" if as_json else BY_SUFFIX.get(suffix, "html"))
    render = plugins.get("report_formats", chosen)
    text = render(load_result(result))
    if output is None:
        sys.stdout.write(text)
        return
    write_text_atomic(output, text)
    sys.stdout.write(f"{output}\n")
