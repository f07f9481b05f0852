"""The page and the card of a fine-tuned classifier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_samples import finetuning_result, judgement
from isonomy.errors import ArtefactError, CorruptArtefactError
from isonomy.report import dump_result, load_result, render
from isonomy.report._curve_chart import Curve, curve_chart
from isonomy.report._formats import build_page
from report_samples import HOSTILE


def test_the_same_result_gives_the_same_bytes_also_from_a_file(tmp_path: Path) -> None:
    result = finetuning_result()
    (tmp_path / "report.json").write_text(dump_result(result), encoding="utf-8")
    again = load_result(tmp_path / "report.json")
    for name in ("html", "markdown", "card", "json"):
        assert render(result, name) == render(again, name)


def test_the_answer_comes_first_and_says_what_changed() -> None:
    page = build_page(finetuning_result())
    assert page.sections[0].name == "answer"
    text = render(finetuning_result(), "markdown")
    assert "it finds 90.0% of the rows of the common classes and 30.0% of those" in text
    assert "a gap of 10.0 points" in text
    assert "Rare classes gain 45.0 points; common classes lose 5.0 points; accuracy gains" in text
    assert "2 texts of the 120 test rows also stand in the training rows." in text
    assert "1,000 of 100,000 weights" in text


def test_every_part_has_its_section_once() -> None:
    names = [section.name for section in build_page(finetuning_result()).sections]
    assert len(set(names)) == len(names)
    assert {"thirds", "every-class", "data", "training", "use", "cost", "missing"} <= set(names)
    html = render(finetuning_result())
    assert html.count("<svg") == 2 * 4  # thirds, classes, loss, watched rows; wide and narrow
    assert "loss" in html


def test_without_a_before_nothing_is_compared() -> None:
    text = render(finetuning_result(judgements=[judgement("after", (0.8, 0.7, 0.6))]), "markdown")
    assert "Before" not in text
    assert "What changed" not in text


def test_without_a_gap_the_reason_stands_in_its_place() -> None:
    after = judgement("after", (0.8, 0.7, None))
    text = render(finetuning_result(judgements=[after]), "markdown")
    assert "Common and rare classes: no class is rarer than another." in text
    assert "n/a" in text


@pytest.mark.parametrize("name", HOSTILE[:3], ids=["script", "quotes", "template"])
def test_no_name_is_ever_read_as_markup(name: str) -> None:
    after = judgement("after", (0.8, 0.7, 0.6))
    after["by_class"][0]["class"] = name
    result = finetuning_result(judgements=[after])
    result["data"] |= {"name": name}
    html = render(result)
    assert "<script" not in html
    assert (name in html) == (name == HOSTILE[2])  # escaped, and never run as a template


def test_the_card_has_the_head_that_hubs_read() -> None:
    card = render(finetuning_result(), "card")
    head = card.split("---")[1]
    assert "library_name: peft" in head
    assert 'base_model: "owner/small"' in head
    assert "base_model_relation: adapter" in head
    assert "- lora" in head
    assert '      name: "Mean recall of the rare classes"\n      value: 0.75' in head
    body = card.split("---", 2)[2]
    assert "whose weights are unchanged" in body
    assert "it names one of these" in body
    assert "plain()" in body
    local = finetuning_result()
    local["model"] |= {"is_local": True}
    assert "base_model:" not in render(local, "card").split("---")[1]


def test_what_is_missing_is_one_sentence() -> None:
    with pytest.raises(ArtefactError, match="must hold a dict under `training`"):
        render(finetuning_result(training=None))
    with pytest.raises(CorruptArtefactError, match="at least one judgement"):
        render(finetuning_result(judgements=[]))
    with pytest.raises(CorruptArtefactError, match="must follow the schema of its kind"):
        render(finetuning_result(judgements=[{"name": "after"}]))


def test_json_round_trips() -> None:
    assert json.loads(render(finetuning_result(), "json")) == json.loads(
        json.dumps(finetuning_result())
    )


def test_curves_are_drawn_at_both_widths_and_named() -> None:
    curves = [Curve("one", ((0, 1.0), (5, 2.0))), Curve("two", ((0, 3.0), (5, 1.0)))]
    for width, pixels in (("wide", 960), ("narrow", 300)):
        figure = curve_chart(curves, "step", "%", width)  # type: ignore[arg-type]
        assert round(figure.get_size_inches()[0] * 72) == pixels
        assert [t.get_text() for t in figure.legends[0].get_texts()] == ["one", "two"]
