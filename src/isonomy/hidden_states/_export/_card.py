"""The two texts beside exported adapters: a record for programs and a card for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from isonomy._version import __version__

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap

__all__ = ["card_text", "map_digest", "record_text"]


def map_digest(affine: AffineMap) -> str:
    """Return the SHA-256 of the map's numbers."""
    state = hashlib.sha256(np.ascontiguousarray(affine.offset).tobytes())
    parts = affine.factors if affine.factors is not None else (affine.matrix,)
    for part in parts:
        state.update(f"{part.shape}".encode())
        state.update(np.ascontiguousarray(part).tobytes())
    return state.hexdigest()


def record_text(record: Mapping[str, Any]) -> str:
    """Return the record as JSON: the same facts give the same bytes."""
    whole = {"schema": 1, "isonomy_version": __version__, **record}
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"


def card_text(record: Mapping[str, Any]) -> str:
    """Return the card, in Markdown."""
    adapters: Mapping[str, Any] = record["adapters"]
    base = record["base_model"]["name_or_path"] or record["base_model"]["class"]
    at = record["site"] if record["layer"] is None else f"{record['site']}, block {record['layer']}"
    lines = [
        f"# Steering adapters for {base}",
        "",
        f"Plain PEFT LoRA adapters that apply an affine map to the hidden states at {at}, at "
        "every token. They were computed from a fitted steerer, not trained, and are exact for "
        "the weights they were computed from: load them on no other model.",
        "",
        "| group | folder | rank | bias |",
        "|---|---|---|---|",
        *(
            f"| {_cell(group)} | `{one['folder']}` | {one['rank']} | "
            f"{'yes' if one['bias'] else 'no'} |"
            for group, one in adapters.items()
        ),
        "",
        "```python",
        "from peft import PeftModel",
        f'model = PeftModel.from_pretrained(base, "{next(iter(adapters.values()))["folder"]}")',
        "```",
        "",
        *(f"* {note}" for note in record["notes"]),
        "",
        "## Servers",
        "",
        "Read in the servers' own sources in November 2026. PEFT is what the adapters are tested "
        "with; no other server was run.",
        "",
        "| server | serves | reason |",
        "|---|---|---|",
        *(
            f"| {name} | {_word(one['serves'])} | {one['reason']} |"
            for name, one in record["servers"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return ``text`` such that it cannot end its cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _word(serves: bool | None) -> str:
    return "not confirmed" if serves is None else "yes" if serves else "no"
