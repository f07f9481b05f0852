"""The page of the study of incomes."""

from __future__ import annotations

import math

from _case_studies.incomes import COSTS, MONEY, PREDICTIONS, REGIONS
from _case_studies.study import Results
from _case_studies.words import bullets, image, number, percent, table, tiny

__all__ = ["page"]

_SIZES = {"2": "Two outcomes", "3": "Three outcomes"}
_MOVER = "the east moves"

_HEAD = """# Incomes and credit: the story in money

Made by `python benchmarks/case_studies.py incomes`.
"""

_SETTING = """## Who these people are

Nobody: the figures were chosen, not measured, so that everything about them is known. Two regions,
{east} of the applicants live in the east. In every region and outcome incomes are log-normal;
medians differ by region and outcome, and Gini coefficients lie between {low} and {high}, about as
in the more equal European countries. A lender sees income and region, and loses, for every
100 euros lent, what the table of losses says. The columns "ideal" are the nearest ideal law when
the east alone moves: it changes what an income tells about its owner, not what anyone earns.
"""

_WAYS = """The lender's best rule is asked in four ways. **Before**: the best rule for D, used on D.
**On D~**: the best rule for the ideal law, on the ideal law: what exactness speaks of. **On the
people as they are**: the same rule on D; the east's incomes are counted as the map says, but one
map for a whole region cannot put each outcome exactly where it should be. **Weights alone**: no
income is counted anew, only base rates are made equal by weights; judged on the people as they are,
too. Loss is in euros per 100 lent.
"""


def page(results: Results) -> str:
    """Return the page."""
    ginis = [g for case in results["cases"].values() for row in case["gini"] for g in row]
    setting = _SETTING.format(
        east=percent(results["share_east"], 0),
        low=number(min(ginis), 2),
        high=number(max(ginis), 2),
    )
    parts = [_HEAD, f"## In short\n\n{_short(results)}"]
    parts.append(image("incomes", "densities of incomes before and after, and the map in money"))
    parts.append(setting)
    for size, case in results["cases"].items():
        parts += [
            f"## {_SIZES[size]}",
            _law_table(case),
            _loss_table(case, int(size)),
            _map_words(case),
            _map_table(case),
            _limits_words(case, int(size)),
            _WAYS if size == "2" else "",
            _judged_table(case, int(size)),
            _drawn_words(case, results["n_drawn"]),
        ]
    parts.append(_expectations(results))
    return "\n\n".join(part.strip("\n") for part in parts if part)


def _short(results: Results) -> str:
    case = results["cases"]["2"]
    after = case["after"][_MOVER]
    power, factor = after["power"]["east"], math.exp(after["shift"]["east"])
    i = MONEY.index(20_000)
    mean = {size: c["after"][_MOVER]["mean_eo"] for size, c in results["cases"].items()}
    told = "; ".join(
        f"{_SIZES[size].lower()}: {number(m['before'])} before, {number(m['weights alone'])} by "
        f"weights alone, {number(m['on D~'])} with incomes counted anew"
        for size, m in mean.items()
    )
    return bullets(
        [
            f"The nearest ideal law counts an income x of the east as {factor:.3f} x^{power:.3f}: "
            f"{MONEY[i]:,} euros count as {after['counted'][i]:,.0f}. The power is above 1 because "
            "the east's incomes are spread less widely. It costs "
            f"{number(after['kl'], 4)} nats.",
            "On the ideal law both regions get every answer equally often, for this lender and "
            f"for {results['n_costs']} others (largest gap {tiny(_worst(results))}; before "
            f"{number(case['largest_gap'], 2)}).",
            "On the people as they are a residue remains, because one map serves a whole region "
            "and its outcomes are not wrong in the same way. Mean gap in true-positive rates over "
            f"{results['n_costs']} lenders: {told}.",
        ]
    )


def _worst(results: Results) -> float:
    return max(a["largest_gap"] for c in results["cases"].values() for a in c["after"].values())


def _law_table(case: Results) -> str:
    ideal = case["after"][_MOVER]
    rows = []
    for a, region in enumerate(REGIONS):
        share = sum(line[a] for line in case["prior"])
        for k, outcome in enumerate(case["outcomes"]):
            rows.append(
                [
                    region,
                    outcome,
                    f"{math.exp(case['log_medians'][k][a]):,.0f}",
                    number(case["log_sds"][k][a], 2),
                    number(case["gini"][k][a], 2),
                    percent(case["prior"][k][a] / share),
                    f"{math.exp(ideal['log_medians'][k][a]):,.0f}",
                    number(ideal["log_sds"][k][a], 2),
                    percent(ideal["prior"][k][a] / share),
                ]
            )
    head = ["region", "outcome", "median, euros", "sd of ln", "Gini", "share"]
    head += ["ideal median", "ideal sd", "ideal share"]
    return table(head, rows, text_columns=2)


def _loss_table(case: Results, size: int) -> str:
    rows = [
        [outcome, *(f"{value:g}" for value in line)]
        for outcome, line in zip(case["outcomes"], COSTS[size], strict=True)
    ]
    return table(["euros lost, if the answer is", *PREDICTIONS[size]], rows)


def _map_words(case: Results) -> str:
    ideal = case["after"][_MOVER]
    power, shift = ideal["power"]["east"], ideal["shift"]["east"]
    turn = math.exp(-shift / (power - 1))
    sense = "above" if power > 1 else "below"
    return (
        f"An income x of the east counts as e^b x^g with b = {number(shift)} and g = "
        f"{number(power)}. A raise of 1 % counts as one of {number(power, 2)} %; every income "
        f"{sense} {turn:,.0f} euros counts as more than it is."
    )


def _map_table(case: Results) -> str:
    counted = case["after"][_MOVER]["counted"]
    head = ["income in the east", *(f"{x:,}" for x in MONEY)]
    row = ["counts as, in the west", *(f"{x:,.0f}" for x in counted)]
    return table(head, [row])


def _limits_words(case: Results, size: int) -> str:
    def told(limits: dict[str, list[float]]) -> str:
        words = PREDICTIONS[size]
        return "; ".join(
            f"{region}: "
            + ", ".join(
                f"{word} from {x:,.0f}" for word, x in zip(words[1:], limits[region], strict=False)
            )
            for region in REGIONS
        )

    ideal = case["after"][_MOVER]["limits"]
    return (
        f"The lender's limits in euros. Before: {told(case['limits'])}. Under D~: {told(ideal)}; "
        "carried through the map the east's limits are the west's, so that one list of limits "
        "serves everybody once incomes are counted."
    )


def _judged_table(case: Results, size: int) -> str:
    lines = [_judged_row("before", case["judged"], size)]
    for programme, found in case["after"].items():
        judged = found["judged"]
        lines.append(_judged_row(f"{programme}: on D~", judged["on D~"], size))
        lines.append(_judged_row(f"{programme}: people as they are", judged["on D"], size))
    weights = case["after"][_MOVER]["judged"]["weights alone"]
    lines.append(_judged_row("weights alone: people as they are", weights, size))
    head = ["rule", "loss"]
    head += [f"{word}, {region}" for word in PREDICTIONS[size][1:] for region in REGIONS]
    return table([*head, "DP gap", "EO gap", "EOdds gap"], lines)


def _judged_row(name: str, judged: Results, size: int) -> list[str]:
    cells = [percent(share) for k in range(1, size) for share in judged["selection"][k]]
    found = [number(judged[gap], 4) for gap in ("dp", "eo", "eodds")]
    return [name, number(judged["risk"], 3), *cells, *found]


def _drawn_words(case: Results, n_drawn: int) -> str:
    drawn = case["after"][_MOVER]["drawn"]
    return (
        f"As a check by another road, {n_drawn:,} people were drawn from D~, their incomes counted "
        "by the map, and the west's limits applied to everybody without asking for the region: "
        f"the regions' shares differ by {number(drawn['gap'], 4)}, with a standard error of at "
        f"most {number(drawn['error'], 4)}."
    )


def _expectations(results: Results) -> str:
    case = results["cases"]["2"]
    ideal = case["after"][_MOVER]["judged"]
    both = case["after"]["both move"]
    lower = ideal["on D~"]["risk"] < case["judged"]["risk"]
    return "## Expected and found\n\n" + bullets(
        [
            "Expected: exact on D~, to rounding, because logarithms turn the law into the normals "
            "of [the first study](normals.md). Found.",
            f"The lender's loss under D~ is {'lower' if lower else 'higher'} than before "
            f"({number(ideal['on D~']['risk'])} against {number(case['judged']['risk'])}), but "
            "that is a loss in a world where the east's incomes tell as much as the west's. On the "
            f"people as they are the same rule loses {number(ideal['on D']['risk'])}, more than "
            "before: no rule can beat the best rule for D on D.",
            f"Letting both regions move pays {number(both['kl'], 4)} nats instead of "
            f"{number(case['after'][_MOVER]['kl'], 4)}; the west's limits then shift too.",
            "Real incomes are only roughly log-normal, and their upper tail is heavier. What is "
            "said here holds for the law that was fitted; "
            "[goodness of fit](tables.md) has to be looked at first.",
        ]
    )
