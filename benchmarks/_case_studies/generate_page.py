"""The page of the study of generated rows."""

from __future__ import annotations

from typing import Any

from _case_studies.generate import CARRIED, HEADS, SOURCES
from _case_studies.study import Results
from _case_studies.words import bullets, image, interval, number, points, table, tiny

__all__ = ["page"]

Row = dict[str, Any]

_HEAD = """# Training on rows drawn from the ideal law

Made by `python benchmarks/case_studies.py generate`.
"""

_SETTING = """## What was done

Each table is dealt into two halves of the same composition. On the first, standardised half a law
is fitted (normal cells, one covariance a group, OAS shrinkage) and the nearest ideal law D~ is
found (both groups move). Then {n_drawn:,} rows are drawn, classifiers are trained, and all of them
are judged on the second half: real rows, never changed but for the two sources that say so. Seven
sources of training rows:

{sources}

One head a group: the rule knows the group. One head: the group is not among its features; carrying
rows to one frame still needs the group of every row. Gaps are the largest
differences between the groups in selection rates (DP) and in (true, predicted) rates (EOdds), with
95 % intervals by simultaneous bootstrap; the intervals speak of the judged rows, not of another
draw of training rows.
"""

_CARRY = """## What does not carry over

- **A law that is exact says nothing about rows that do not follow it.** The column "on D~" shows
  the same classifiers on fresh rows of the ideal law. What lies between it and the gap on real rows
  is more than noise: real cells are not normal, and D~ is another world than that of the rows.
- **DP cannot hold on rows with unequal base rates** for a useful classifier that is also fair in
  its error rates. D~ has equal base rates; the rows have not.
- **Without the group nothing is promised on D~.** There the groups still lie in different places;
  only a rule that knows the group, or rows carried to one frame, must treat them alike. One
  logistic head trained on D~ has EOdds gaps of {one_head} on D~ itself.
- **The family has a price of its own**, seen by comparing rows drawn from D with real rows; with
  one-hot columns drawn as normals a flexible learner learns shapes that no real row has.
"""


def page(results: Results) -> str:
    """Return the page."""
    sources = bullets(f"**{name}**: {words};" for name, words in SOURCES.items())
    setting = _SETTING.format(n_drawn=results["n_drawn"], sources=sources[:-1] + ".")
    parts = [_HEAD, f"## In short\n\n{_short(results)}"]
    parts.append(setting)
    if results["tables"]:
        words = "gaps and accuracy on held-out rows by source of rows"
        parts.insert(2, image("generate", words))
    for name, found in results["tables"].items():
        parts.append(f"## {name.replace('_', ' ')}")
        parts.append(
            f"{found['title']} {found['n_train']:,} rows to fit on, {found['n_test']:,} to judge "
            f"on, {found['n_features']} features. D~ costs {number(found['kl'])} nats; violation "
            f"of the fitted law {number(found['violation'][0])}, of D~ "
            f"{tiny(found['violation'][1])}."
        )
        parts += [
            f"### {head}: {name.replace('_', ' ')}\n\n{_table(found, head)}" for head in HEADS
        ]
    for name, why in results["missing"].items():
        parts.append(f"Not computed: {name} ({why})")
    one_head = [
        number(_find(found, "logistic regression", False, "drawn from D~")["ideal"]["eodds"][0])
        for found in results["tables"].values()
    ]
    parts += [_CARRY.format(one_head=", ".join(one_head)), _steps(results)]
    return "\n\n".join(part.strip("\n") for part in parts)


def _find(found: Results, head: str, aware: bool, source: str) -> Row:
    return next(
        row
        for row in found["rows"]
        if (row["head"], row["aware"], row["source"]) == (head, aware, source)
    )


def _short(results: Results) -> str:
    lines = []
    for name, found in results["tables"].items():
        told = []
        for head in HEADS:
            real = _find(found, head, True, "real rows")["real"]
            ideal = _find(found, head, True, "drawn from D~")["real"]
            told.append(
                f"{head} from {_gap(real)} to {_gap(ideal)}, at "
                f"{points(ideal['accuracy'][0] - real['accuracy'][0])} points of accuracy"
            )
        lines.append(f"{name.replace('_', ' ')}: {'; '.join(told)}.")
    said = (
        "EOdds gap on real held-out rows, one head a group, trained on real rows and then on rows "
        "of the ideal law (with 95 % intervals):\n\n"
    )
    if not lines:
        return "No table was found; see below where to put them."
    rest = [_family_price(results), _transfer(results), _not_better(results)]
    return f"{said}{bullets(lines)}\n\nBesides:\n\n{bullets(rest)}"


def _gap(judged: Results) -> str:
    value, low, high = judged["eodds"]
    return f"{number(value)} ({interval(low, high)})"


def _not_better(results: Results) -> str:
    """Say where the rows of D~ do not beat real rows with weights, for logistic heads."""
    worse, risen = [], []
    for name, found in results["tables"].items():
        real, weights, ideal = (
            _find(found, "logistic regression", True, source)["real"]["eodds"]
            for source in ("real rows", "real rows, weights", "drawn from D~")
        )
        worse += [name.replace("_", " ")] if ideal[0] > weights[0] else []
        risen += [name.replace("_", " ")] if ideal[0] > real[0] else []
    return (
        "With logistic heads the gap on real rows rose on "
        f"{', '.join(risen) or 'no table'}, and weights alone, with no law fitted at all, closed "
        f"more of it on {', '.join(worse) or 'no table'}."
    )


def _family_price(results: Results) -> str:
    told = []
    for head in HEADS:
        costs = [
            _find(f, head, True, "drawn from D")["real"]["accuracy"][0]
            - _find(f, head, True, "real rows")["real"]["accuracy"][0]
            for f in results["tables"].values()
        ]
        told.append(f"{points(min(costs))} to {points(max(costs))} points for {head}")
    return (
        "The parametric family, before any steering, changes accuracy by "
        + " and by ".join(told)
        + " (rows drawn from D against real rows)."
    )


def _transfer(results: Results) -> str:
    pairs = [
        _find(f, "logistic regression", True, "drawn from D~") for f in results["tables"].values()
    ]
    ideal = [number(p["ideal"]["eodds"][0]) for p in pairs]
    real = [number(p["real"]["eodds"][0]) for p in pairs]
    return (
        "Logistic heads trained on D~ are as good as exact on fresh rows of D~ (EOdds gaps "
        + ", ".join(ideal)
        + ") and not on real rows ("
        + ", ".join(real)
        + "): what does not carry over is the law, not the learner."
    )


def _table(found: Results, head: str) -> str:
    head_line = ["trained on", "heads", "accuracy", "interval", "DP gap", "interval"]
    head_line += ["EOdds gap", "interval", "on D~: accuracy", "on D~: EOdds gap"]
    lines = []
    for row in found["rows"]:
        if row["head"] != head:
            continue
        cells = []
        for kind in ("accuracy", "dp", "eodds"):
            value, low, high = row["real"][kind]
            cells += [number(value), interval(low, high)]
        one = "one, rows carried" if row["source"] in CARRIED else "one"
        heads = "one a group" if row["aware"] else one
        ideal = row["ideal"]
        cells += [number(ideal["accuracy"][0]), number(ideal["eodds"][0])]
        lines.append([row["source"], heads, *cells])
    return table(head_line, lines, text_columns=2)


def _steps(results: Results) -> str:
    """Return, step by step, where the EOdds gap of the logistic head on real rows goes."""
    steps = ("real rows", "real rows, weights", "drawn from D, ideal priors", "drawn from D~")
    lines = []
    for name, found in results["tables"].items():
        row = [_find(found, "logistic regression", True, s)["real"]["eodds"][0] for s in steps]
        lines.append([name.replace("_", " "), *(number(value) for value in row)])
    return (
        "## Which step closes what\n\nEOdds gap on real held-out rows, logistic regression, one "
        "head a group: as it is; weights alone; the family and weights; D~.\n\n"
        + table(["table", *steps], lines)
    )
