"""Small labelled texts and models on disk, for the commands that read models."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

JOBS = {
    "nurse": ("cares for children in a hospital", "treats patients at night"),
    "engineer": ("writes code for robots", "builds software for a company"),
    "attorney": ("studied law and works for companies", "goes to court every week"),
}
ENDS = ("lives in the city", "has published papers", "studied at the university", "reads a lot")


def biographies(n: int = 240) -> list[dict[str, str]]:
    """Rows with a text, a job and a sex; nurses are mostly women, a fifth tells no job."""
    draw = random.Random(0)
    rows = []
    for i in range(n):
        job = draw.choice(list(JOBS))
        sex = draw.choice("FM") if draw.random() < 0.6 else ("F" if job == "nurse" else "M")
        what = draw.choice(JOBS[job]) if draw.random() < 0.8 else "works"
        who = "She" if sex == "F" else "He"
        rows.append({"bio": f"{who} {what} and {draw.choice(ENDS)}. {i}", "job": job, "sex": sex})
    return rows


def write_rows(rows: list[dict[str, str]], path: Path) -> Path:
    """Write rows as CSV or JSON Lines, by the ending of ``path``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def leftovers(folder: Path, *known: str) -> Iterator[str]:
    """Yield the names in a folder beyond the known ones, hidden ones too."""
    yield from sorted(p.name for p in folder.iterdir() if p.name not in known)
