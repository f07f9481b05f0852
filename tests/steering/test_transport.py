"""repair: training rows carried onto the ideal distribution cell by cell."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.distributions import JointDistribution
from isonomy.ideal import ideal_violation, nearest_ideal
from isonomy.steering import repair


def biased(n=4000, seed=3, **kwargs):
    X, y, group, _ = make_biased_normals(n, random_state=seed, **kwargs)
    return X, y, np.asarray(group)


@pytest.mark.parametrize("direction", ["information", "moment"])
def test_repaired_rows_have_the_moments_of_the_ideal(direction):
    X, y, group = biased()
    moved, weight = repair(X, y, sensitive_features=group, shrinkage=None, direction=direction)
    tied = dict(sensitive_features=group, covariance="tied")
    solution = nearest_ideal(JointDistribution.fit(X, y, **tied), direction=direction)
    for (label, a), cell in solution.distribution.cells.items():
        rows = moved[(y == label) & (group == a)]
        assert rows.mean(axis=0) == pytest.approx(cell.mean, abs=1e-8)
    # pooled over labels by rows: the weights would mix the labels' own covariances anew
    refit = JointDistribution.fit(moved, y, **tied)
    assert refit.covariances == pytest.approx(solution.distribution.covariances, abs=1e-8)
    weighed = JointDistribution.fit(moved, y, **tied, sample_weight=weight)
    assert weighed.prior == pytest.approx(solution.distribution.prior, abs=1e-10)
    law = JointDistribution.from_arrays(
        refit.means, refit.covariances, weighed.prior, refit.classes, refit.groups, "normal"
    )
    assert ideal_violation(law) < 1e-8
    assert ideal_violation(JointDistribution.fit(X, y, **tied)) > 0.05


def test_a_group_aware_classifier_on_repaired_rows_treats_groups_alike():
    X, y, group = biased(40_000)
    moved, weight = repair(X, y, sensitive_features=group)
    rates = {}
    for a in ("a", "b"):
        mine = group == a
        head = LogisticRegression().fit(moved[mine], y[mine], sample_weight=weight[mine])
        for label in (0, 1):
            cell = mine & (y == label)
            rates[label, a] = (head.predict(moved[cell]) == label).mean()
    for label in (0, 1):
        # 6,000 rows or more in a cell: two rates differ by chance by less than 0.02
        assert abs(rates[label, "a"] - rates[label, "b"]) < 0.02


def test_frames_weights_and_lognormal():
    X, y, group = biased(600)
    frame = pd.DataFrame(np.exp(X), columns=list("wxyz")).assign(city="Rome")
    moved, weight = repair(frame, y, sensitive_features=group, family="lognormal")
    logs, _ = repair(X, y, sensitive_features=group)
    assert np.log(moved[list("wxyz")].to_numpy()) == pytest.approx(logs, abs=1e-8)
    assert (moved["city"] == "Rome").all()
    _, doubled = repair(X, y, sensitive_features=group, sample_weight=np.full(600, 2.0))
    assert doubled == pytest.approx(2 * weight)


def test_bad_input_is_named():
    X, y, group = biased(200)
    with pytest.raises(errors.FamilyError, match="column 'x0', row"):
        repair(-np.abs(X), y, sensitive_features=group, family="lognormal")
    with pytest.raises(errors.EmptyCellError, match=r"\(label 1, group b\)"):
        keep = ~((y == 1) & (group == "b"))
        repair(X[keep], y[keep], sensitive_features=group[keep])
    with pytest.raises(errors.GroupsRequiredError, match="got None"):
        repair(X, y, sensitive_features=None)
    with pytest.raises(errors.InvalidInputError, match="`covariance` of `repair` must be one of"):
        repair(X, y, sensitive_features=group, covariance="round")
