"""``solve_from_moments``: a fit on some rows, solved from the moments of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError
from isonomy.steering import IdealSteerer
from isonomy.steering._from_moments import moments_for, solve_from_moments

X, y, group, _ = make_biased_normals(1200, n_features=4, n_classes=3, random_state=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": "given"},
        {"groups": "given", "subspace": "discriminant"},
        {"groups": "blind", "rank": 2},
    ],
    ids=["given", "discriminant", "blind"],
)
def test_maps_are_those_of_a_fit_on_all_rows(settings: dict[str, Any]) -> None:
    whole = IdealSteerer(**settings).fit(X, y, sensitive_features=group)
    part = IdealSteerer(**settings).fit(X[:400], y[:400], sensitive_features=group[:400])
    before = part.maps_[part.groups_[1]].matrix.copy()
    moments = moments_for(part, 4, part.classes_, part.groups_)
    for rows in np.array_split(np.arange(1200), 5):
        moments.update(X[rows], y[rows], sensitive_features=group[rows])
    assert solve_from_moments(part, moments) is part
    for name in whole.groups_:
        np.testing.assert_allclose(part.maps_[name].matrix, whole.maps_[name].matrix, atol=1e-6)
        np.testing.assert_allclose(part.maps_[name].offset, whole.maps_[name].offset, atol=1e-6)
    assert not np.allclose(before, part.maps_[part.groups_[1]].matrix)
    assert part.sample_weight_ is None
    assert part.solution_ is not None
    assert whole.solution_ is not None
    assert part.solution_.kl == pytest.approx(whole.solution_.kl, rel=1e-6)


def test_moments_of_other_classes_are_refused() -> None:
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    moments = moments_for(steerer, 4, steerer.classes_[:2], steerer.groups_)
    with pytest.raises(InvalidInputError, match="must be of the classes, groups and number"):
        solve_from_moments(steerer, moments)
