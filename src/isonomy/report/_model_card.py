"""The card of a steered language model: README.md of its folder, as model hubs read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from isonomy.report._answer import gap_of, noise_free
from isonomy.report._document import Bullets, Page, Section
from isonomy.report._markdown import write_markdown
from isonomy.report._model_section import place_words, usage_blocks
from isonomy.report._numbers import is_number

__all__ = ["model_card"]

_KEPT = ("answer", "model", "people", "all-methods", "certificate", "missing", "reproduce")
"""Sections of the report that a card holds; the charts stay in the report."""


def model_card(result: Mapping[str, Any], page: Page) -> str:
    """Return front matter, what the model is, how to use it, its limits and its audit."""
    found = result["steered_model"]
    after = _main_method(result)
    kept = {section.name: section for section in page.sections}
    sections = (
        _details(found),
        Section("use", "How to use it", tuple(usage_blocks(found))),
        _limits(result, found),
        *(kept[name] for name in _KEPT if name in kept),
    )
    front = _front_matter(result, found, after, title=page.title)
    body = write_markdown(replace(page, sections=sections))
    figures = found.get("figures") or ()
    shown = "".join(f"\n![{f['title']}]({f['file']})\n" for f in figures)
    return "\n".join(["---", *front, "---", "", body + shown])


def _main_method(result: Mapping[str, Any]) -> Mapping[str, Any]:
    named = [m for m in result["methods"] if m["name"] == result.get("main_method")]
    chosen: Mapping[str, Any] = (named or list(result["methods"]))[-1]
    return chosen


def _front_matter(
    result: Mapping[str, Any], found: Mapping[str, Any], after: Mapping[str, Any], *, title: str
) -> list[str]:
    data = result["data"].get("name") or "labelled texts"
    lines = ["tags:", "- fairness", "- isonomy", "pipeline_tag: text-classification"]
    if not found.get("is_local"):  # a hub knows no folder of somebody's machine
        lines.append(f"base_model: {_quoted(str(found.get('base_model')))}")
    lines.append(f"library_name: {'peft' if found.get('has_adapters') else 'isonomy'}")
    lines += [f"model_name: {_quoted(title)}", "model-index:", f"- name: {_quoted(title)}"]
    lines += ["  results:", "  - task:", "      type: text-classification"]
    lines += [
        "    dataset:",
        f"      name: {_quoted(str(data))}",
        f"      type: {_quoted(str(data))}",
    ]
    lines.append("    metrics:")
    for kind, name, value in _numbers(after):
        lines += [
            f"    - type: {kind}",
            f"      name: {_quoted(name)}",
            f"      value: {value:.6g}",
        ]
    return lines


def _numbers(after: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    utility, gap = after.get("utility") or {}, gap_of(after)
    named = [
        ("accuracy", "Accuracy", (utility.get("accuracy") or {}).get("value")),
        ("f1", "Macro F1", (utility.get("macro_f1") or {}).get("value")),
        ("rms_tpr_gap", "rms TPR gap between groups, corrected for chance", noise_free(gap)),
    ]
    return [(k, n, float(v)) for k, n, v in named if v is not None and is_number(v)]


def _details(found: Mapping[str, Any]) -> Section:
    classes, groups = found.get("classes") or (), found.get("groups") or ()
    items = (
        ("What it does:", f"it decides between {len(classes)} classes: {_some(classes)}."),
        ("Made from:", f"{found.get('base_model')}, whose weights are unchanged."),
        ("Where it is steered:", f"at {place_words(found)}."),
        ("Groups that were compared:", f"{_some(groups)}."),
        ("Group of a text at use:", _GROUP_AT_USE.get(str(found.get("mode")), "unknown") + "."),
        ("Licence:", "that of the base model and of the texts; this card adds none."),
    )
    return Section("details", "What this is", (Bullets(items),))


_GROUP_AT_USE = {
    "blind": "not asked for and not guessed",
    "given": "must be given with every text",
    "infer": "guessed from the text by a probe; the report says how well",
}


def _limits(result: Mapping[str, Any], found: Mapping[str, Any]) -> Section:
    n_test = result["data"].get("n_test")
    items = [
        (
            "",
            f"It was judged on {n_test} texts of one data set. Audit it on your own.",
        ),
        ("", "Equal true positive rates are one criterion; others can differ. See the tables."),
        ("", "The base model's other outputs are not touched, and neither are their flaws."),
    ]
    if found.get("mode") == "given":
        items.append(("", "A decision depends on the group of the person: ask a lawyer first."))
    return Section("limits", "What it does not promise", (Bullets(tuple(items)),))


def _some(names: Any, shown: int = 30) -> str:
    listed = [str(name) for name in names]
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def _quoted(text: str) -> str:
    """Return ``text`` as a YAML string: JSON strings are YAML strings."""
    return json.dumps(text)
