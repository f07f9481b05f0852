"""Where steering lowers and where it raises the Bayes risk: a map over mismatches."""

from __future__ import annotations

from typing import Any

import numpy as np

from _case_studies.judging import gaps, random_costs, rates_under, zero_one
from _case_studies.normals import MATCH, N_COSTS, SHARE_B, two_groups
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution
from isonomy.ideal import nearest_ideal
from isonomy.ideal.bayes import rates_for_costs

__all__ = ["COSTS", "MOVES", "compute"]

COSTS = {
    "every error counts 1": zero_one(2),
    "a miss counts 5": np.array([[0.0, 1.0], [5.0, 0.0]]),
    "a false alarm counts 5": np.array([[0.0, 5.0], [1.0, 0.0]]),
}
MOVES: dict[str, dict[str, Any]] = {
    "b moves": {"moves": ["b"], "reference": "a"},
    "a moves": {"moves": ["a"], "reference": "b"},
    "both move": {"moves": "all", "reference": "a"},
}


def compute(asked: Asked, tell: Tell) -> Results:
    """Judge every law of two grids: separation by scale, and separation by base rate."""
    n_places, n_scales, n_priors = (3, 3, 3) if asked.quick else (20, 17, 17)
    places = [round(0.2 * i, 10) for i in _spread(1, 20, n_places)]
    scales = [float(2.0 ** (i / 8)) for i in _spread(-8, 8, n_scales)]
    priors = [round(0.1 + 0.05 * i, 10) for i in _spread(0, 16, n_priors)]
    grids = {
        "scale": [(place, scale, 0.5) for scale in scales for place in places],
        "prior": [(place, 1.0, prior) for prior in priors for place in places],
    }
    costs = random_costs(N_COSTS, 2, asked.seed)
    found: Results = {"match": MATCH, "share_b": SHARE_B, "n_costs": N_COSTS, "grids": {}}
    total, done = sum(map(len, grids.values())), 0
    for name, points in grids.items():
        rows = []
        for place, scale, prior in points:
            rows.append(_point(place, scale, prior, costs))
            done += 1
            if done % 20 == 0 or done == total:
                tell(f"risk, separation by {name}", done, total)
        found["grids"][name] = rows
    return found


def _spread(low: int, high: int, n: int) -> list[int]:
    """Return ``n`` whole numbers from low to high, the 10th of 20 and the middle among them."""
    if n >= high - low + 1:
        return list(range(low, high + 1))
    middle = 10 if low == 1 else (low + high) // 2
    return sorted({low, middle, high, *np.linspace(low, high, n).round().astype(int).tolist()})


def _point(place: float, scale: float, prior: float, costs: list[Any]) -> Results:
    law = two_groups(2, place, scale, prior)
    before = _risks(law, list(COSTS.values()))
    anyhow = _risks(law, costs)
    after = {}
    for name, programme in MOVES.items():
        ideal = nearest_ideal(law, **programme).distribution
        reweighed = JointDistribution(law.cells, ideal.priors)
        on_rows = [rates_under(ideal, law, cost) for cost in COSTS.values()]
        change = np.array(_risks(ideal, costs)) - anyhow
        after[name] = {
            "ideal": _risks(ideal, list(COSTS.values())),
            "reweighed": _risks(reweighed, list(COSTS.values())),
            "rows": [found.risk for found in on_rows],
            "rows_eo": [gaps(found)["eo"] for found in on_rows],
            "apart": _apart(ideal),
            "lower": int((change < -1e-9).sum()),
            "higher": int((change > 1e-9).sum()),
        }
    return {
        "separation": place,
        "scale": scale,
        "prior_b": prior,
        "before": before,
        "before_eo": [gaps(found)["eo"] for found in rates_for_costs(law, list(COSTS.values()))],
        "after": after,
    }


def _apart(law: JointDistribution) -> float:
    """Return group a's distance of class means, in standard deviations of its class 0."""
    far = float(law.means[1, 0, 0] - law.means[0, 0, 0])
    return abs(far) / float(np.sqrt(law.covariances[0, 0, 0, 0]))


def _risks(law: JointDistribution, costs: list[Any]) -> list[float]:
    return [rates.risk for rates in rates_for_costs(law, costs)]
