"""Mixed tables at their edges: every numeric family, infinite divergences, what is refused."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest

from isonomy.distributions import (
    Categorical,
    CategoricalJoint,
    JointDistribution,
    MixedJoint,
    Normal,
)
from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal import is_ideal, nearest_ideal, violation_frontier

PAIRS = [(y, a) for y in (0, 1) for a in (0, 1)]
PRIOR = dict.fromkeys(PAIRS, 0.25)


def rows(n=600):
    rng = np.random.default_rng(0)
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    income = np.exp(rng.normal(size=n) + 0.5 * y * (1 + a))
    job = np.where(rng.random(n) < 0.3 + 0.3 * a, "office", "field")
    return pd.DataFrame({"income": income, "job": job, "tall": rng.random(n) < 0.5}), y, a


@pytest.mark.parametrize("family", ["normal", "lognormal", "nonparanormal", "student_t"])
@pytest.mark.parametrize("direction", ["information", "moment"])
def test_every_numeric_family_stands_beside_categories(family, direction):
    frame, y, a = rows()
    how = {"family": family, "covariance": "tied", "check": "ignore"}  # incomes are not normal
    joint = MixedJoint.fit(frame, y, sensitive_features=a, **how)
    assert joint.columns.numeric == ("income",)
    assert joint.columns.categorical == ("job", "tall")
    solution = nearest_ideal(joint, direction=direction)
    ideal = solution.distribution
    assert is_ideal(ideal)
    pair = (ideal, joint) if direction == "information" else (joint, ideal)
    assert solution.kl == pytest.approx(pair[0].kl_divergence(pair[1]), rel=1e-6)
    steered = solution.steer(frame, sensitive_features=a, y=y)
    assert steered.columns.tolist() == ["income", "job", "tall"]
    assert steered["tall"].dtype == bool
    # the numbers go by their group's own map, through the family's transform
    alone = solution.numeric.steer(frame[["income"]].to_numpy(), sensitive_features=a)
    np.testing.assert_allclose(steered["income"], alone[:, 0])
    # with labels as many rows flip as the total variation says, and no more
    laws = zip(joint.categorical.tables, ideal.categorical.tables, strict=True)
    moved = [(steered[c] != frame[c]).mean() for c in ("job", "tall")]
    for share, (p, q) in zip(moved, laws, strict=True):
        stated = (joint.prior * np.abs(p - q).sum(axis=2) / 2).sum()
        assert share == pytest.approx(stated, abs=2.0 / np.sqrt(len(frame)))


def lacking():
    """Group 0 never has the last category in class 0, which group 1 has."""
    share = {(0, 0): [0.5, 0.5, 0.0], (0, 1): [0.2, 0.3, 0.5]}
    share |= {(1, 0): [0.1, 0.8, 0.1], (1, 1): [0.4, 0.4, 0.2]}
    numeric = JointDistribution({(y, a): Normal(y + a, 1.0) for y, a in PAIRS}, PRIOR)
    cells = {pair: Categorical(p) for pair, p in share.items()}
    return MixedJoint(numeric, CategoricalJoint(cells, PRIOR))


@pytest.mark.parametrize("priors", ["reweigh", "reference", "joint"])
def test_a_category_that_the_mover_lacks_costs_infinity_whatever_the_priors(priors):
    solution = nearest_ideal(lacking(), moves=[0], reference=1, priors=priors)
    assert solution.kl == math.inf
    assert solution.kl_by_cell[0, 0] == math.inf
    assert math.isfinite(solution.kl_by_cell[1, 0])
    assert np.isfinite(solution.distribution.prior).all()
    assert math.isfinite(nearest_ideal(lacking(), priors=priors).kl)
    moment = nearest_ideal(lacking(), moves=[0], reference=1, priors=priors, direction="moment")
    assert math.isfinite(moment.kl)


def test_laws_and_solutions_survive_a_deep_copy():
    joint = lacking()
    again = copy.deepcopy(joint)
    assert again == joint
    assert hash(again) == hash(joint)
    assert copy.deepcopy(nearest_ideal(joint)).kl == nearest_ideal(joint).kl


def test_the_frontier_says_which_law_it_needs():
    for joint in (lacking(), lacking().categorical):
        with pytest.raises(UnsupportedProgrammeError, match="must be a JointDistribution, got"):
            violation_frontier(joint)
