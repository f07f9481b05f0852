"""The immutable values can be copied, pickled by others and stored by skops."""

import copy

import numpy as np
import pytest

from isonomy.baselines import LEACE
from isonomy.datasets import make_biased_normals
from isonomy.distributions import AffineMap, JointDistribution, LogNormal, Normal
from isonomy.steering import SteeredClassifier

skops_io = pytest.importorskip("skops.io")

JOINT = JointDistribution(
    {(0, "a"): Normal([0.0], [[1.0]]), (1, "a"): Normal([1.0], [[2.0]])},
    {(0, "a"): 0.5, (1, "a"): 0.5},
)


@pytest.mark.parametrize(
    "value",
    [
        AffineMap([[2.0, 1.0], [0.0, 1.0]], [1.0, 0.0]),
        AffineMap.low_rank(np.ones((3, 1)), np.ones((3, 1)), np.zeros(3)),
        Normal([0.0, 1.0], np.eye(2)),
        LogNormal([0.5], [[2.0]]),
        JOINT,
    ],
    ids=["affine", "low rank", "normal", "log-normal", "joint"],
)
def test_a_copy_equals_the_original_and_is_frozen_too(value):
    stored = skops_io.dumps(value)
    loaded = skops_io.loads(stored, trusted=skops_io.get_untrusted_types(data=stored))
    for again in (copy.copy(value), copy.deepcopy(value), loaded):
        assert type(again) is type(value)
        if isinstance(value, AffineMap):
            np.testing.assert_array_equal(again.matrix, value.matrix)
        elif isinstance(value, JointDistribution):
            np.testing.assert_array_equal(again.means, value.means)
        else:
            np.testing.assert_array_equal(again.covariance, value.covariance)
        with pytest.raises(AttributeError, match="is immutable"):
            again.mean = 3.0


@pytest.mark.parametrize("steerer", ["ideal", LEACE()])
def test_a_fitted_classifier_decides_alike_after_skops(steerer):
    from sklearn.linear_model import LogisticRegression

    X, y, groups, _ = make_biased_normals(600, random_state=0)
    model = SteeredClassifier(LogisticRegression(), steerer=steerer, random_state=0)
    model.fit(X, y, sensitive_features=groups)
    stored = skops_io.dumps(model)
    again = skops_io.loads(stored, trusted=skops_io.get_untrusted_types(data=stored))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
