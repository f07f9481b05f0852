"""The page of the study of many variables."""

from __future__ import annotations

from statistics import median
from typing import Any

from _case_studies.multivariate import PROGRAMMES
from _case_studies.study import Results
from _case_studies.words import bullets, image, number, percent, table, tiny

__all__ = ["page"]

Row = dict[str, Any]

_KINDS = {"tied": "one covariance a group", "free": "a covariance a cell"}
_SAME = 1e-6

_HEAD = """# Many variables

Made by `python benchmarks/case_studies.py multivariate`.
"""

_SETTING = """## What was done

Laws at random: two groups whose classes lie alike, but not in the same places nor with the same
shapes; 2, 3 and 5 classes, 2 to 50 variables, once with one covariance a group ("tied") and once
with a covariance of its own in every cell ("free"). For each law:

- **affine**: only b moves, any invertible affine map. Tied: the closed form. Free: descent from
  many starts on both sides of det = 0;
- **symmetric**: only b moves, with the symmetric positive definite square root in the frame of one
  class as the parameter: a convex programme;
- **all groups**: both move;
- **general optimiser**: SciPy's L-BFGS with exact gradients on the affine programme, {n_starts}
  starts (the identity, the others random, half of them with a reflection).

Divergences are those of the cells, in nats; what the priors cost is the same for all and left out.
Gaps are the largest of any selection or (true, predicted) rate over {n_costs} random cost matrices,
for the Bayes classifier that knows the group; before by quasi-Monte-Carlo, after at points that
are drawn in one frame and carried into each group's own, where the group decides by its own
densities: chance then moves both groups alike, and a difference would be one of the rules. Seconds
are CPU-seconds of one core; of all numbers here they alone differ from run to run.
"""


def page(results: Results) -> str:
    """Return the page."""
    rows: list[Row] = results["rows"]
    parts = [
        _HEAD,
        f"## In short\n\n{_short(rows)}",
        image("multivariate", "price of symmetric maps, and seconds, against variables"),
        _SETTING.format(n_starts=results["n_starts"], n_costs=results["n_costs"]),
    ]
    for kind, words in _KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        parts += [f"## {words[0].upper()}{words[1:]}", _price_table(own), _gap_table(own)]
    parts.append(_expectations(rows))
    return "\n\n".join(part.strip("\n") for part in parts)


def _ratio(row: Row) -> float:
    return float(row["after"]["symmetric"]["kl"] / max(row["after"]["affine"]["kl"], 1e-12))


def _short(rows: list[Row]) -> str:
    lines = []
    for kind, words in _KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        ratios = sorted(_ratio(row) for row in own)
        lines.append(
            f"With {words}, a symmetric map pays {number(median(ratios), 2)} times what the best "
            f"affine map pays in the median ({number(ratios[0], 2)} to {_large(ratios[-1])}; "
            f"{percent(_inside(own), 0)} of the laws between 2 and 3.5)."
        )
    lines.append(_gap_words(rows))
    lines.append(_rival_words(rows))
    return bullets(lines)


def _inside(rows: list[Row]) -> float:
    return sum(2.0 <= _ratio(row) <= 3.5 for row in rows) / len(rows)


def _large(ratio: float) -> str:
    return "more than 1,000" if ratio > 1_000 else number(ratio, 2)


def _gap_words(rows: list[Row]) -> str:
    before = median(row["before"] for row in rows)
    worst = max(found["gap"] for row in rows for found in row["after"].values())
    return (
        f"Gaps: {number(before, 2)} before in the median; after, at corresponding points, "
        f"{tiny(worst)}, whatever the programme, the classes and the variables."
    )


def _rival_words(rows: list[Row]) -> str:
    gain = [row["rival"]["kl"] - row["after"]["affine"]["kl"] for row in rows]
    better = [-g for g in gain if g < -_SAME]
    worse = [g for g in gain if g > _SAME]
    stuck = sum(r["rival"]["kl_one_start"] - r["after"]["affine"]["kl"] > _SAME for r in rows)
    lower = f" (by up to {number(max(better), 4)} nats)" if better else ""
    higher = f" (by up to {number(max(worse), 3)} nats)" if worse else ""
    times = [
        median(
            row["rival"]["seconds"] / max(row["after"]["affine"]["seconds"], 1e-4)
            for row in rows
            if row["kind"] == kind
        )
        for kind in _KINDS
    ]
    return (
        f"The general optimiser found a lower value on {len(better)} of {len(rows)} laws{lower} "
        f"and a higher one on {len(worse)}{higher}; from the identity alone it ended higher on "
        f"{stuck}. It took {number(times[0], 0)} times as long as ours in the median where "
        f"covariances are tied, and {number(times[1], 1)} times as long where they are free."
    )


def _price_table(rows: list[Row]) -> str:
    head = ["classes", "variables", *(f"KL, {name}" for name in PROGRAMMES), "KL, general"]
    head += ["symmetric / affine", *(f"s, {name}" for name in PROGRAMMES), "s, general", "proved"]
    lines = []
    for n_classes, d in sorted({(row["n_classes"], row["d"]) for row in rows}):
        own = [row for row in rows if (row["n_classes"], row["d"]) == (n_classes, d)]
        after = {name: [row["after"][name] for row in own] for name in PROGRAMMES}
        lines.append(
            [
                str(n_classes),
                str(d),
                *(number(median(f["kl"] for f in after[name])) for name in PROGRAMMES),
                number(median(row["rival"]["kl"] for row in own)),
                _large(median(map(_ratio, own))),
                *(number(median(f["seconds"] for f in after[name])) for name in PROGRAMMES),
                number(median(row["rival"]["seconds"] for row in own)),
                f"{sum(f['proved'] for f in after['affine'])} of {len(own)}",
            ]
        )
    return "Medians over the laws of a line; proved: laws whose affine optimum is proved to be " + (
        f"global.\n\n{table(head, lines)}"
    )


def _gap_table(rows: list[Row]) -> str:
    head = ["classes", "variables", "gap before", *(f"after, {name}" for name in PROGRAMMES)]
    lines = []
    for n_classes, d in sorted({(row["n_classes"], row["d"]) for row in rows}):
        own = [row for row in rows if (row["n_classes"], row["d"]) == (n_classes, d)]
        worst = [max(row["after"][name]["gap"] for row in own) for name in PROGRAMMES]
        before = number(max(row["before"] for row in own))
        lines.append([str(n_classes), str(d), before, *map(tiny, worst)])
    return f"The largest gap over the laws of a line:\n\n{table(head, lines)}"


def _expectations(rows: list[Row]) -> str:
    free = [row for row in rows if row["kind"] == "free"]
    settled = all(found["converged"] for row in rows for found in row["after"].values())
    missed = sum(row["rival"]["kl"] < row["after"]["affine"]["kl"] - _SAME for row in free)
    return "## Expected and found\n\n" + bullets(
        [
            "Expected: the closed form for tied covariances is a global optimum. Found: the "
            "general optimiser never got below it"
            + (
                "."
                if _never_below(rows)
                else "; NOT SO on at least one law, which is an error to be looked into."
            ),
            "Expected for free covariances: no guarantee. Found: the general optimiser was lower "
            f"on {missed} of {len(free)} laws; `global_optimum` is claimed on none of them beyond "
            "what is proved.",
            f"Every search {'settled' if settled else 'DID NOT settle on every law'}.",
            "Expected: a symmetric map pays 2 to 3.5 times what an affine one pays. Found: so for "
            f"{percent(_inside(rows), 0)} of the laws, less with two variables and many classes, "
            "far more with few classes and many variables. A symmetric map can match the groups' "
            "spreads, but then nothing is left to turn the class means into place; an affine one "
            "turns them for nothing. So the ratio grows with the variables and falls with the "
            "classes, and with two classes it has no bound: the affine divergence can be next to "
            "0. The laws here are one choice of many.",
        ]
    )


def _never_below(rows: list[Row]) -> bool:
    tied = [row for row in rows if row["kind"] == "tied"]
    return all(row["rival"]["kl"] > row["after"]["affine"]["kl"] - _SAME for row in tied)
