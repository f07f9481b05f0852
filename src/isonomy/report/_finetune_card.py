"""The card of a fine-tuned classifier: README.md of its folder, as PEFT and model hubs read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from isonomy.report._document import Bullets, Page, Section
from isonomy.report._finetune_words import after_of, measure_of, thirds_of
from isonomy.report._markdown import write_markdown
from isonomy.report._numbers import is_number

__all__ = ["finetune_card"]

_KEPT = ("answer", "use", "thirds", "people", "data", "training", "cost", "missing", "reproduce")
"""Sections of the report that a card holds; classes and groups one by one stay in the report."""

_PIPELINE = {"text": "text-classification", "image": "image-classification"}


def finetune_card(result: Mapping[str, Any], page: Page) -> str:
    """Return front matter, what the model is, its limits, how to use it and how it was judged."""
    kept = {section.name: section for section in page.sections}
    sections = (
        _details(result),
        *(kept[name] for name in _KEPT[:2] if name in kept),
        _limits(result),
        *(kept[name] for name in _KEPT[2:] if name in kept),
    )
    body = write_markdown(replace(page, sections=sections))
    return "\n".join(["---", *_front_matter(result, page.title), "---", "", body])


def _front_matter(result: Mapping[str, Any], title: str) -> list[str]:
    model, data = result["model"], result["data"]
    is_peft = bool((result.get("adapter") or {}).get("is_peft"))
    task = _PIPELINE.get(str(data.get("kind")), "text-classification")
    lines = ["tags:", "- isonomy", "- bias-aware", *(["- lora"] if is_peft else [])]
    lines.append(f"pipeline_tag: {task}")
    lines.append(f"library_name: {'peft' if is_peft else 'transformers'}")
    if not model.get("is_local"):  # a hub knows no folder of somebody's machine
        lines.append(f"base_model: {_quoted(model.get('base_model'))}")
        lines.append(f"base_model_relation: {'adapter' if is_peft else 'finetune'}")
    lines += [f"model_name: {_quoted(title)}", "model-index:", f"- name: {_quoted(title)}"]
    name = _quoted(data.get("name") or "labelled rows")
    lines += ["  results:", "  - task:", f"      type: {task}", "    dataset:"]
    lines += [f"      name: {name}", f"      type: {name}", "    metrics:"]
    for kind, words, value in _numbers(after_of(result)):
        lines += [
            f"    - type: {kind}",
            f"      name: {_quoted(words)}",
            f"      value: {value:.6g}",
        ]
    return lines


def _numbers(after: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    thirds = thirds_of(after)
    named = [
        ("accuracy", "Accuracy", after["accuracy"].get("value")),
        ("f1", "Macro F1", after["macro_f1"].get("value")),
        ("recall", "Mean recall of the rare classes", thirds.get("tail", {}).get("value")),
        ("recall", "Mean recall of the common classes", thirds.get("head", {}).get("value")),
        ("head_tail_gap", "Common minus rare", measure_of(after, "head_tail_gap").get("value")),
    ]
    return [(k, n, float(v)) for k, n, v in named if is_number(v) and v is not None]


def _details(result: Mapping[str, Any]) -> Section:
    model, training, data = result["model"], result["training"], result["data"]
    is_peft = bool((result.get("adapter") or {}).get("is_peft"))
    kept = "whose weights are unchanged" if is_peft else "all of whose weights may have changed"
    items = (
        ("What it does:", f"it decides between {data.get('n_classes')} classes: {_classes(data)}."),
        ("Made from:", f"{model.get('base_model')}, {kept}."),
        ("What decides:", f"{model.get('head_words')}."),
        ("How it was trained:", str(training.get("sentence") or "")),
        ("Licence:", "that of the base model and of the data; this card adds none."),
    )
    return Section("details", "What this is", (Bullets(items),))


def _classes(data: Mapping[str, Any], shown: int = 30) -> str:
    named = [str(c) for c in data.get("classes") or ()]
    more = f" and {len(named) - shown} more" if len(named) > shown else ""
    return ", ".join(named[:shown]) + more


def _limits(result: Mapping[str, Any]) -> Section:
    n = result["data"].get("n_test")
    items = [
        ("", f"It was judged on {n} rows of one data set, for one seed. Judge it on your own."),
        ("", "It knows no other classes: whatever it is given, it names one of these."),
        ("", "Rare classes being found as often as common ones says nothing of groups of people."),
        ("", "What is wrong in the base model or in the labels is still there."),
    ]
    return Section("limits", "What it does not promise", (Bullets(tuple(items)),))


def _quoted(text: Any) -> str:
    """Return ``text`` as a YAML string: JSON strings are YAML strings."""
    return json.dumps(str(text))
