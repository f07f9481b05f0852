"""Write docs/real-data.md, its figures, and the section of benchmarks/RESULTS.md."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from _real_data.cases import N_COMPONENTS, TEXT_C
from _real_data.entries import CRITERIA
from _real_data.figures import draw_case, draw_curve, draw_why
from _real_data.goals import biography_goals, criterion_goals
from _real_data.judging import Judged
from _real_data.learning import curve_table, learning_curve
from _real_data.markdown import cost_table, criterion_table, main_table, missing_list
from _real_data.why import why_rows, why_table
from isonomy._atomic import write_text_atomic

__all__ = ["BEGIN", "END", "replace_section", "write_report"]

BEGIN = "<!-- real data: written by benchmarks/real_data.py; do not edit between the marks -->"
END = "<!-- real data: end -->"
OLD_SECTION = re.compile(
    r"^## Real biographies: `python benchmarks/real_biographies.py`\n.*?(?=^## |\Z)", re.M | re.S
)

HEAD = """# Real data

Every method on real data sets ({names}), by `python benchmarks/real_data.py --report`, which
writes this page. Four folds stratified by (label, group) cell; scaling, features of texts, methods
and classifiers are fitted again inside each fold; the out-of-fold predictions are judged together
by `isonomy.audit`. Tables have standardised one-hot features (the group is not among them;
categories under 1 % of all rows are pooled beforehand) and a logistic regression; the biographies
TF-IDF reduced to {n_components} dimensions, and a logistic regression whose penalty (C = {c:g}) was
chosen because untouched was most accurate with it on these same rows. Figures speak of these rows
and settings alone.

- **DP diff.**, **EOdds diff.**: the largest difference of selection rates, of (true, predicted)
  rates; cells of fewer than 10 rows are left out.
- **rms TPR gap**: root mean square over classes of the difference in true-positive rates, equal
  weights; **precision**: classes weighted by how precisely their gap is known. **Corrected**:
  sampling noise taken off; negative means that the gap is smaller than its own noise.
- **interval**, **p**: 95 % bootstrap interval and permutation test; of the gap with precision
  weights, and in the tables of one criterion of that criterion's difference.
- **each rule**: the corrected gap by precision weights of one fitted rule, as the root of the mean
  over folds of its mean square. Judged together, the folds flatter a rule that was fitted to close
  a gap: what its four fits leave has mean 0 over the folds by construction, whatever each of them
  leaves. Where "each rule" is far above "corrected", believe "each rule".
- **points lost**: of accuracy against untouched on the same rows, with 1.96 standard errors.
- **fit s**, **predict s**: CPU-seconds of the four folds, each method alone, on one core.
- **Group at prediction**: whether a decision needs the person's group; "guessed" is by a probe.

In the figures filled circles need the group at prediction, open marks do not; the lines join what
no other method of that kind beats: a gap no larger, an accuracy no smaller, one of them better. A
corrected gap below 0 is drawn at 0. All of these are estimates from the same rows: where intervals
overlap, another sample may order the methods otherwise.
"""
CRITERION_WORDS = {
    "demographic_parity": "Demographic parity asked for",
    "equalized_odds": "Equalized odds asked for",
}
CURVE = """## How much data a gap needs

Stratified samples of the biographies, each part of the next; the corrected gap by precision
weights, and accuracy in brackets. Blank: not computed, for instance because a map for each group
needs rows in every (label, group) cell of every fold.
"""
WHY = """## Why maps of second moments fail

The same classifier judged on the rows that map and head were fitted on, and on the fold held out.
"Distance" is the Mahalanobis distance between the two groups' means of a class after the map,
averaged over classes by precision, sampling noise taken off. A map whose distance is near 0 on
fitted rows and not on held-out rows has learnt the noise of its moments; shrinkage trades that
against what it leaves in place.
"""


def write_report(root: Path, all_judged: Sequence[Judged], asked: Namespace) -> list[Path]:
    """Write pages and figures from what is on disk; return the files written."""
    docs, written = root / "docs", []
    parts = [_head(all_judged)]
    for judged in all_judged:
        if not judged.rows:
            continue
        image = draw_case(judged, docs / "images" / f"real-{judged.case.name}.png")
        written.append(image)
        parts.append(_case_section(judged, image.name))
    curve = learning_curve(asked.folder, asked.work, asked.n_boot)
    if len({row["n_rows"] for row in curve}) > 1:
        written.append(draw_curve(curve, docs / "images" / "real-learning-curve.png"))
        image = "![corrected gap and accuracy against rows](images/real-learning-curve.png)"
        parts.append(f"{CURVE}\n{image}\n\n{curve_table(curve)}\n")
    why = why_rows(asked.folder, asked.work)
    if why:
        written.append(draw_why(why, docs / "images" / "real-why.png"))
        image = "![gaps and distances on fitted and held-out rows](images/real-why.png)"
        parts.append(f"{WHY}\n{image}\n\n{why_table(why)}\n")
    parts.append(f"## What it cost\n\n{cost_table([j for j in all_judged if j.rows])}\n")
    written.append(write_text_atomic(docs / "real-data.md", "\n".join(parts)))
    results = root / "benchmarks" / "RESULTS.md"
    text = results.read_text(encoding="utf-8") if results.exists() else "# Results\n"
    written.append(write_text_atomic(results, replace_section(text, _summary(all_judged))))
    return written


def _head(all_judged: Sequence[Judged]) -> str:
    names = ", ".join(j.case.name.replace("_", " ") for j in all_judged if j.rows) or "none yet"
    return HEAD.format(names=names, n_components=N_COMPONENTS, c=TEXT_C)


def _case_section(judged: Judged, image: str) -> str:
    case = judged.case
    parts = [
        f"## {case.name.replace('_', ' ')}",
        f"{case.title} {len(case.y):,} rows.",
        f"![accuracy against gap](images/{image})",
        main_table(judged),
    ]
    goals = biography_goals(judged) if case.is_text else []
    parts.extend(f"- {line}" for line in goals)
    for criterion, words in CRITERION_WORDS.items():
        if any(row["criterion"] == criterion for row in judged.rows):
            parts += [
                f"### {words}: {case.name.replace('_', ' ')}",
                criterion_table(judged, criterion),
            ]
            parts.append(criterion_goals(judged, criterion) or "")
    parts.append(missing_list(judged))
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(all_judged: Sequence[Judged]) -> str:
    """Return the section of RESULTS.md: verdicts, the biographies' table, and the cost."""
    page = "[docs/real-data.md](../docs/real-data.md)"
    parts = [
        "## Real data: `python benchmarks/real_data.py --report`",
        f"Four folds, out-of-fold predictions judged together; all tables are in {page}.",
    ]
    for judged in all_judged:
        name = judged.case.name.replace("_", " ")
        if judged.case.is_text and judged.rows:
            parts.append(main_table(judged))
            parts.append("\n".join(f"- {line}" for line in biography_goals(judged)))
            continue
        told = [(c, criterion_goals(judged, c)) for c in CRITERIA]
        lines = [f"- {name}, {c.replace('_', ' ')}. {line}" for c, line in told if line]
        parts.append("\n".join(lines))
    parts.append(cost_table([judged for judged in all_judged if judged.rows]))
    return "\n\n".join(part for part in parts if part)


def replace_section(text: str, section: str) -> str:
    """Return ``text`` with what is between the marks replaced, or with the section added."""
    block = f"{BEGIN}\n\n{section}\n\n{END}\n"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        return before + block + rest.split(END, 1)[1].lstrip("\n")
    text = OLD_SECTION.sub("", text)
    return text.rstrip("\n") + "\n\n" + block
