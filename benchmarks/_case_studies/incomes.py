"""Log-normal incomes of two regions and their credits: the story in money."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf

from _case_studies.judging import boundaries, gaps, random_costs, rates_under
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution, bayes_rates, nearest_ideal
from isonomy.ideal.bayes import BayesRates, rates_for_costs

__all__ = ["COSTS", "PREDICTIONS", "REGIONS", "compute", "law_of"]

REGIONS = ("east", "west")
SHARE_EAST = 0.3
MONEY = (10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 60_000)

# (median income in euros a year, standard deviation of its logarithm, share of the region)
CELLS: dict[int, dict[str, dict[str, tuple[float, float, float]]]] = {
    2: {
        "east": {"defaulted": (19_500, 0.44, 0.17), "repaid": (24_500, 0.42, 0.83)},
        "west": {"defaulted": (21_000, 0.47, 0.12), "repaid": (30_000, 0.45, 0.88)},
    },
    3: {
        "east": {
            "defaulted": (18_500, 0.44, 0.13),
            "late": (21_500, 0.43, 0.11),
            "repaid": (24_800, 0.42, 0.76),
        },
        "west": {
            "defaulted": (20_000, 0.47, 0.09),
            "late": (25_500, 0.46, 0.08),
            "repaid": (30_500, 0.45, 0.83),
        },
    },
}

PREDICTIONS = {2: ("refuse", "grant"), 3: ("refuse", "ask for security", "grant")}
COSTS = {
    # euros lost for every 100 lent: rows are what happens, columns what the lender does
    2: [[0.0, 50.0], [12.0, 0.0]],
    3: [[0.0, 18.0, 50.0], [6.0, 4.0, 9.0], [12.0, 3.0, 0.0]],
}
PROGRAMMES: dict[str, dict[str, Any]] = {
    "the east moves": {"moves": ["east"], "reference": "west"},
    "both move": {"moves": "all", "reference": "west"},
}


def law_of(n_classes: int) -> JointDistribution:
    """Return the law of income, outcome and region."""
    cells = CELLS[n_classes]
    outcomes = list(cells["east"])
    figures = np.array([[cells[region][outcome] for region in REGIONS] for outcome in outcomes])
    return JointDistribution.from_arrays(
        np.log(figures[..., 0])[..., None],
        figures[..., 1, None, None] ** 2,
        figures[..., 2] * [SHARE_EAST, 1.0 - SHARE_EAST],
        outcomes,
        REGIONS,
        family="lognormal",
    )


def compute(asked: Asked, tell: Tell) -> Results:
    """Find the ideal incomes, and what a lender does before and after."""
    n_drawn, n_costs = (20_000, 6) if asked.quick else (400_000, 50)
    found: Results = {
        "n_drawn": n_drawn,
        "n_costs": n_costs,
        "share_east": SHARE_EAST,
        "cases": {},
    }
    steps = [(n, p) for n in CELLS for p in PROGRAMMES]
    for i, (n_classes, programme) in enumerate(steps):
        tell(f"incomes, {n_classes} outcomes, {programme}", i, len(steps))
        law, cost = law_of(n_classes), np.array(COSTS[n_classes])
        lenders = random_costs(n_costs, n_classes, asked.seed)
        case = found["cases"].setdefault(str(n_classes), _before(law, cost, lenders))
        solution = nearest_ideal(law, **PROGRAMMES[programme])
        case["after"][programme] = {
            **_after(solution, cost, lenders),
            "drawn": _drawn(solution, cost, n_drawn, asked.seed),
        }
    tell("incomes", len(steps), len(steps))
    return found


def _before(law: JointDistribution, cost: Any, lenders: list[Any]) -> Results:
    sds = np.sqrt(np.asarray(law.covariances)[..., 0, 0])
    return {
        "outcomes": list(law.classes),
        "log_medians": np.asarray(law.means)[..., 0].tolist(),
        "log_sds": sds.tolist(),
        "gini": erf(sds / 2.0).tolist(),
        "prior": np.asarray(law.prior).tolist(),
        "judged": _judged(bayes_rates(law, cost)),
        "limits": _limits(law, cost),
        "largest_gap": _largest_gap(law, lenders),
        "after": {},
    }


def _after(solution: IdealSolution, cost: Any, lenders: list[Any]) -> Results:
    law = solution.source
    ideal = solution.distribution
    reweighed = JointDistribution(law.cells, ideal.priors)
    power = {g: float(m.matrix[0, 0]) for g, m in solution.maps.items()}
    shift = {g: float(m.offset[0]) for g, m in solution.maps.items()}
    counted = [float(np.exp(shift["east"] + power["east"] * np.log(x))) for x in MONEY]
    return {
        "kl": solution.kl,
        "power": power,
        "shift": shift,
        "counted": counted,
        "log_medians": np.asarray(ideal.means)[..., 0].tolist(),
        "log_sds": np.sqrt(np.asarray(ideal.covariances)[..., 0, 0]).tolist(),
        "prior": np.asarray(ideal.prior).tolist(),
        "limits": _limits(ideal, cost),
        "largest_gap": _largest_gap(ideal, lenders),
        "judged": {
            "on D~": _judged(bayes_rates(ideal, cost)),
            "on D": _judged(rates_under(ideal, law, cost)),
            "weights alone": _judged(rates_under(reweighed, law, cost)),
        },
        "mean_eo": _mean_eo(law, reweighed, ideal, lenders),
    }


def _judged(rates: BayesRates) -> Results:
    """Return what the lender loses, how often each region gets each answer, and the gaps."""
    return {
        "risk": rates.risk,
        "selection": rates.selection_rate.tolist(),
        "confusion": rates.confusion.tolist(),
        **gaps(rates),
    }


def _limits(law: JointDistribution, cost: Any) -> dict[str, list[float]]:
    """Return the incomes at which the answer changes, by region."""
    return {g: np.exp(boundaries(law, a, cost)).tolist() for a, g in enumerate(law.groups)}


def _largest_gap(law: JointDistribution, lenders: list[Any]) -> float:
    return max(rates.largest_gap for rates in rates_for_costs(law, lenders))


def _mean_eo(
    law: JointDistribution,
    reweighed: JointDistribution,
    ideal: JointDistribution,
    lenders: list[Any],
) -> dict[str, float]:
    """Return the EO gap on rows of D of three rules, averaged over lenders."""
    rules = {"before": law, "weights alone": reweighed, "on D~": ideal}
    return {
        name: float(np.mean([gaps(rates_under(rule, law, cost))["eo"] for cost in lenders]))
        for name, rule in rules.items()
    }


def _drawn(solution: IdealSolution, cost: Any, n: int, seed: int) -> Results:
    """Draw people from D~, count their money as the map says, and ask one rule for all.

    The rule is the west's own: whoever's counted income lies above its limits.
    """
    X, _, region = solution.distribution.sample(n, random_state=seed)
    counted = solution.steer(X, sensitive_features=region)[:, 0]
    west = list(solution.distribution.groups).index("west")
    limits = np.exp(boundaries(solution.distribution, west, cost))
    answer = np.searchsorted(limits, counted)
    shares = [
        [float((answer[region == g] == k).mean()) for g in REGIONS] for k in range(len(cost[0]))
    ]
    per_region = [int((region == g).sum()) for g in REGIONS]
    worst = max(abs(s[0] - s[1]) for s in shares)
    error = float(np.sqrt(sum(0.25 / m for m in per_region)))
    return {"selection": shares, "gap": worst, "error": error}
