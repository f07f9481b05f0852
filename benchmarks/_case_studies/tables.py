"""Five real tables: which family fits, what the ideal law costs, what steering does to rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from _case_studies.judging import random_costs
from _case_studies.rows import Halves, halves, judge_rows
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution, choose_family, goodness_of_fit
from isonomy.errors import IsonomyError
from isonomy.groups import kamiran_calders_weights
from isonomy.ideal import bayes_rates, ideal_violation, nearest_ideal

__all__ = ["FAMILIES", "HEADS", "TABLES", "compute"]

TABLES = ("adult", "compas", "law_school", "credit_default", "bank_marketing")
FAMILIES = ("normal", "lognormal", "nonparanormal", "student_t")
HEADS: dict[str, tuple[Any, str]] = {
    "logistic regression": (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
        "logisticregression__sample_weight",
    ),
    "gradient boosting": (
        make_pipeline(StandardScaler(), HistGradientBoostingClassifier(random_state=0)),
        "histgradientboostingclassifier__sample_weight",
    ),
}
_KIND = "tied"


def compute(asked: Asked, tell: Tell) -> Results:
    """Choose a family, find the ideal law, test the fit and judge steered rows, by table."""
    n_rows, n_boot, n_bootstrap = (1_200, 200, 19) if asked.quick else (None, 2_000, 99)
    tables = TABLES[:1] if asked.quick else TABLES
    found: Results = {"n_bootstrap": n_bootstrap, "tables": {}, "missing": {}}
    for i, name in enumerate(tables):
        tell(f"tables, {name}", i, len(tables))
        data = halves(name, asked.folder, asked.seed, n_rows, continuous=True)
        if isinstance(data, str):
            found["missing"][name] = data
            continue
        found["tables"][name] = _table(data, n_boot, n_bootstrap, asked.seed)
    tell("tables", len(tables), len(tables))
    return found


def _table(data: Halves, n_boot: int, n_bootstrap: int, seed: int) -> Results:
    given = {"sensitive_features": data.groups}
    choice = choose_family(data.X, data.y, **given, covariance=_KIND)
    costs = random_costs(10, len(np.unique(data.y)), seed)
    families, laws = {}, {}
    for family in FAMILIES:
        try:
            laws[family] = JointDistribution.fit(
                data.X, data.y, **given, family=family, covariance=_KIND, check="ignore"
            )
        except IsonomyError as error:
            families[family] = {"why": " ".join(str(error).split())}
            continue
        families[family] = _judge_law(data, laws[family], costs, n_bootstrap)
    steered = dict.fromkeys(("normal", choice.family))
    return {
        "title": data.title,
        "columns": list(data.columns),
        "n_train": len(data.y),
        "n_test": len(data.y_test),
        "chosen": choice.family,
        "best": choice.best,
        "scores": choice.scores,
        "errors": choice.standard_errors,
        "families": families,
        "rows": _rows(data, {name: laws[name] for name in steered}, n_boot),
    }


def _judge_law(data: Halves, law: JointDistribution, costs: list[Any], n_bootstrap: int) -> Results:
    solution = nearest_ideal(law)
    fit = goodness_of_fit(
        law, data.X, data.y, sensitive_features=data.groups, n_bootstrap=n_bootstrap, max_rows=300
    )
    ideal = solution.distribution
    held_out = law.log_density(data.X_test, data.y_test, data.groups_test)
    return {
        "held_out": float(held_out.mean()),
        "kl": solution.kl,
        "p_value": None if np.isnan(fit.p_value) else fit.p_value,
        "distance": None if np.isnan(fit.p_value) else float(np.nanmax(fit.distance)),
        "not_judged": sorted(set(fit.reasons.values())),
        "violation": [ideal_violation(law), ideal_violation(ideal)],
        "gap": [max(bayes_rates(one, c).largest_gap for c in costs) for one in (law, ideal)],
    }


def _rows(data: Halves, laws: dict[str, JointDistribution], n_boot: int) -> list[Results]:
    weight = kamiran_calders_weights(data.y, sensitive_features=data.groups)
    plain = data.X, data.X_test
    ways: dict[str, tuple[Any, Any, Any]] = {
        "as they are": (*plain, None),
        "weights alone": (*plain, weight),
    }
    for family, law in laws.items():
        steer = nearest_ideal(law).steer
        moved = steer(data.X, sensitive_features=data.groups)
        moved_test = steer(data.X_test, sensitive_features=data.groups_test)
        ways[f"steered, {family}"] = moved, moved_test, weight
    found = []
    for head, (model, routed) in HEADS.items():
        for way, (X, X_test, weights) in ways.items():
            with threadpool_limits(1):  # the same seconds and sums anywhere
                fitted = clone(model).fit(X, data.y, **{routed: weights})
            predicted = fitted.predict(X_test)
            judged = judge_rows(data.y_test, predicted, data.groups_test, n_boot)
            found.append({"head": head, "way": way, **judged})
    return found
