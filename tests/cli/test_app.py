"""The program as a whole: help, exit codes, one line on stderr, plugged-in commands."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from isonomy import plugins
from isonomy.cli import main
from isonomy.cli.app import app
from isonomy.cli.exits import one_line
from isonomy.errors import InvalidInputError

COMMANDS = ("demo", "audit", "steer", "collect", "finetune", "report")
runner = CliRunner()


@pytest.fixture
def plug_in() -> Iterator[Callable[..., None]]:
    """Register commands for one test; the registry has no public way to forget."""
    before = dict(plugins._registered)
    yield lambda name, function: plugins.register("commands", name, function)
    plugins._registered.clear()
    plugins._registered.update(before)


def test_help_lists_exactly_the_commands_there_are() -> None:
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    listed = shown.stdout.split("Commands:")[1].split("\n")
    assert tuple(line.split()[0] for line in listed if line.strip()) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_debug(name: str) -> None:
    shown = runner.invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert "--debug" in shown.stdout
    assert "--json" in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_parses_calls_and_prints_in_under_60_lines(name: str) -> None:
    function = plugins.get("commands", name)
    assert len(inspect.getsource(function).splitlines()) < 60


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["audit"], ["audit", "a.csv"], ["--nope"], ["report"], ["steer", "--mode", "x"]],
)
def test_wrong_use_exits_2_and_keeps_stdout_empty(arguments: list[str]) -> None:
    shown = runner.invoke(app, arguments)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr != ""


def test_main_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("isonomy ")
    assert main(["report", "nowhere.json"]) == 2


def test_a_library_error_is_one_line_and_debug_adds_the_trace(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.json")
    shown = runner.invoke(app, ["report", missing])
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1
    assert shown.stderr.startswith("isonomy: error: ")
    traced = runner.invoke(app, ["report", missing, "--debug"])
    assert traced.exit_code == 2
    assert "Traceback" in traced.stderr
    assert traced.stderr.splitlines()[-1] == shown.stderr.rstrip("\n")


def test_a_plugged_in_command_runs_inside_the_same_guard(plug_in: Callable[..., None]) -> None:
    def fail(what: Annotated[str, typer.Argument()]) -> None:
        """Fail on purpose."""
        raise InvalidInputError(f"{what}\nover two lines")

    plug_in("fail", fail)
    assert "Fail on purpose." in runner.invoke(app, ["--help"]).stdout
    shown = runner.invoke(app, ["fail", "it"])
    assert (shown.exit_code, shown.stderr) == (2, "isonomy: error: it over two lines\n")


def test_a_command_interrupted_exits_130_with_one_line(plug_in: Callable[..., None]) -> None:
    def stop() -> None:
        """Stop."""
        raise KeyboardInterrupt

    plug_in("stop", stop)
    shown = runner.invoke(app, ["stop"])
    assert shown.exit_code == 130
    assert shown.stderr == "isonomy: interrupted; nothing was left half-written.\n"


def test_warnings_are_one_line_without_the_path_of_the_library(
    plug_in: Callable[..., None],
) -> None:
    import warnings

    def warn() -> None:
        """Warn."""
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("look\nhere", UserWarning, stacklevel=1)

    plug_in("warn", warn)
    shown = runner.invoke(app, ["warn"])
    assert (shown.exit_code, shown.stderr) == (0, "isonomy: warning: look here\n")


def test_a_broken_plugin_is_named_and_the_other_commands_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from importlib.metadata import EntryPoint

    known = plugins._points

    def with_broken(kind: str) -> list[Any]:
        broken = EntryPoint("broken", "no_such_module_at_all:command", f"isonomy.{kind}")
        return [*known(kind), broken] if kind == "commands" else known(kind)

    monkeypatch.setattr(plugins, "_points", with_broken)
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "'broken' of the commands" in shown.stderr
    assert "broken" not in shown.stdout
    assert runner.invoke(app, ["broken"]).exit_code == 2


@pytest.mark.parametrize("command", ["demo", "audit", "steer"])
def test_a_missing_report_extra_is_told_before_any_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isonomy.cli._outputs.find_spec", lambda name: None)
    (tmp_path / "a.csv").write_text("x,y,g\n1,0,a\n2,1,b\n")
    out = ["-o", str(tmp_path / "out")]
    columns = {
        "demo": [],
        "audit": [str(tmp_path / "a.csv"), "--label", "y", "--prediction", "y", "--group", "g"],
        "steer": [str(tmp_path / "a.csv"), "--label", "y", "--group", "g", "--features", "x"],
    }
    shown = runner.invoke(app, [command, *columns[command], *out])
    assert shown.exit_code == 2
    assert "pip install 'isonomy[report]'" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_control_characters_never_reach_the_terminal() -> None:
    assert one_line("a\x1b[2Jb\r\nc\td\u202e") == "a\\x1b[2Jb c d\\u202e"


def test_the_module_runs_as_a_program_on_a_terminal_without_accents() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "isonomy", "report", "où.json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1
    assert "o\\xf9.json" in shown.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_ends_quietly() -> None:
    command = [sys.executable, "-m", "isonomy", "--help"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    assert "Traceback" not in program.stderr.read()
    program.stderr.close()
    assert program.wait(timeout=60) in (0, 1, 141)
