"""Write docs/hidden-states-measured.md, its figure, and a section of benchmarks/RESULTS.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from _biographies.figure import TITLES, draw_gaps
from _biographies.finetuning import Recipe
from _biographies.goals import goal_lines
from _biographies.judging import Judged
from _biographies.tables import gap_table, missing_lines, seed_table, states_table
from _biographies.texts import N_FOLDS, TUNED_SHARE
from isonomy._atomic import write_text_atomic

__all__ = ["BEGIN", "END", "replace_section", "write_report"]

BEGIN = "<!-- biographies: written by benchmarks/biographies.py; do not edit between the marks -->"
END = "<!-- biographies: end -->"

HEAD = """# Hidden states, measured

Which of 28 occupations does a short biography tell of? Classifiers over hidden states of a small
Llama-layout language model ({model}), frozen and fine-tuned, beside TF-IDF; every method of
`isonomy` and its competitors. `python benchmarks/biographies.py --report` writes this page.

- **Frozen**: states after the last norm (`site="head_input"`), mean over the tokens of the text
  ({max_tokens} at most), standardised on the training rows of each fold.
- **Fine-tuned**: every seed deals the rows anew, cell by cell. {share:.0%} of them fine-tune the
  whole network ({epochs} epochs on their first {tuning_tokens} tokens, cross-entropy on the mean
  state); the others never meet it, and on their states heads and steerers are fitted and
  judged. States of rows that a network was
  fine-tuned on tell their labels almost without fail: what is fitted on them would not hold on
  new rows, so no row is used for both.
- **TF-IDF**: reduced to 256 dimensions inside each fold.
- **Folds**: every seed deals its rows into {n_folds} folds, stratified by (label, group) cell.
  Steerers, weights, offsets and heads are fitted on the other folds of the seed.
- **Head**: multinomial logistic regression; its penalty is the one with which *untouched* is most
  accurate under cross-validation on the training rows of the first fold ({penalties}).

How to read the tables (all gaps are of true-positive rates between women and men):

- **precision**: classes weighted by how precisely their gap is known; the first two gaps weigh
  classes alike. **corrected**: sampling noise taken off; below 0 the gap is smaller than its noise.
- **together**: a seed's folds judged as one classifier, then the mean over seeds. It flatters rules
  that were fitted to close a gap: what the fits of a seed's folds leave cancels over the folds by
  construction. **each rule**: the mean over all fitted rules, each on its own test rows,
  which it has not seen. Believe "each rule"; "together" is what one partition shows.
- **interval**, **p**: 95 % bootstrap interval over persons (drawn once for all seeds: a person is
  judged in every seed) and permutation of groups within classes, both of the mean over seeds.
- **points lost**: of accuracy against untouched, with 1.96 standard errors over persons.
- **probe**: accuracy on held-out steered states of a linear probe for the group; **within
  classes**: the probe also knows the class; both beside the larger group's share.
  **same-group neighbours**: share of the 10 nearest held-out states of the same class that are of
  the same gender, beside its expectation under chance. Offsets for given groups are counted as the
  shift of the state that they are; guessed groups' offsets move decisions, not states.
- **fit s**, **predict s**: CPU-seconds of one fold, each method alone, on one core.
"""


def write_report(
    root: Path, all_judged: Sequence[Judged], *, model: str, max_tokens: int, epochs: int
) -> list[Path]:
    """Write the page, its figure and the section; return the files written."""
    docs = root / "docs"
    image = draw_gaps(all_judged, docs / "images" / "hidden-states-measured.png")
    penalties = ", ".join(f"{TITLES[j.kind]}: C = {j.C:g}" for j in all_judged)
    parts = [
        HEAD.format(
            model=model, max_tokens=max_tokens, share=TUNED_SHARE, epochs=epochs,
            n_folds=N_FOLDS, penalties=penalties, tuning_tokens=Recipe().max_tokens,
        ),
        f"![points of accuracy lost against gap](images/{image.name})\n",
    ]  # fmt: skip
    parts += [_section(judged) for judged in all_judged]
    page = write_text_atomic(docs / "hidden-states-measured.md", "\n".join(parts))
    results = root / "benchmarks" / "RESULTS.md"
    text = results.read_text(encoding="utf-8") if results.exists() else "# Results\n"
    written = write_text_atomic(results, replace_section(text, _summary(all_judged, image.name)))
    return [image, page, written]


def _section(judged: Judged) -> str:
    title = TITLES[judged.kind]
    parts = [
        f"## {title[0].upper()}{title[1:]}",
        f"{judged.n_rows:,} rows a seed; {len(judged.seeds)} seed(s), "
        f"{N_FOLDS * len(judged.seeds)} fitted rules of each method.",
        "### Decisions",
        gap_table(judged),
        "\n".join(f"- {line}" for line in goal_lines(judged)),
        "### States",
        states_table(judged),
        "### Seed by seed",
        "Precision weights; folds together: corrected, upper bound, p; each rule: corrected.",
        seed_table(judged),
        missing_lines(judged),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(all_judged: Sequence[Judged], image: str) -> str:
    parts = [
        "## Hidden states of real biographies: `python benchmarks/biographies.py --report`",
        "All tables and how they came about: [docs/hidden-states-measured.md]"
        "(../docs/hidden-states-measured.md).",
        f"![points of accuracy lost against gap](../docs/images/{image})",
    ]
    for judged in all_judged:
        parts.append(f"### {TITLES[judged.kind]}")
        parts.append(gap_table(judged))
        parts.append("\n".join(f"- {line}" for line in goal_lines(judged)))
    return "\n\n".join(part for part in parts if part)


def replace_section(text: str, section: str) -> str:
    """Return ``text`` with what is between the marks replaced, or with the section added."""
    block = f"{BEGIN}\n\n{section}\n\n{END}\n"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        return before + block + rest.split(END, 1)[1].lstrip("\n")
    return text.rstrip("\n") + "\n\n" + block
