"""The HTML page: complete, self-contained, escaped, accessible, the same for the same result."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from isonomy.errors import MissingExtraError
from isonomy.report import render, render_html
from report_samples import HOSTILE, METHODS, audit_result, comparison_result, hostile_result

VOID = {"meta", "link", "br", "hr", "img", "input", "use", "path", "rect"}


class Reader(HTMLParser):
    """Collects tags, attributes, visible text and identifiers of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def find(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


read = functools.cache(Reader)


def binary_audit():
    return audit_result(["no", "yes"], ("a, x", "b, y", "c, z"))


@pytest.fixture(scope="module")
def comparison():
    return render_html(comparison_result())


@pytest.fixture(scope="module")
def audit():
    return render_html(binary_audit())


@pytest.fixture(scope="module")
def hostile():
    return render_html(hostile_result())


def test_the_same_result_gives_the_same_bytes_in_another_process(audit, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(render(binary_audit(), "json"), encoding="utf-8")
    code = (
        "import sys; from isonomy.report import load_result, render; "
        "sys.stdout.buffer.write(render(load_result(sys.argv[1])).encode())"
    )
    again = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert again.stdout == audit.encode()


def test_the_page_does_not_depend_on_the_callers_matplotlib_settings(audit):
    import matplotlib

    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 40, "svg.fonttype": "path"}):
        assert render_html(binary_audit()) == audit
        assert matplotlib.rcParams["font.size"] == 40


@pytest.mark.parametrize("page", ["comparison", "audit", "hostile"])
def test_tags_close_and_identifiers_are_unique(page, request):
    reader = read(request.getfixturevalue(page))
    assert reader.open == []
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attrs in reader.tags:
        for name in ("href", "xlink:href"):
            if name in attrs:
                assert attrs[name][1:] in ids


@pytest.mark.parametrize("page", ["comparison", "audit", "hostile"])
def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(page, request):
    text = request.getfixturevalue(page)
    reader = read(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {
        tag for tag, _ in reader.tags
    }
    for _, attrs in reader.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "src"]
        for name in ("href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "{{" not in styles
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "promise",
    [
        "What could not be estimated",
        "Does a decision use the group?",
        "This is not legal advice: ask counsel",
        "Civil Rights Act of 1991, section 106",
        "Regulation B",
        "GDPR Articles 9 and 22",
        "Article 10(5) of the AI Act",
        "Who is in the data",
        "Rows of every class and group",
        "Class by class",
        "Rare classes, listed apart",
        "Rates of every group",
        "All methods in numbers",
        "The certificate",
        "moved the data by 0.31 nats",
        "How to reproduce this",
        "isonomy demo --random-state 0",
        "hmac-sha256:3f9ad0c1",
        "Before (Untouched):",
        "After (Calibrated offsets):",
        "it is not built into this version",
        "Are people of each occupation recognised equally often",
        "How to read this report",
        *(label for _, label, *_ in METHODS),
    ],
)
def test_the_page_of_a_comparison_keeps_its_promises(promise, comparison):
    assert promise in "".join(read(comparison).text)


@pytest.mark.parametrize(
    "promise",
    ["Differences between groups", "a, x", "95% interval", "no `y_score` was given", "reference"],
)
def test_the_page_of_an_audit_keeps_its_promises(promise, audit):
    text = "".join(read(audit).text)
    assert promise in text
    assert "Before (" not in text


@pytest.mark.parametrize("page", ["comparison", "audit", "hostile"])
def test_no_undefined_number_is_shown_as_nan_none_or_python(page, request):
    words = set(re.findall(r"[A-Za-z]+", " ".join(read(request.getfixturevalue(page)).text)))
    assert not words & {"nan", "NaN", "None", "null", "inf", "Undefined", "Markup"}


def test_figures_have_names_and_tables_have_scopes(comparison):
    reader = read(comparison)
    ids = {a["id"] for _, a in reader.tags if "id" in a}
    figures = reader.find("svg")
    assert len(figures) == 2 * len(reader.find("figure")) > 0
    for attrs in figures:
        assert attrs["role"] == "img"
        assert set(attrs["aria-labelledby"].split()) <= ids
    assert len(reader.find("title")) == len(figures) + 1
    assert len(reader.find("desc")) == len(figures)
    assert all(attrs.get("scope") in {"col", "row"} for attrs in reader.find("th"))
    assert len(reader.find("caption")) == len(reader.find("table"))
    assert len(reader.find("h1")) == 1
    assert reader.find("html") == [{"lang": "en"}]


def test_light_dark_print_and_narrow_screens_are_served(comparison):
    for query in ("prefers-color-scheme: dark", "@media print", "max-width: 720px"):
        assert query in comparison
    assert "var(--ink, #1c2229)" in comparison


def test_hostile_names_are_text_and_never_markup(hostile):
    reader = read(hostile)
    assert "<script" not in hostile.lower()
    assert "</svg></style>" not in hostile
    text = "".join(reader.text)
    assert HOSTILE[0] in text
    assert HOSTILE[2] in text
    assert "49" not in reader.find("title")[0].values()
    assert HOSTILE[3] in text
    assert "\u202e" not in hostile
    assert "\x00" not in hostile


def test_hostile_names_in_figures_are_not_read_as_mathematics(hostile):
    figures = re.findall(r"<svg.*?</svg>", hostile, re.DOTALL)
    assert any(">$\\alpha_{x}$ from $5 to $6</text>" in figure for figure in figures)
    assert any("&lt;script&gt;alert(1)&lt;/script&gt;</text>" in figure for figure in figures)


def test_a_title_with_braces_is_not_evaluated():
    result = binary_audit()
    result["title"] = "{{ 7 * 7 }}{{ page.__class__ }}"
    page = render_html(result)
    assert "{{ 7 * 7 }}{{ page.__class__ }}" in page


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_without_the_extra_html_names_it(module, monkeypatch):
    for name in [m for m in sys.modules if m == module or m.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"isonomy\[report\]"):
        render_html(binary_audit())


def test_without_the_extra_the_other_formats_still_work():
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['jinja2'] = None\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from report_samples import comparison_result\n"
        "from isonomy.report import render\n"
        "assert 'After (Calibrated offsets)' in render(comparison_result(), 'markdown')\n"
        "assert render(comparison_result(), 'json').startswith('{')\n"
    )
    folder = str(next(p for p in sys.path if p.endswith("tests")))
    subprocess.run([sys.executable, "-c", code, folder], check=True)


def test_when_the_main_method_has_no_certificate_those_of_others_are_shown():
    result = comparison_result(["a", "b"])
    page = render_html(result)
    assert "Calibrated offsets carries no certificate" in page
    assert "Certificate of Ideal steering, blind" in page
    result["main_method"] = "ideal_blind"
    assert "carries no certificate" not in render_html(result)
