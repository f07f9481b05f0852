"""Generate from the ideal law, train on what was generated, judge on real held-out rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from _case_studies.rows import Halves, halves, judge_rows
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution
from isonomy.groups import kamiran_calders_weights
from isonomy.ideal import IdealSolution, ideal_violation, nearest_ideal

__all__ = ["HEADS", "SOURCES", "TABLES", "compute"]

TABLES = ("adult", "law_school", "compas")

HEADS: dict[str, Any] = {
    "logistic regression": LogisticRegression(max_iter=1_000),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
}

SOURCES = {
    "real rows": "as they are",
    "real rows, weights": "weighted so that label and group are independent",
    "drawn from D": "drawn from the fitted law",
    "drawn from D, ideal priors": "drawn from the fitted cells with the priors of D~",
    "drawn from D~": "drawn from the nearest ideal law, priors included",
    "drawn from D~, carried": "the same, every group carried to one frame; so are the judged rows",
    "real rows, steered": "real rows carried to that frame, weighted; so are the judged rows",
}
CARRIED = ("drawn from D~, carried", "real rows, steered")


@dataclass(frozen=True)
class Training:
    """Rows to train on."""

    X: NDArray[np.float64]
    y: NDArray[Any]
    groups: NDArray[Any]
    weight: NDArray[np.float64] | None = None


def compute(asked: Asked, tell: Tell) -> Results:
    """Train every head on every source of rows, group-aware and group-blind."""
    n_rows, n_drawn, n_boot = (1_200, 1_200, 200) if asked.quick else (None, 30_000, 2_000)
    tables = TABLES[-1:] if asked.quick else TABLES
    found: Results = {"n_drawn": n_drawn, "tables": {}, "missing": {}}
    for i, name in enumerate(tables):
        data = halves(name, asked.folder, asked.seed, n_rows)
        if isinstance(data, str):
            found["missing"][name] = data
            continue

        def say(text: str, part: float, i: int = i, name: str = name) -> None:
            tell(f"generate, {name}: {text}", round(100 * (i + part)), 100 * len(tables))

        heads = _quick_heads() if asked.quick else HEADS
        found["tables"][name] = _table(data, heads, n_drawn, n_boot, asked.seed, say)
    tell("generate", 1, 1)
    return found


def _quick_heads() -> dict[str, Any]:
    fewer = {"gradient boosting": {"max_iter": 10}}
    return {name: clone(head).set_params(**fewer.get(name, {})) for name, head in HEADS.items()}


def _table(
    data: Halves, heads: dict[str, Any], n_drawn: int, n_boot: int, seed: int, say: Any
) -> Results:
    fit = {"covariance": "tied", "shrinkage": "oas", "check": "ignore"}
    law = JointDistribution.fit(data.X, data.y, sensitive_features=data.groups, **fit)
    solution = nearest_ideal(law)
    sources = _sources(data, law, solution, n_drawn, seed)
    fresh = Training(*solution.distribution.sample(2 * n_drawn, random_state=seed + 1))
    rows = []
    steps = [(head, aware, name) for head in heads for aware in (True, False) for name in sources]
    for i, (head, aware, name) in enumerate(steps):
        if aware and name in CARRIED:
            continue  # one head a group: carrying a group's rows there and back changes nothing
        say(f"{head}, {name}", i / len(steps))
        carry = name in CARRIED
        model = _fit(heads[head], sources[name], aware)
        rows.append(
            {
                "head": head,
                "aware": aware,
                "source": name,
                "real": _judged(model, _carried(_test(data), solution, carry), n_boot),
                "ideal": _judged(model, _carried(fresh, solution, carry), n_boot),
            }
        )
    return {
        "title": data.title,
        "n_train": len(data.y),
        "n_test": len(data.y_test),
        "n_features": data.X.shape[1],
        "kl": solution.kl,
        "violation": [ideal_violation(law), ideal_violation(solution.distribution)],
        "rows": rows,
    }


def _sources(
    data: Halves, law: JointDistribution, solution: IdealSolution, n: int, seed: int
) -> dict[str, Training]:
    ideal = solution.distribution
    reweighed = JointDistribution(law.cells, ideal.priors)
    weight = kamiran_calders_weights(data.y, sensitive_features=data.groups)
    real = Training(data.X, data.y, data.groups)
    weighted = Training(data.X, data.y, data.groups, weight)
    drawn = Training(*ideal.sample(n, random_state=seed))
    every = (
        real,
        weighted,
        Training(*law.sample(n, random_state=seed)),
        Training(*reweighed.sample(n, random_state=seed)),
        drawn,
        _carried(drawn, solution),
        _carried(weighted, solution),
    )
    return dict(zip(SOURCES, every, strict=True))


def _test(data: Halves) -> Training:
    return Training(data.X_test, data.y_test, data.groups_test)


def _carried(rows: Training, solution: IdealSolution, carry: bool = True) -> Training:
    if not carry:
        return rows
    X = solution.steer(rows.X, sensitive_features=rows.groups)
    return Training(X, rows.y, rows.groups, rows.weight)


def _fit(head: Any, rows: Training, aware: bool) -> dict[Any, Any]:
    """Return one fitted head a group, or the same one for all."""
    names = np.unique(rows.groups).tolist()
    if not aware:
        return dict.fromkeys(names, _fit_on(head, rows, np.full(len(rows.y), True)))
    return {name: _fit_on(head, rows, rows.groups == name) for name in names}


def _fit_on(head: Any, rows: Training, chosen: NDArray[np.bool_]) -> Any:
    weight = None if rows.weight is None else rows.weight[chosen]
    # one thread, for the same seconds and sums anywhere
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(head).fit(rows.X[chosen], rows.y[chosen], sample_weight=weight)


def _judged(model: dict[Any, Any], rows: Training, n_boot: int) -> Results:
    predicted = np.empty_like(rows.y)
    for group, head in model.items():
        own = rows.groups == group
        predicted[own] = head.predict(rows.X[own])
    return judge_rows(rows.y, predicted, rows.groups, n_boot)
