"""``render`` finds formats where everybody's are: among the plugins."""

from __future__ import annotations

import pytest

from isonomy import plugins
from isonomy.errors import InvalidInputError, PluginError
from isonomy.report import FORMATS, render
from report_samples import audit_result


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A third party's distribution with two report formats, for one test."""
    folder = tmp_path / "acme_reports-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reports\n")
    points = "acme_text = acme_reports:text\nacme_number = acme_reports:number\n"
    (folder / "entry_points.txt").write_text(f"[isonomy.report_formats]\n{points}")
    (tmp_path / "acme_reports.py").write_text(
        'def text(result): return f\'{result["kind"]} of {result["n_samples"]} rows\'\n'
        "def number(result): return result['n_samples']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_format_of_a_third_party_works_by_its_name():
    assert render(audit_result(), "acme_text") == "audit of 2400 rows"


@pytest.mark.usefixtures("installed")
def test_the_variable_that_limits_plugins_limits_formats(monkeypatch):
    monkeypatch.setenv(plugins.ALLOW_VARIABLE, "")
    with pytest.raises(InvalidInputError, match="'html', 'json', 'markdown', got 'acme_text'"):
        render(audit_result(), "acme_text")


@pytest.mark.usefixtures("installed")
def test_a_format_that_returns_no_text_is_named():
    with pytest.raises(PluginError, match="'acme_number' must return text, got int"):
        render(audit_result(), "acme_number")


def test_the_built_in_formats_are_registered_and_figures_are_none():
    assert set(FORMATS) <= set(plugins.names("report_formats"))
    with pytest.raises(InvalidInputError, match="got 'figure'"):
        render(audit_result(), "figure")
