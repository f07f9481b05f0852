"""Small long-tailed rows for the tests of fine-tuning, and what stands in for drawn pages."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

COUNTS = {"nurse": 36, "engineer": 15, "attorney": 6}
WORDS = {
    "nurse": "cares for patients in a hospital",
    "engineer": "writes code for robots",
    "attorney": "studied law for years",
}


def tail_rows(counts: Mapping[str, int] = COUNTS) -> list[dict[str, str]]:
    """Rows with text, job and sex; what a job is can be read from the text."""
    draw = random.Random(0)
    return [
        {"bio": f"{draw.choice(['She', 'He'])} {WORDS[job]}, {i}.", "job": job, "sex": "FM"[i % 2]}
        for job, n in counts.items()
        for i in range(n)
    ]


def without_charts(result: Mapping[str, Any], form: str) -> str:
    """Return a page in place of the drawn one, which takes longer than all the rest."""
    from isonomy import plugins

    return "<!doctype html>" if form == "html" else str(plugins.get("report_formats", form)(result))
