"""Put the commands together and run them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from isonomy._version import __version__
from isonomy.cli.exits import INTERRUPTED, complain
from isonomy.cli.guard import GuardedGroup

__all__ = ["app", "run"]

# plain help and plain errors: nothing a user typed is ever read as markup
app = typer.Typer(
    name="isonomy",
    cls=GuardedGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"isonomy {__version__}\n")
        raise typer.Exit


@app.callback()
def describe(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Judge a classifier's treatment of groups, and steer its data to equal laws.

    Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a --fail-if
    criterion holds, 2 wrong use or unusable data, 130 interrupted.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on ``arguments`` and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # a letter that the terminal lacks is shown as an escape instead of ending the run
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="isonomy")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        complain("interrupted.")
        return INTERRUPTED
    return 0
