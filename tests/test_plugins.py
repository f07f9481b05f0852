"""Names find objects, ours and other people's, and every failure names its plugin."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from isonomy import plugins
from isonomy.errors import InvalidInputError, MissingExtraError, PluginError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with entry points, for one test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, group: str, **points: str) -> Path:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (folder / "entry_points.txt").write_text(f"[isonomy.{group}]\n" + "\n".join(lines))
        return tmp_path

    return install


OURS = {
    "methods": {"ideal_steerer", "mean_matching", "mimic", "leace", "reweighing"},
    "metrics": {"tpr_gap", "rms_tpr_gap", "demographic_parity_difference"},
    "datasets": {"biased_normals", "biographies", "tables", "real_biographies"},
    "report_formats": {"html", "json", "markdown"},
    "commands": {"demo", "audit", "steer", "report"},
}


@pytest.mark.parametrize("kind", OURS)
def test_our_own_parts_register_through_the_same_hooks(kind):
    assert set(plugins.names(kind)) >= OURS[kind]


def every_built_in():
    distribution = Distribution.from_name("isonomy")
    return [p for p in distribution.entry_points if p.group.startswith("isonomy.")]


@pytest.mark.parametrize("point", every_built_in(), ids=lambda p: f"{p.group}:{p.name}")
def test_every_built_in_loads_and_can_be_called(point):
    kind = point.group.removeprefix("isonomy.")
    assert callable(plugins.get(kind, point.name))


def test_a_plugin_of_another_distribution_is_found(install):
    folder = install("acme-gaps", "metrics", acme_gap="acme_gaps:gap")
    (folder / "acme_gaps.py").write_text("def gap(): return 'acme'\n")
    assert "acme_gap" in plugins.names("metrics")
    assert plugins.get("metrics", "acme_gap")() == "acme"


def test_listing_names_imports_nothing(install):
    folder = install("acme-gaps", "metrics", acme_gap="acme_lazy:gap")
    (folder / "acme_lazy.py").write_text("raise RuntimeError('imported')\n")
    plugins.names("metrics")
    assert "acme_lazy" not in sys.modules


@pytest.mark.parametrize(
    "code",
    ["import no_such_module", "raise ValueError('bad')", "1/", "x = undefined", "pass"],
)
def test_a_broken_plugin_fails_only_when_asked_for(install, code, monkeypatch):
    folder = install("acme-gaps", "metrics", acme_gap="acme_broken:gap")
    monkeypatch.delitem(sys.modules, "acme_broken", raising=False)
    (folder / "acme_broken.py").write_text(code + "\n")
    assert plugins.get("report_formats", "json")
    with pytest.raises(
        PluginError, match=r"'acme_gap' of the metrics, from the distribution 'acme-gaps'"
    ):
        plugins.get("metrics", "acme_gap")


def test_two_plugins_with_one_name_clash(install):
    install("acme-gaps", "metrics", tpr_gap="acme_gaps:gap")
    with pytest.raises(PluginError, match=r"claimed by acme-gaps .*, isonomy"):
        plugins.get("metrics", "tpr_gap")


def test_the_environment_variable_chooses_whose_plugins_load(install, monkeypatch):
    install("Acme_Gaps", "metrics", acme_gap="acme_gaps:gap")
    install("other-gaps", "metrics", other_gap="other_gaps:gap", tpr_gap="other_gaps:gap")
    monkeypatch.setenv("ISONOMY_PLUGINS", "acme.gaps, absent")
    assert "acme_gap" in plugins.names("metrics")
    assert "other_gap" not in plugins.names("metrics")
    assert plugins.get("metrics", "tpr_gap")
    monkeypatch.setenv("ISONOMY_PLUGINS", "")
    assert "acme_gap" not in plugins.names("metrics")
    assert "tpr_gap" in plugins.names("metrics")


def test_an_unknown_name_lists_the_known_and_the_close_ones():
    with pytest.raises(PluginError, match=r"markdown; got 'htlm'\. Did you mean 'html'\?"):
        plugins.get("report_formats", "htlm")


def test_an_unknown_kind_is_refused():
    for call in (plugins.names, lambda kind: plugins.get(kind, "x")):
        with pytest.raises(InvalidInputError, match="must be one of 'methods', 'metrics'"):
            call("metric")


def test_a_registered_object_is_found_and_may_be_registered_again():
    def gap():
        return 0.0

    plugins.register("metrics", "my_gap", gap)
    plugins.register("metrics", "my_gap", gap)
    assert plugins.get("metrics", "my_gap") is gap
    assert "my_gap" in plugins.names("metrics")


@pytest.mark.parametrize("name", ["tpr_gap", "my_gap"])
def test_registering_a_taken_name_clashes(name):
    plugins.register("metrics", "my_gap", len)
    with pytest.raises(PluginError, match=rf"already have '{name}'"):
        plugins.register("metrics", name, max)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é"])
def test_a_name_has_plain_characters(name):
    with pytest.raises(PluginError, match="must be letters, digits"):
        plugins.register("metrics", name, max)


def missing(name):
    def load(_self):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return load


def test_a_built_in_without_its_extra_names_the_extra(monkeypatch):
    monkeypatch.setattr(EntryPoint, "load", missing("jinja2"))
    with pytest.raises(MissingExtraError, match=r"'html'.* pip install 'isonomy\[report\]'"):
        plugins.get("report_formats", "html")


def test_a_missing_module_of_our_own_is_no_missing_extra(monkeypatch):
    monkeypatch.setattr(EntryPoint, "load", missing("isonomy.report"))
    with pytest.raises(PluginError, match="cannot be loaded: ModuleNotFoundError"):
        plugins.get("report_formats", "html")


def test_an_error_of_ours_passes_as_it_is(monkeypatch):
    def load(_self):
        raise MissingExtraError("names its extra")

    monkeypatch.setattr(EntryPoint, "load", load)
    with pytest.raises(MissingExtraError, match="names its extra"):
        plugins.get("commands", "demo")
