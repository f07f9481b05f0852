"""The report as a person meets it: seen, read, reached by keyboard, printed, and inert."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from browser import devtools
from browser.conftest import ESCAPES

MEASURE = Path(__file__).with_name("measure.js").read_text(encoding="utf-8")
WIDTHS = [1280, 390]
EVERY_PAGE = ["comparison", "audit", "hostile comparison", "hostile audit"]
every_page = pytest.mark.parametrize("name", EVERY_PAGE)
every_width = pytest.mark.parametrize("width", WIDTHS)


def show(page, path, width=1280, *, unfolded=False):
    """Open a report at a width and give the page the means to be measured."""
    page.resize(width)
    page.open(path)
    page.evaluate(f"window.measure = {MEASURE}, null")
    if unfolded:
        page.evaluate("measure.openAll()")
    return page


@every_page
@every_width
def test_every_chart_is_seen_once_and_has_words(page, written, name, width):
    show(page, written(name), width, unfolded=True)
    charts = page.evaluate("measure.charts()")
    assert len(charts) >= 4
    for chart in charts:
        assert chart["seen"] == 1
        assert chart["width"] > 250 and chart["height"] > 60
        assert chart["title"] and len(chart["description"]) > 20
        assert chart["texts"] >= 4 and chart["marks"] >= 2


@every_page
@every_width
def test_every_table_is_seen_and_named(page, written, name, width):
    show(page, written(name), width, unfolded=True)
    tables = page.evaluate("measure.tables()")
    assert len(tables) >= 6
    for table in tables:
        assert table["caption"] and table["rows"] >= 2
        assert table["seen"] and table["height"] > 30


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        (
            "comparison",
            ["Accuracy against the typical gap", "TPR gap of every class", "before and"],
        ),
        ("audit", ["Calibration of every group", "TPR gap of every", "of every group"]),
    ],
)
def test_the_promised_charts_are_there(page, written, name, titles):
    charts = show(page, written(name)).evaluate("measure.charts()")
    shown = [chart["title"] for chart in charts if chart["seen"]]
    for title in titles:
        assert any(title in text for text in shown), title


@every_page
def test_the_console_is_empty_and_nothing_is_loaded(page, written, name):
    path = written(name)
    show(page, path, unfolded=True)
    for medium, scheme in (("print", "light"), ("screen", "dark")):
        page.media(medium=medium, prefers_color_scheme=scheme)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 30)))")
    assert page.console == []
    assert page.requests == [path.as_uri()]
    assert page.dialogs == []
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    addresses = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
        ".filter(a => /^(src|srcset|action|poster|data|ping|(xlink:)?href)$/.test(a.name))"
        ".map(a => a.value).filter(v => !v.startsWith('#'))"
    )
    assert addresses == []


@every_page
@every_width
def test_nothing_sticks_out_and_no_type_is_small(page, written, name, width):
    show(page, written(name), width, unfolded=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("measure.outside()") == []
    assert page.evaluate("measure.smallTexts(12)") == []


# 320 pixels are half of 640: a person who enlarges the page twice sees no smaller type
@pytest.mark.parametrize(("width", "least"), [(320, 10.5), (721, 12), (1079, 12), (1080, 12)])
def test_the_widths_in_between_are_readable_too(page, written, width, least):
    show(page, written("comparison"), width, unfolded=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(f"measure.smallTexts({least})") == []


@every_page
@every_width
def test_no_two_words_of_a_chart_cover_each_other(page, written, name, width):
    show(page, written(name), width, unfolded=True)
    assert page.evaluate("measure.overlaps()") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["comparison", "audit"])
def test_text_stands_out_from_its_ground(page, written, name, scheme):
    page.media(prefers_color_scheme=scheme)
    show(page, written(name), unfolded=True)
    assert page.evaluate("measure.contrasts(4.5)") == []


@every_page
@every_width
def test_what_scrolls_has_a_name_and_can_be_focused(page, written, name, width):
    show(page, written(name), width, unfolded=True)
    lacking = page.evaluate(
        "measure.scrollers().filter(e => !(e.tabIndex === 0 && e.getAttribute('aria-label')"
        " && e.getAttribute('role') === 'region') && !e.querySelector('a[href]'))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert lacking == []
    if width == 390:
        assert page.evaluate("measure.scrollers().length") > 3


@pytest.mark.parametrize("name", ["comparison", "audit"])
@every_width
def test_tab_reaches_everything_in_order_and_shows_where_it_is(page, written, name, width):
    page.media(prefers_reduced_motion="reduce")  # else the focus is ahead of the scrolling
    show(page, written(name), width)
    expected = page.evaluate("measure.reachable().length")
    assert expected > 20
    for i in range(expected):
        page.press("Tab")
        focus = page.evaluate("measure.focus()")
        assert focus["index"] == i, focus
        assert focus["outline"] >= 2, focus
        assert focus["seen"], focus
    page.press("Tab", shift=True)
    assert page.evaluate("measure.focus().index") == expected - 2


def test_the_skip_link_is_first_and_leads_past_the_contents(page, written):
    show(page, written("comparison"))
    page.press("Tab")
    assert page.evaluate("measure.focus().name") == "a: Skip to the answer"
    page.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.press("Tab")
    inside = "document.activeElement.closest('main') !== null"
    assert page.evaluate(inside)


@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_fold_opens_and_closes_by_key(page, written, key):
    show(page, written("comparison"))
    page.evaluate("document.querySelector('#methods details:not([open]) summary').focus()")
    is_open = "document.activeElement.parentElement.open"
    assert not page.evaluate(is_open)
    page.press(key)
    assert page.evaluate(is_open)
    assert page.evaluate("document.activeElement.parentElement.querySelector('table') !== null")
    page.press(key)
    assert not page.evaluate(is_open)


def test_a_wide_table_scrolls_by_arrow_key(page, written):
    show(page, written("comparison"), 390)
    page.evaluate("(window.table = document.querySelector('#all-methods .scroll')).focus()")
    page.press("ArrowRight")
    moved = "new Promise(d => setTimeout(() => d(table.scrollLeft > 0), 10))"
    assert any(page.evaluate(moved) for _ in range(300))


@pytest.mark.parametrize("name", ["hostile comparison", "hostile audit"])
def test_hostile_names_are_shown_and_do_nothing(page, written, name):
    show(page, written(name), unfolded=True)
    assert page.dialogs == [] and page.console == []
    tags = set(page.evaluate("[...document.querySelectorAll('*')].map(e => e.localName)"))
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "input", "link", "b"}
    assert page.evaluate("document.querySelectorAll('style').length") == 1
    handlers = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        ".filter(n => n.startsWith('on') || n === 'autofocus')"
    )
    assert handlers == []
    text = page.evaluate("document.body.textContent")
    assert ESCAPES[0] in text and ESCAPES[1] in text and ESCAPES[2] in text
    assert not set(text) & set("\u202a\u202b\u202d\u202e\u2066\u2067")
    assert "{{7*7}}" in text or name == "hostile audit"
    assert page.evaluate("document.title") == ESCAPES[5]


def test_paper_gets_everything_unfolded_and_wide(page, written):
    show(page, written("comparison"), 1280)
    page.media(medium="print")
    page.resize(720)  # about the width of A4 between its margins
    charts = page.evaluate(
        "[...document.querySelectorAll('figure')].map(f => ["
        "f.querySelector('.wide').checkVisibility({contentVisibilityAuto: true}),"
        " getComputedStyle(f.querySelector('.narrow')).display])"
    )
    assert charts and all(narrow == "none" for _, narrow in charts)
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    heights = page.evaluate("measure.tables().map(t => t.height)")
    assert min(heights) > 20
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


@pytest.mark.parametrize(("wish", "behaviour"), [("reduce", "auto"), ("no-preference", "smooth")])
def test_motion_is_reduced_where_asked(page, written, wish, behaviour):
    page.media(prefers_reduced_motion=wish)
    show(page, written("audit"))
    found = page.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
    assert found == behaviour
    assert page.evaluate("document.getAnimations().length") == 0


def test_where_chromium_cannot_be_driven_there_is_none_to_find(monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    assert runpy.run_path(devtools.__file__)["find_chromium"]() is None


def test_a_page_that_does_wrong_is_convicted(page, tmp_path):
    """The negative control: without it, all of the above could be blind."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><title>x</title><style>.s{overflow:auto;width:99px}*{outline:none}</style>"
        "<p style='width:3000px;font-size:9px;color:#ddd'>wide, small and pale</p>"
        "<div class=s><div style='width:999px'>hidden from keys</div></div><a href='#x'>x</a>"
        "<svg><text y=20>one</text><text y=22>two</text></svg>"
        "<img src='http://example.invalid/x.png' onerror='alert(1)'>"
    )
    page.open(path)
    page.evaluate(f"window.measure = {MEASURE}, null")
    page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert page.dialogs == ["1"]
    assert page.console
    assert len(page.requests) == 2
    assert page.evaluate("document.documentElement.scrollWidth") > 1280
    for problem in ("outside()", "smallTexts(12)", "contrasts(4.5)", "overlaps()", "scrollers()"):
        assert page.evaluate(f"measure.{problem}.length") > 0
    page.press("Tab")
    assert page.evaluate("measure.focus().outline") == 0
