"""The Markdown page: the same words as the HTML page, and no name becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from isonomy.report import render
from report_samples import audit_result, comparison_result, hostile_result


@pytest.mark.parametrize("make", [audit_result, comparison_result, hostile_result])
def test_every_table_row_has_as_many_cells_as_its_head(make):
    tables = re.findall(r"(?:^\|.*\n)+", render(make(), "markdown"), re.MULTILINE)
    assert tables
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_every_sentence_of_the_answer_stands_in_both_formats():
    page = render(comparison_result(), "html")
    text = render(comparison_result(), "markdown")
    sentences = re.findall(r"<li><strong><bdi>(.*?)</bdi></strong> <bdi>(.*?)</bdi></li>", page)
    assert len(sentences) > 5
    for head, sentence in sentences:
        assert head in text
        assert sentence.replace("&#39;", "'") in text.replace("\\_", "_")


def test_headings_follow_the_sections():
    text = render(comparison_result(), "markdown")
    assert text.startswith("# Short biographies, before and after steering\n")
    assert text.count("\n## ") == 12


def test_hostile_names_are_escaped():
    text = render(hostile_result(), "markdown")
    outside_code = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in outside_code
    assert "](https://" not in outside_code
    assert "://" not in outside_code
    assert "\\$\\\\alpha\\_\\{x\\}\\$" in outside_code

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            raise AssertionError(tag)

    Tags().feed(outside_code)


def test_a_fence_inside_a_command_does_not_close_the_block():
    text = render(hostile_result(), "markdown")
    assert "````\nisonomy demo --label '<script>alert(1)</script>' ```\n````" in text


def test_the_same_result_gives_the_same_text():
    assert render(comparison_result(), "markdown") == render(comparison_result(), "markdown")


def test_a_card_is_the_page_under_front_matter():
    card = render(comparison_result(), "card")
    _, head, body = card.split("---\n", 2)
    assert 'model_name: "Short biographies, before and after steering"' in head
    assert '  "accuracy": 0.72\n' in head
    assert '  "rms_tpr_gap_corrected": 0\n' in head
    assert body.lstrip() == render(comparison_result(), "markdown")


def test_a_card_of_an_audit_holds_its_own_numbers():
    assert '  "accuracy": 0.725\n' in render(audit_result(), "card")


def test_a_hostile_title_stays_one_quoted_line_of_the_front_matter():
    result = hostile_result()
    result["title"] = 'a: "b"\n---\nevil: true'
    head = render(result, "card").split("\n---\n")[0]
    assert 'model_name: "a: \\"b\\" --- evil: true"' in head
