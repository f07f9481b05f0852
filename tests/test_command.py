"""The command without its extra: one line that says what to install, and exit code 2."""

from __future__ import annotations

import runpy
import sys

import pytest

from isonomy.cli import INSTALL_LINE, main


@pytest.fixture
def bare_core(monkeypatch):
    """Hide typer, as if the extra were not installed."""
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in [n for n in sys.modules if n.startswith("isonomy.cli.")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_bare_command_names_the_extra(bare_core, capsys):
    assert main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == INSTALL_LINE + "\n"
    assert "pip install 'isonomy[cli]'" in err


def test_python_m_does_the_same(bare_core, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["isonomy"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("isonomy", run_name="__main__")
    assert capsys.readouterr().err == INSTALL_LINE + "\n"


def test_a_missing_module_of_another_kind_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "isonomy.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"isonomy\.cli\.app"):
        main([])
