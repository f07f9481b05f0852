"""The page of the study of real tables."""

from __future__ import annotations

from _case_studies.study import Results
from _case_studies.tables import FAMILIES, HEADS
from _case_studies.words import bullets, image, interval, number, table, tiny

__all__ = ["page"]

_HEAD = """# Five real tables

Made by `python benchmarks/case_studies.py tables`.
"""

_SETTING = """## What was done

Each table is dealt into two halves of the same composition. Only columns that a density can
describe are used (numbers with at least ten values, none of them held by half the rows), equal
numbers spread evenly up to the next larger one, so that no density is infinite. Whoever wants
the best classifier uses all columns ([real data](../real-data.md)); here the law is the matter.

On the first half `choose_family` compares families by cross-validated log-likelihood ("score",
nats a row in the columns' own units, with the standard error of the difference to the best one) and
takes the simplest within one standard error of the best. Every family is fitted with one
covariance a group, and the nearest ideal law (both groups move) is found. "Held out" is the mean
log-density of the second half, priors of the cells included, which neither fit nor choice has
seen. "p" is the test of fit by energy distance with a parametric bootstrap ({n_bootstrap}
replicates, so no p is below {least}); "distance" is the statistic of the cell that fits worst, on
at most 300 of its rows. "Bayes gap" is the largest gap of any selection or (true, predicted) rate
of the Bayes classifier that knows the group, over 10 random cost matrices.

Then the rows: heads are trained on the first half as it is, with weights that make label and group
independent, and on rows carried to one frame by the ideal law of a family, with the same weights;
all are judged on the second half, carried by the same maps where they were. Gaps with 95 %
intervals by simultaneous bootstrap.
"""

_READING = """## How to read this

- **Exact on the fitted law, not on the rows.** The Bayes gap of the ideal law is rounding. The rows
  do not follow the law: {rejected} of {judged} fitted laws are rejected at p <= .05. With thousands
  of rows almost any family is; how large the distance is says more than the p.
- **A better fit is not always a smaller gap.** The family with the best held-out likelihood
  describes the rows best as a whole; the gap depends on the few places where decisions change.
- **Equal base rates are part of the ideal law.** Rows that are judged keep their own, hence DP gaps
  remain where base rates differ.
"""


def page(results: Results) -> str:
    """Return the page."""
    n = results["n_bootstrap"]
    parts = [_HEAD, f"## In short\n\n{_short(results)}"]
    if results["tables"]:
        parts.append(image("tables", "gaps on held-out rows before and after, by table"))
    parts.append(_SETTING.format(n_bootstrap=n, least=number(1 / (n + 1))))
    for name, found in results["tables"].items():
        parts.append(
            f"## {name.replace('_', ' ')}\n\n{found['title']} {found['n_train']:,} rows to fit "
            f"on, {found['n_test']:,} to judge on. Columns: {', '.join(found['columns'])}."
        )
        parts += [_law_table(found), _row_table(found)]
    if results["missing"]:
        lines = (f"{name}: {why}" for name, why in results["missing"].items())
        parts.append(f"## Not computed\n\n{bullets(lines)}")
    parts.append(_reading(results))
    return "\n\n".join(part.strip("\n") for part in parts)


def _reading(results: Results) -> str:
    laws = [law for t in results["tables"].values() for law in t["families"].values()]
    known = [law["p_value"] for law in laws if law.get("p_value") is not None]
    return _READING.format(rejected=sum(p <= 0.05 for p in known), judged=len(known))


def _short(results: Results) -> str:
    lines = []
    for name, found in results["tables"].items():
        chosen = found["families"][found["chosen"]]
        normal = found["families"]["normal"]
        lines.append(
            f"{name.replace('_', ' ')}: {found['chosen'].replace('_', ' ')}, "
            f"{number(chosen['held_out'] - normal['held_out'], 2)} nats a row better than normal "
            f"cells; the ideal law costs {number(chosen['kl'], 4)} nats; EOdds gap on held-out "
            f"rows, logistic regression: {_gap(found, 'as they are')} as they are, "
            f"{_gap(found, 'weights alone')} with weights alone, "
            f"{_gap(found, 'steered, ' + found['chosen'])} steered."
        )
    laws = [law for t in results["tables"].values() for law in t["families"].values()]
    worst = max((law["gap"][1] for law in laws if "gap" in law), default=0.0)
    lines.append(
        f"On the fitted laws the largest gap after is {tiny(worst)}; on the rows it is what the "
        "lines above say. What is left is misfit of the family, one map for all classes of a "
        "group, and noise."
    )
    return bullets(lines)


def _find(found: Results, head: str, way: str) -> Results:
    return next(row for row in found["rows"] if (row["head"], row["way"]) == (head, way))


def _gap(found: Results, way: str) -> str:
    value, low, high = _find(found, "logistic regression", way)["eodds"]
    return f"{number(value)} ({interval(low, high)})"


def _law_table(found: Results) -> str:
    head = [
        "family",
        "score",
        "s.e.",
        "held out",
        "KL, nats",
        "p",
        "distance",
        "violation before",
        "after",
    ]
    head += ["Bayes gap before", "after"]
    lines = []
    for family in FAMILIES:
        law = found["families"][family]
        name = family.replace("_", " ") + (" (chosen)" if family == found["chosen"] else "")
        if "why" in law:
            lines.append([name, *[""] * 10])
            continue
        lines.append(
            [
                name,
                number(found["scores"].get(family)),
                number(found["errors"].get(family)),
                number(law["held_out"]),
                number(law["kl"], 4),
                number(law["p_value"]),
                number(law["distance"], 4),
                number(law["violation"][0]),
                tiny(law["violation"][1]),
                number(law["gap"][0]),
                tiny(law["gap"][1]),
            ]
        )
    missing = [
        f"{family.replace('_', ' ')}: {why}"
        for family, law in found["families"].items()
        for why in (law["not_judged"] if "kl" in law else [law["why"]])
    ]
    return table(head, lines) + ("\n\n" + bullets(missing) if missing else "")


def _row_table(found: Results) -> str:
    head = ["head", "rows", "accuracy", "interval", "DP gap", "interval", "EOdds gap", "interval"]
    lines = []
    for name in HEADS:
        for row in (row for row in found["rows"] if row["head"] == name):
            cells: list[str] = []
            for kind in ("accuracy", "dp", "eodds"):
                value, low, high = row[kind]
                cells += [number(value), interval(low, high)]
            lines.append([name, row["way"].replace("_", " "), *cells])
    return table(head, lines, text_columns=2)
