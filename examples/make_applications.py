"""Write applications.csv: invented job applications, with a known bias in the scores.

Nobody in this file exists. Suitable people are as common in both groups and their true
skill has one law; but the scores of one group are lower, and those of its interviews
noisier, than the skill warrants, and the rule that recommends people reads scores alone.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TextIO

import numpy as np

N_ROWS = 2_000
HEADER = ("years", "test", "interview", "references", "branch", "gender", "suitable", "recommended")


def write_applications(file: TextIO) -> None:
    """Write the rows as CSV; the same bytes each time."""
    rng = np.random.default_rng(20261122)
    is_woman = rng.random(N_ROWS) < 0.4
    suitable = rng.random(N_ROWS) < 0.5
    skill = np.where(suitable, 1.1, -0.6) + rng.normal(scale=0.8, size=N_ROWS)
    years = np.maximum(0.0, 6 + 2 * skill + rng.normal(scale=2, size=N_ROWS) - 2.5 * is_woman)
    test = 60 + 9 * skill - 6 * is_woman + rng.normal(scale=6, size=N_ROWS)
    noise = rng.normal(size=N_ROWS) * np.where(is_woman, 1.1, 0.7)
    interview = 5 + 1.2 * skill - 1.2 * is_woman + noise
    references = 3 + 0.5 * skill + rng.normal(scale=0.6, size=N_ROWS)
    recommended = 0.25 * years + 0.07 * test + interview + 0.4 * references > 12.3
    branch = rng.choice(["north", "south", "online"], size=N_ROWS)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for i in range(N_ROWS):
        writer.writerow(
            (
                f"{years[i]:.1f}", f"{test[i]:.1f}", f"{interview[i]:.2f}", f"{references[i]:.2f}",
                branch[i], "woman" if is_woman[i] else "man",
                "yes" if suitable[i] else "no", "yes" if recommended[i] else "no",
            )
        )  # fmt: skip


if __name__ == "__main__":
    default = Path(__file__).with_name("applications.csv")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    with target.open("w", encoding="utf-8", newline="") as out:
        write_applications(out)
