"""The page of the study of normals on a line."""

from __future__ import annotations

from typing import Any

from _case_studies.judging import CRITERIA
from _case_studies.study import Results
from _case_studies.words import bullets, image, number, percent, table, tiny

__all__ = ["page"]

Row = dict[str, Any]

_TITLE = """# Two groups on a line

Made by `python benchmarks/case_studies.py normals`.
"""

_SETTING = """## What was done

One variable, two groups, a (70 % of people) and b (30 %). In a the classes 0 and 1 are normal with
means 0 and 2 and standard deviation 1, and equally frequent. In b three things are varied: the
mean of class 1 (a negative value turns the order of the classes round), its standard deviation,
and how frequent it is. With three classes a third one stands at 4 in both groups, and what class 1
leaves is shared by the others. At each of the {n_points} points the nearest ideal law D~ is sought
three ways, in the information direction and with `priors="reweigh"`:

- **affirmative**: only b moves, by any invertible affine map;
- **all groups**: both move;
- **symmetric**: only b moves, by a map with a positive slope.

Then {n_costs} random cost matrices (half lopsided losses, half any numbers) give each law a Bayes
classifier that knows the group; its largest difference between the groups in selection rates (DP),
in true-positive rates of any class (EO) and in rates of any (true, predicted) pair (EOdds) is
computed from the boundaries themselves, without sampling. The second figure shows the means over
the cost matrices for two classes, where EO over both classes and EOdds are the same number; after
steering every one of its cells is 0 to {after}.
"""

_LAWS = """The risks before and after are **of two laws**: how often the best possible decisions err
under D, and how often under D~. A lower risk under D~ is no promise about rows of D; the page on
[risk](risk.md) keeps the two apart.
"""


def page(results: Results) -> str:
    """Return the page."""
    rows: list[Row] = results["rows"]
    parts = [
        _TITLE,
        f"## In short\n\n{_short(results)}",
        image("normals", "divergence paid and Bayes risk against mismatch, three programmes"),
        image("normals-gaps", "mean gaps before, and the divergence paid, over the whole grid"),
        _SETTING.format(n_points=len(rows), n_costs=results["n_costs"], after=tiny(_worst(rows))),
        "## Gaps before and after\n\nMean over points and cost matrices, and the largest of all.",
        _gap_table(rows),
        "## What it costs\n\nTwo classes, equal priors and scales: divergence in nats, and the "
        "share of wrong Bayes decisions under each law.\n\n" + _LAWS,
        _price_table(rows),
        _expectations(rows),
    ]
    return "\n\n".join(part.strip("\n") for part in parts)


def _short(results: Results) -> str:
    rows: list[Row] = results["rows"]
    n_after = len(rows) * results["n_costs"] * len(rows[0]["after"])
    before = max(r["before"]["largest"][c] for r in rows for c in CRITERIA)
    after = _worst(rows)
    lines = [
        f"Exact means exact here: of {n_after:,} Bayes classifiers on ideal laws none treats the "
        f"groups differently by more than {tiny(after)}, whatever the criterion; before, gaps "
        f"reached {number(before, 2)}.",
        _saving(rows),
    ]
    if "symmetric" in rows[0]["after"]:
        lines.append(_order(rows))
    lines.append(_priors(rows))
    return bullets(lines)


def _worst(rows: list[Row]) -> float:
    return max(_after(r, p)["largest"][c] for r in rows for p in r["after"] for c in CRITERIA)


def _saving(rows: list[Row]) -> str:
    both = [(r["after"]["affirmative"]["kl"], r["after"]["all groups"]["kl"]) for r in rows]
    paid = [(a, b) for a, b in both if a > 1e-6]
    share = 1 - sum(b for _, b in paid) / sum(a for a, _ in paid)
    never = "never" if max(b - a for a, b in both) < 1e-9 else "not always"
    return (
        f"Letting both groups move {never} costs more than moving b alone, and saves "
        f"{percent(share, 0)} of the divergence over the grid: the groups meet in between instead "
        "of one going all the way."
    )


def _order(rows: list[Row]) -> str:
    turned = [r for r in rows if r["n_classes"] == 2 and r["separation"] < 0]
    kept = [r for r in rows if r["n_classes"] == 2 and r["separation"] >= 0]
    paid = [(_after(r, "affirmative")["kl"], _after(r, "symmetric")["kl"]) for r in turned]
    affine, symmetric = max(paid, key=lambda pair: pair[1] - pair[0])
    same = max(abs(_after(r, "symmetric")["kl"] - _after(r, "affirmative")["kl"]) for r in kept)
    return (
        "With two classes a symmetric map is as good as any where the classes stand in the same "
        f"order in both groups (difference at most {tiny(same)} nats). Where the order is turned "
        f"round it cannot turn it back: at worst it pays {number(symmetric)} nats where a map that "
        f"may turn pays {number(affine)}."
    )


def _priors(rows: list[Row]) -> str:
    found = [r for r in rows if r["n_classes"] == 2 and r["separation"] == 2 and r["scale"] == 1]
    told = [
        f"{number(_after(r, 'affirmative')['kl'])} at P(Y=1 | b) = {r['prior_b']:g}"
        for r in sorted(found, key=lambda r: -r["prior_b"])
    ]
    return (
        "Unequal base rates alone, with identical laws in each class, already cost: "
        + ", ".join(told)
        + " (.5 in a). No map of features can take that away; only weights can."
    )


def _after(row: Row, programme: str) -> dict[str, Any]:
    found: dict[str, Any] = row["after"][programme]
    return found


def _gap_table(rows: list[Row]) -> str:
    lines = []
    for n_classes in sorted({row["n_classes"] for row in rows}):
        own = [row for row in rows if row["n_classes"] == n_classes]
        laws = {"before": [r["before"] for r in own]}
        laws |= {f"after, {p}": [_after(r, p) for r in own] for p in own[0]["after"]}
        for name, found in laws.items():
            show = number if name == "before" else tiny
            means = [show(sum(f["mean"][c] for f in found) / len(found)) for c in CRITERIA]
            most = [show(max(f["largest"][c] for f in found)) for c in CRITERIA]
            cells = [cell for pair in zip(means, most, strict=True) for cell in pair]
            lines.append([str(n_classes), name, *cells])
    head = ["classes", "law"]
    head += [word for c in CRITERIA.values() for word in (f"{c} mean", f"{c} largest")]
    return table(head, lines, text_columns=2)


def _price_table(rows: list[Row]) -> str:
    own = [r for r in rows if r["n_classes"] == 2 and r["prior_b"] == 0.5 and r["scale"] == 1.0]
    names = list(own[0]["after"])
    head = ["mean of b's class 1", *(f"KL, {n}" for n in names)]
    head += ["risk before", *(f"risk, {n}" for n in names)]
    lines = []
    for row in own:
        found = [_after(row, n) for n in names]
        lines.append(
            [
                f"{row['separation']:g}",
                *(number(f["kl"], 4) for f in found),
                number(row["before"]["risk"], 4),
                *(number(f["risk"], 4) for f in found),
            ]
        )
    return table(head, lines)


def _expectations(rows: list[Row]) -> str:
    proved = {p: (sum(_after(r, p)["proved"] for r in rows), len(rows)) for p in rows[0]["after"]}
    checked = all(_after(r, p)["ideal"] for r in rows for p in r["after"])
    settled = all(_after(r, p)["converged"] for r in rows for p in r["after"])
    return "## Expected and found\n\n" + bullets(
        [
            "Expected: gaps after below 1e-9, because in one variable boundaries are roots of "
            "equations, not integrals over samples. Found: as in the table; what is left is "
            "rounding.",
            f"`is_ideal` agrees at {'every point' if checked else 'NOT EVERY POINT'}, and every "
            f"search {'settled' if settled else 'DID NOT settle'}.",
            "A global optimum is claimed only where it is proved: "
            + ", ".join(f"{p} at {n} of {m} points" for p, (n, m) in proved.items())
            + ". Elsewhere the best of all sign patterns and several starts is reported.",
            "In the table just above: where b is separated worse than a (between -2 and 2), moving "
            "b alone lowers the risk under D~; where it is separated better, it raises it: b is "
            "levelled down. Who moves is a choice with consequences, not a technical detail.",
        ]
    )
