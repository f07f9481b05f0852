"""Tables on a terminal and in a pipe, and progress that only a terminal sees."""

from __future__ import annotations

import io
import json
import sys

import pytest

from isonomy.cli.printing import format_interval, format_number, print_json, print_lines, print_rows
from isonomy.cli.progress import show_progress

ROWS = [["[bold]women[/bold]", "0.5"], ["men\x1b[31m", "12.25"]]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("Rates", ["group", "rate"], ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "Rates",
        "  group                rate",
        "  [bold]women[/bold]    0.5",
        "  men\\x1b[31m         12.25",
    ]


def test_a_terminal_gets_a_table_and_markup_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    print_rows("Rates", ["group", "rate"], ROWS)
    shown = screen.getvalue()
    assert "[bold]women[/bold]" in shown
    assert "men\\x1b[31m" in shown
    assert "\x1b[31m" not in shown


def test_undefined_numbers_are_a_dash() -> None:
    assert (format_number(None), format_number(float("nan"))) == ("-", "-")
    assert format_number(0.12345) == "0.123"
    assert (format_interval(None, 0.2), format_interval(-0.1, 0.2)) == ("-", "[-0.100, 0.200]")


def test_lines_keep_their_indent_and_lose_their_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(["  a  b\nc", ""])
    assert capsys.readouterr().out == "  a  b c\n\n"


def test_json_keeps_order_and_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": "Orléans", "a": None})
    text = capsys.readouterr().out
    assert list(json.loads(text)) == ["b", "a"]
    assert "Orléans" in text


@pytest.mark.parametrize(("quiet", "seen"), [(False, True), (True, False)])
def test_progress_is_seen_on_a_terminal_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, seen: bool
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(quiet=quiet) as report:
        report("steering [bold]x", 1, 2)
    assert ("steering [bold]x" in screen.getvalue()) is seen


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=False) as report:
        report("steering", 1, 2)
    assert capsys.readouterr() == ("", "")
