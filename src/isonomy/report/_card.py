"""The Markdown page as a model card: with the head that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from isonomy.report._answer import gap_of, noise_free
from isonomy.report._finetune_card import finetune_card
from isonomy.report._formats import build_page, render_markdown
from isonomy.report._model_card import model_card
from isonomy.report._numbers import is_number
from isonomy.report._results import as_plain
from isonomy.report._words import clean_result

__all__ = ["render_card"]


def render_card(result: Mapping[str, Any]) -> str:
    """Return a model card: YAML front matter with the main numbers, then the whole page.

    Parameters
    ----------
    result : dict
        Of kind "audit", "comparison" or "finetuning", as ``to_dict()`` returns or
        `load_result` reads.

    Returns
    -------
    str
        Markdown that model hubs understand.

    Raises
    ------
    ArtefactError
        If the result is of another kind, newer, or lacks something.
    """
    page = build_page(result)
    if result["kind"] == "finetuning":
        return finetune_card(clean_result(as_plain(result)), page)
    if isinstance(result.get("steered_model"), Mapping):
        return model_card(clean_result(as_plain(result)), page)
    lines = ["---", "tags:", "- fairness", "- isonomy", f"model_name: {_quoted(page.title)}"]
    numbers = _main_numbers(result)
    if numbers:
        lines += ["metrics:"] + [f"- {_quoted(name)}" for name in numbers]
        lines += ["isonomy_results:"]
        lines += [f"  {_quoted(name)}: {value:.6g}" for name, value in numbers.items()]
    return "\n".join([*lines, "---", "", render_markdown(result)])


def _main_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    if result["kind"] == "comparison":
        methods = result["methods"]
        named = [m for m in methods if m["name"] == result.get("main_method")]
        chosen = (named or list(methods))[-1]
        accuracy, gap = (chosen.get("utility") or {}).get("accuracy") or {}, gap_of(chosen)
    else:
        accuracy = result["overall"].get("accuracy") or {}
        gaps = [
            d for d in result.get("disparities") or () if d["metric"] == "rms_tpr_gap_precision"
        ]
        gap = gaps[0] if gaps else {}
    found = {"accuracy": accuracy.get("value"), "rms_tpr_gap_corrected": noise_free(gap)}
    return {
        name: float(value)
        for name, value in found.items()
        if value is not None and is_number(value)
    }


def _quoted(text: str) -> str:
    """Return ``text`` as a YAML string: JSON strings are YAML strings."""
    return json.dumps(text)
