"""Write docs/adapters-measured.md, its figures, and a section of benchmarks/RESULTS.md."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from _adapters.budget import Budgets, budget_parts
from _adapters.data import RULES
from _adapters.figure import draw_sweep, draw_tails
from _adapters.goals import goal_lines, judged
from _adapters.methods import BASE, METHODS, OURS, STEPS
from _adapters.results import Results
from _adapters.store import library_state
from _adapters.tables import (
    cost_table,
    difference_table,
    main_table,
    rival_table,
    tuning_table,
)
from _adapters.zero_shot import ROWS
from isonomy._atomic import write_text_atomic

__all__ = ["BEGIN", "END", "print_results", "replace_section", "states_line", "write_report"]

BEGIN = "<!-- adapters: written by benchmarks/adapters.py; do not edit between the marks -->"
END = "<!-- adapters: end -->"

HEAD = """# Bias-aware adapters, measured

Fine-grained text classification with an injected long tail, by a small Llama-layout language model
({model}). `{command}` writes this page{when}.

- **Data**: `long_tail` thins the training rows to ratio:1 between the most frequent and the rarest
  class, exponentially in between. Test and validation rows are never thinned, and are the same for
  every ratio and seed; a seed draws which training rows stay, the batches and the initial weights.
  Banking77 keeps its published test rows. TREC's 500 leave most rare classes with at most three:
  its rows are pooled and dealt anew, class by class, and classes of fewer than {min_class} rows
  are left out.
- **Head, medium, tail**: the most frequent third of the classes by training rows, the middle, and
  the rarest third; mean recall of their classes. **Head - tail** is their difference.
- **Budget**: every method takes {steps} steps of 32 rows with the same optimiser and schedule, and
  the same batches for the same seed unless it resamples.
- **Goals** and differences are judged in the cells of Banking77 and TREC at 10:1 and 50:1.
- **Settings**: up to three of each method are tried on {tuned}, and the one with the best macro-F1
  on balanced validation rows is kept for all cells. Our methods and their rivals alike. Those that
  the goals compare are judged there by the mean over three seeds: a rate that one seed bears may be
  too fast for another.
- **±** is the standard deviation over seeds (tables of one data set) or cells (differences).
- **macro-F1**: mean over classes of F1. **COBias**: mean difference in recall over pairs of
  classes. **RSD**: standard deviation of the recalls over accuracy. **BiasScore**: half the sum of
  the distances of the mean predicted distribution, classes weighing alike, from the uniform one.
  All but accuracy, macro-F1, head, medium and tail are better the smaller they are.
- **trainable %** is of all parameters, the classification head among them; **s a step** and
  **start, s** and **finish, s** are CPU-seconds of one core on a CPU; the start of one-layer
  methods holds the choice of the layer.
- **Perplexity** is that of the adapted body under the base model's own tied language head, on
  held-out texts of other data sets. **Propensity** (standard deviation over classes of the mean
  logit where the class is not the answer; smaller is better) and **discriminability** (mean logit
  of a class where it is the answer less where it is not, its mean, standard deviation and minimum
  over classes) are as in `layer_profile`, from the final logits.
- **No training, label words**: the base model's own answer. Each row is run with every label, so
  only the first test rows of every class are scored, {zero_shot} in all at most.
- **Images** (`--full`): the image tower of a CLIP that is trained here from its configuration on
  half of Omniglot's alphabets, with a classification head. Class-name prompts are no head here:
  its text tower knows the names of these alphabets' characters alone, and a held-out character or a
  digit has no name that it could have learnt.
- **start and finish** are `bias_aware_start` (directions, and a head from class means) and
  `class_means_finish`. The finish costs a forward pass over at most 32 rows a class, beside the
  steps; the row "as many steps fewer" pays for both out of its steps.
- Not run: domain-context calibration, CorDA, neuron pruning (CRISPR); and whatever is not in the
  tables, of methods (`--list`) and data sets (`--full`). A table says how many seeds ran.
"""

CAPTIONS = {
    "adapters-measured": "Means over the seeds that the tables name. Grey lines: plain LoRA; what "
    "is above and to the right of them serves tail and head better. Blue: rivals; red: ours; light "
    "red: parts of ours.",
    "adapters-ratios": "Banking77, thinned to different ratios; the tables below say of how many "
    "seeds.",
}


def section_title(data: str, ratio: float) -> str:
    """Return a heading."""
    from _adapters.images import IMAGE_SETS

    title = RULES[data].title if data in RULES else IMAGE_SETS[data].title
    return f"{title} at {ratio:g}:1" if ratio else f"{title}, as it is"


def body(results: Results, step_time: dict[str, Any] | None) -> list[str]:
    """Return the parts that page and section share."""
    parts = [
        "### Goals",
        "\n".join(f"- {line}" for line in goal_lines(results, step_time=step_time)),
    ]
    named = judged(results)
    parts += ["### Differences to plain LoRA, in points, paired by cell", difference_table(named)]
    ours = [name for name in (*OURS, "start_and_loss", "finish_only") if results.found.get(name)]
    if ours:
        parts += ["### Against the methods made for long tails", rival_table(named, ours)]
    for data, ratio in results.parts:
        own = results.part(data, ratio)
        parts += [f"### {section_title(data, ratio)}", main_table(results, own)]
    return parts


def print_results(results: Results, step_time: dict[str, Any] | None) -> None:
    """Print all tables."""
    parts = [*body(results, step_time), "### Costs", cost_table(results)]
    parts += ["### Settings", tuning_table(results)]
    print("\n\n".join([*parts, states_line(results)]))


def write_report(
    root: Path, results: Results, *, sweep: Results | None = None, budgets: Budgets | None = None,
    model: str, command: str, when: str, step_time: dict[str, Any] | None,
) -> list[Path]:  # fmt: skip
    """Write the page, its figures and the section; return the files written."""
    docs = root / "docs"
    images = [draw_tails(results, docs / "images" / "adapters-measured.png")]
    if sweep is not None and len({cell.ratio for cell in sweep.cells}) > 1 and sweep.methods:
        images.append(draw_sweep(sweep, docs / "images" / "adapters-ratios.png"))
    intro = HEAD.format(
        model=model, command=command, when=f" ({when}, {machine()})" if when else "",
        min_class=RULES["trec"].min_class, steps=STEPS, tuned="Banking77 at 10:1",
        zero_shot=ROWS,
    )  # fmt: skip
    intro += states_line(results)
    shared = body(results, step_time)
    shown = [f"![{path.stem}](images/{path.name})\n\n{CAPTIONS[path.stem]}" for path in images]
    page = [intro, *shown, *shared]
    page += [*budget_parts(budgets), "### Costs", cost_table(results)]
    page += ["### Settings tried", tuning_table(results)]
    if sweep is not None and len(images) > 1:
        page += ["### Ratios", *_sweep_parts(sweep)]
    written = [write_text_atomic(docs / "adapters-measured.md", "\n\n".join(page) + "\n")]
    section = [
        f"## Bias-aware adapters: `{command}`",
        f"{when}; {machine()}. How it came about and all tables: [docs/adapters-measured.md]"
        "(../docs/adapters-measured.md).",
        *(f"![{path.stem}](../docs/images/{path.name})" for path in images),
        states_line(results).removeprefix("- "), *shared, *budget_parts(budgets), "### Costs",
        cost_table(results),
    ]  # fmt: skip
    target = root / "benchmarks" / "RESULTS.md"
    text = target.read_text(encoding="utf-8") if target.exists() else "# Results\n"
    written.append(write_text_atomic(target, replace_section(text, "\n\n".join(section))))
    return [*images, *written]


def states_line(results: Results) -> str:
    """Say how many records the library as it is made; what is older was not trained again."""
    states, now = results.states(), library_state()
    others = [state for state in states if state not in {now, None}]
    if set(states) <= {now}:
        return "- **Library**: all runs were made by one state of the library.\n"
    known = sum(states[state] for state in others)
    parts = [
        f"{states.get(now, 0)} of {sum(states.values())} runs were made by the library as it is"
    ]
    if others:
        parts.append(f"{known} by {len(others)} other state{'s' * (len(others) > 1)} of it")
    if None in states:
        parts.append(f"{states[None]} do not say by which")
    return f"- **Library**: {', '.join(parts)}. What is older was not trained again.\n"


def _sweep_parts(sweep: Results) -> list[str]:
    found = []
    for ratio in sorted({cell.ratio for cell in sweep.cells}):
        cells = [cell for cell in sweep.cells if cell.ratio == ratio]
        found += [f"#### {section_title(cells[0].data, ratio)}", main_table(sweep, cells)]
    return found


def machine() -> str:
    """Return words for the machine, without its name."""
    import os

    import torch

    cores = os.cpu_count() or 1
    return (
        f"{cores} cores of {platform.machine()}, {platform.system()}, Python "
        f"{platform.python_version()}, PyTorch {torch.__version__}"
    )


def replace_section(text: str, section: str) -> str:
    """Return ``text`` with what is between the marks replaced, or with the section added."""
    block = f"{BEGIN}\n\n{section}\n\n{END}\n"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1].lstrip("\n")
        return before + block + ("\n" + after if after else "")
    return text.rstrip("\n") + "\n\n" + block


assert BASE in METHODS
