"""The page of the study of risk."""

from __future__ import annotations

from typing import Any

from _case_studies.risk import COSTS, MOVES
from _case_studies.study import Results
from _case_studies.words import bullets, image, number, percent, table, tiny

__all__ = ["page"]

Row = dict[str, Any]

_HEAD = """# Where steering lowers the risk, and where it raises it

Made by `python benchmarks/case_studies.py risk`.
"""

_LAWS = """## Three risks that must not be mixed up

- **R(D)**: the risk of the best rule for D, on D.
- **R(D~)**: the risk of the best rule for D~, on D~. It may be below or above R(D): another law is
  another world, in which deciding is easier or harder.
- **R(D, h~)**: the risk of the best rule for D~ **on the rows of D**. It is never below R(D),
  because R(D) is the least that any rule reaches on D, a rule on steered rows included: steering
  followed by a rule is itself a rule.

So "steering improves accuracy" is a sentence about R(D~), or about rows whose labels were wrong to
begin with. On the rows as they are, labels as they are, it cannot be true of the best rule.
"""

_WHY = """## Why

Write r_a(π) for the least risk in group a when its class 1 has probability π, and w_a for the
group's share. Then R(D) = Σ w_a r_a(π_a).

1. **Who moves alone becomes the other, statistically.** After b has moved, its two classes are an
   affine image of a's, and an affine map that is known changes no risk. With base rates made
   equal, R(D~) = r_a(π), π the overall base rate: **b's own separation drops out.** With equal base
   rates from the start the change is w_b (r_a - r_b): negative exactly where a's classes are the
   easier ones to tell apart at this cost.
2. **For equal scales this holds for every cost at once.** Normals further apart can be turned into
   normals closer together by adding noise, so the closer pair is never better, whatever the cost
   (Blackwell). The boundary is b's separation = a's separation.
3. **With unequal scales it may depend on the cost.** In general neither pair can be made from the
   other by adding noise, so one cost may prefer the first and another the second: the boundary
   moves with the cost.
4. **Unequal base rates make equality dear.** r is concave in π (a rule that is told which of two
   base rates holds does at least as well). Hence r(Σ w π) >= Σ w r(π): if the groups differ in base
   rates alone, making them equal raises the risk of every cost, or leaves it.
5. **When both move they meet in between.** With equal scales and every error counting 1, the
   risk Φ(-δ/2) is convex in the separation δ: one separation for both, not below the groups' mean,
   errs less than the mixture of two. Lopsided costs have a risk that is not convex in δ (where
   classes are close the best rule does not look at all), and then meeting in between may cost.
"""


_SAME_RULE = """R(D, h~) equals R(D) in this table, and so do the gaps on the rows of D: with
equal scales and base rates the best rule is the midpoint between the class means, and no map that
is best for D~ moves the midpoint. The decisions stay, the world changes. Exactness is a statement
about D~; **a group whose classes really lie closer together on D cannot be given the other group's
error rates by moving its rows as a whole.** What can be done about such rows is the matter of
[calibrated offsets](../how-to/choosing-blind-or-given.md) and of better features for that group.
"""


def page(results: Results) -> str:
    """Return the page."""
    parts = [
        _HEAD,
        f"## In short\n\n{_short(results)}",
        image("risk", "change of the Bayes risk over mismatches, and loss on the rows of D"),
        _reading(results),
        _LAWS,
        _WHY,
        "## Equal scales and base rates, every error counts 1",
        _place_table(results),
        _SAME_RULE,
        "## Equal separation and scales: base rates alone",
        _prior_table(results),
        "## How far the costs agree",
        _cost_words(results),
        _cost_table(results),
        _expectations(results),
    ]
    return "\n\n".join(part.strip("\n") for part in parts)


def _short(results: Results) -> str:
    rows = _line(results)
    worse = [row for row in rows if row["separation"] < results["match"] - 0.01]
    better = [row for row in rows if row["separation"] > results["match"] + 0.01]
    moved = [r["after"]["b moves"] for r in worse]
    raised = [r["after"]["b moves"] for r in better]
    wrong = sum(m["higher"] for m in moved) + sum(m["lower"] for m in raised)
    alone = [r["after"]["b moves"] for r in _base_rates(results)]
    cheaper = sum(m["lower"] for m in alone)
    return bullets(
        [
            "Moving a badly separated group to a well separated reference lowers the risk under "
            "D~, the reverse raises it. With equal scales and base rates this is so for every cost "
            f"({results['n_costs']} random ones at {len(rows)} separations: {wrong} exceptions).",
            "Unequal base rates alone make the ideal law riskier, for every cost "
            f"({len(alone)} base rates: {cheaper} exceptions).",
            "When both groups move and every error counts 1, the risk under D~ fell, or stayed, at "
            f"{_falls(results)} points of the first grid, whichever group was the better "
            "separated; at lopsided costs it may rise.",
            "On the rows as they are the best rule for D~ never beats the best rule for D: the "
            f"smallest difference found is {tiny(max(0.0, _least(results)))}, the largest "
            f"{number(_most(results), 3)} at unit costs.",
        ]
    )


def _falls(results: Results) -> str:
    rows = results["grids"]["scale"]
    found = [r["after"]["both move"]["ideal"][0] - r["before"][0] for r in rows]
    return f"{sum(change < 1e-12 for change in found)} of {len(rows)}"


def _reading(results: Results) -> str:
    return (
        "Two groups on a line as in [the first study](normals.md); b is "
        f"{percent(results['share_b'], 0)} of people. Upper row: R(D~) - R(D), black the line on "
        "which nothing changes. Lower row: R(D, h~) - R(D), what the rule of D~ loses on the rows "
        "of D (colours by the square root). The cross marks a law that "
        "is ideal already. First three columns: equal base rates, b's separation against the "
        "standard deviation of its class 1; last column: equal standard deviations, separation "
        "against base rate."
    )


def _line(results: Results) -> list[Row]:
    return [r for r in results["grids"]["scale"] if r["scale"] == 1.0]


def _base_rates(results: Results) -> list[Row]:
    return [r for r in results["grids"]["prior"] if r["separation"] == results["match"]]


def _all_rows(results: Results) -> list[Row]:
    return [row for rows in results["grids"].values() for row in rows]


def _losses(results: Results) -> list[float]:
    return [
        after["rows"][i] - row["before"][i]
        for row in _all_rows(results)
        for after in row["after"].values()
        for i in range(len(COSTS))
    ]


def _least(results: Results) -> float:
    return min(_losses(results))


def _most(results: Results) -> float:
    return max(
        after["rows"][0] - row["before"][0]
        for row in _all_rows(results)
        for after in row["after"].values()
    )


def _place_table(results: Results) -> str:
    rows = _line(results)
    step = max(1, len(rows) // 10)
    head = ["separation of b", "R(D)"]
    head += [f"R(D~), {name}" for name in MOVES] + ["R(D, h~), b moves", "R(D, h~), both move"]
    head += ["EO gap, D", "EO gap of h~ on D, b moves"]
    lines = []
    for row in rows[step - 1 :: step]:
        found = [row["after"][name] for name in MOVES]
        b, _, both = found
        cells = [row["before"][0], *(f["ideal"][0] for f in found), b["rows"][0], both["rows"][0]]
        cells += [row["before_eo"][0], b["rows_eo"][0]]
        lines.append([f"{row['separation']:g}", *(number(cell, 4) for cell in cells)])
    return table(head, lines)


def _prior_table(results: Results) -> str:
    rows = _base_rates(results)
    step = 2 if len(rows) > 5 else 1
    head = ["P(Y = 1 given b)", *(f"R(D~) - R(D), {name}" for name in COSTS)]
    lines = []
    for row in rows[::step]:
        ideal, before = row["after"]["b moves"]["ideal"], row["before"]
        cells = [number(i - b, 4) for i, b in zip(ideal, before, strict=True)]
        lines.append([f"{row['prior_b']:g}", *cells])
    return table(head, lines)


def _cost_words(results: Results) -> str:
    return (
        f"Of {results['n_costs']} random cost matrices (some of which never look at the row and "
        "change nothing) the risk under D~ fell for all, rose for all, or fell for some and rose "
        "for others, at this share of the points of the first grid:"
    )


def _cost_table(results: Results) -> str:
    rows = results["grids"]["scale"]
    lines = []
    for name in MOVES:
        found = [row["after"][name] for row in rows]
        fell = sum(f["lower"] > 0 and not f["higher"] for f in found) / len(rows)
        rose = sum(f["higher"] > 0 and not f["lower"] for f in found) / len(rows)
        both = sum(f["higher"] > 0 and f["lower"] > 0 for f in found) / len(rows)
        lines.append([name, *(percent(share) for share in (fell, rose, both))])
    return table(["who moves", "fell for all", "rose for all", "depends on the cost"], lines)


def _expectations(results: Results) -> str:
    rows = _line(results)
    both = [r["after"]["both move"]["ideal"][0] - r["before"][0] for r in rows]
    share = results["share_b"]
    apart = [
        r["after"]["both move"]["apart"] - (1 - share) * results["match"] - share * r["separation"]
        for r in rows
    ]
    return "## Expected and found\n\n" + bullets(
        [
            "Expected: sign by separation alone for one mover and equal scales; found at every "
            "point and cost.",
            "Expected: R(D, h~) >= R(D); found, to rounding "
            f"(smallest difference {_least(results):.0e}).",
            "Not expected at first: when both move and every error counts 1, the risk under D~ "
            f"falls at {_falls(results)} points of the first grid (at equal scales by up to "
            f"{number(-min(both), 3)}), whichever group is the better separated. Reason 5 explains "
            "it for equal scales: the common separation was never below the groups' weighted mean "
            f"(smallest surplus {number(min(apart), 4)}), which is found here, not proved.",
            "What it does not say: that a law with a lower risk is a better law. R(D~) is lower "
            "because D~ is a world in which b's features tell more than they do.",
        ]
    )
