"""The outermost edge: find a command by its name, run it, and turn errors into one line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from isonomy import plugins
from isonomy.cli.exits import BROKEN_PIPE, DEBUG_KEY, INTERRUPTED, WRONG_USE, complain
from isonomy.errors import IsonomyError

__all__ = ["GuardedGroup"]

FIRST = ("demo", "audit", "steer", "collect", "finetune", "report")
"""The order in which our own commands are listed; others follow by name."""


class GuardedGroup(TyperGroup):
    """The command group: ours and plugged-in commands come through the same entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands that can be loaded."""
        known = plugins.names("commands")
        ordered = [n for n in FIRST if n in known] + [n for n in known if n not in FIRST]
        return [name for name in ordered if _loads(name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load one command; the others are not imported."""
        if cmd_name not in plugins.names("commands"):
            return None
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(cmd_name)(plugins.get("commands", cmd_name))
        return typer.main.get_command(alone)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; turn what it raises into a line and an exit code."""
        with _plain_warnings(), _terminable():
            try:
                outcome = super().invoke(ctx)
                sys.stdout.flush()
                return outcome
            except IsonomyError as error:
                _explain(f"error: {error}", debug=ctx.meta.get(DEBUG_KEY, False))
                raise typer.Exit(WRONG_USE) from None
            except BrokenPipeError:
                _forget_stdout()
                raise typer.Exit(BROKEN_PIPE) from None
            except KeyboardInterrupt as stop:
                message = str(stop) or "interrupted; nothing was left half-written."
                _explain(message, debug=ctx.meta.get(DEBUG_KEY, False))
                raise typer.Exit(INTERRUPTED) from None


def _loads(name: str) -> bool:
    try:
        plugins.get("commands", name)
    except IsonomyError as error:
        complain(f"warning: {error}")
        return False
    return True


def _explain(message: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    complain(message)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show each warning as one line without the path of the library."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files are removed."""

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: nobody sends signals there
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget_stdout() -> None:
    """Keep Python's own flush at exit from failing on the closed pipe."""
    try:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
    except (OSError, ValueError):  # stdout has no descriptor, as under a test runner
        return
