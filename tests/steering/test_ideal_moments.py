"""``IdealSteerer.fit_moments`` of the moments of rows is ``fit`` of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.datasets import make_biased_normals
from isonomy.distributions import CellMoments
from isonomy.errors import EmptyCellError, InvalidInputError
from isonomy.steering import IdealSteerer

SETTINGS: list[dict[str, Any]] = [
    {"groups": "given"},
    {"groups": "given", "covariance": "diagonal"},
    {"groups": "given", "subspace": "discriminant"},
    {"groups": "given", "direction": "moment"},
    {"groups": "given", "shrinkage": None},
    {"groups": "blind", "rank": 1},
    {"groups": "blind", "rank": 3},
]
IDS = [f"{s['groups']}-{i}" for i, s in enumerate(SETTINGS)]


def rows(n_groups: int = 2, n_classes: int = 3, seed: int = 0) -> Any:
    X, y, group, _ = make_biased_normals(
        900, n_features=5, n_classes=n_classes, n_groups=n_groups, random_state=seed
    )
    return X, y, group


def moments_of(X: Any, y: Any, group: Any, kind: Any = "full", **more: Any) -> CellMoments:
    weight = more.pop("weight", None)
    moments = CellMoments(X.shape[1], covariance=kind, **more)
    return moments.update(X, y, sensitive_features=group, sample_weight=weight)


@pytest.mark.parametrize("options", SETTINGS, ids=IDS)
@given(
    seed=st.integers(0, 500),
    n_groups=st.integers(2, 3),
    n_classes=st.integers(2, 4),
    weighted=st.booleans(),
    full=st.booleans(),
)
@settings(max_examples=6, deadline=None)
def test_moments_of_rows_give_the_maps_of_the_rows(
    options: dict[str, Any], seed: int, n_groups: int, n_classes: int, weighted: bool, full: bool
) -> None:
    X, y, group = rows(n_groups, n_classes, seed)
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.3, 2.0, len(y)) if weighted else None
    by_rows = IdealSteerer(**options, random_state=0).fit(
        X, y, sensitive_features=group, sample_weight=weight
    )
    kind = "full" if full else ("tied" if options["groups"] == "blind" else by_rows.covariance)
    cells = moments_of(X, y, group, kind, weight=weight)
    found = IdealSteerer(**options, random_state=0).fit_moments(cells)
    assert (found.groups_, found.classes_) == (by_rows.groups_, by_rows.classes_)
    assert found.rank_ == by_rows.rank_
    assert found.sample_weight_ is None
    for g in by_rows.groups_:
        np.testing.assert_allclose(found.maps_[g].matrix, by_rows.maps_[g].matrix, atol=1e-6)
        np.testing.assert_allclose(found.maps_[g].offset, by_rows.maps_[g].offset, atol=1e-6)
    np.testing.assert_allclose(found.scale_, by_rows.scale_)
    assert found.solution_.kl == pytest.approx(by_rows.solution_.kl, rel=1e-6, abs=1e-9)


def test_the_law_of_logarithms_is_steered_from_moments_of_logarithms() -> None:
    X, y, group = rows()
    by_rows = IdealSteerer(groups="given", family="lognormal").fit(
        np.exp(X), y, sensitive_features=group
    )
    found = IdealSteerer(groups="given", family="lognormal").fit_moments(moments_of(X, y, group))
    np.testing.assert_allclose(
        found.transform(np.exp(X), sensitive_features=group),
        by_rows.transform(np.exp(X), sensitive_features=group),
        rtol=1e-6,
    )


def test_what_needs_rows_says_so() -> None:
    cells = moments_of(*rows())
    with pytest.raises(InvalidInputError, match='"auto"`: it is chosen by decisions on held-out'):
        IdealSteerer().fit_moments(cells)
    with pytest.raises(InvalidInputError, match="its probe of the group learns from rows"):
        IdealSteerer(groups="infer").fit_moments(cells)


@pytest.mark.parametrize(
    ("have", "want"), [("tied", "full"), ("tied", "diagonal"), ("diagonal", "tied")]
)
def test_moments_that_keep_too_little_are_refused(have: str, want: Any) -> None:
    cells = moments_of(*rows(), have)
    with pytest.raises(InvalidInputError, match=f"must keep '{want}' covariances, got '{have}'"):
        IdealSteerer(groups="given", covariance=want).fit_moments(cells)


def test_an_empty_cell_is_named_with_groups_given_and_allowed_without() -> None:
    X, y, group = rows(3)
    kept = (y != 1) | (group != group[0])
    cells = moments_of(X[kept], y[kept], group[kept])
    with pytest.raises(EmptyCellError, match="none in 1 of 9"):
        IdealSteerer(groups="given").fit_moments(cells)
    found = IdealSteerer(rank=1).fit_moments(cells)
    by_rows = IdealSteerer(rank=1).fit(X[kept], y[kept], sensitive_features=group[kept])
    np.testing.assert_allclose(found.transform(X), by_rows.transform(X), atol=1e-9)


def test_a_class_foreseen_without_rows_changes_nothing_for_blind() -> None:
    X, y, group = rows(3)
    cells = moments_of(X, y, group, "tied", classes=[*np.unique(y).tolist(), 99])
    found = IdealSteerer(rank=1).fit_moments(cells)
    by_rows = IdealSteerer(rank=1).fit(X, y, sensitive_features=group)
    np.testing.assert_allclose(found.transform(X), by_rows.transform(X), atol=1e-9)


def test_groups_and_classes_must_be_there() -> None:
    X, y, group = rows()
    with pytest.raises(InvalidInputError, match="rows of every group, got none of nobody"):
        IdealSteerer(rank=1).fit_moments(
            moments_of(X, y, group, groups=[*np.unique(group).tolist(), "nobody"])
        )
    with pytest.raises(InvalidInputError, match="at least 2 classes, got rows of 1"):
        IdealSteerer(rank=1).fit_moments(moments_of(X, np.zeros(len(y)), group))
    with pytest.raises(InvalidInputError, match="must be `CellMoments`, got list"):
        IdealSteerer(rank=1).fit_moments([1])
    broken = moments_of(X, y, group)
    broken._scatter[...] = np.nan
    with pytest.raises(InvalidInputError, match="must be finite, got covariances"):
        IdealSteerer(rank=1).fit_moments(broken)


@pytest.mark.parametrize("options", [{}, {"rank": 1}, {"groups": "given"}], ids=str)
def test_one_group_stays(options: dict[str, Any]) -> None:
    X, y, _ = rows()
    cells = moments_of(X, y, np.full(len(y), "only"))
    with pytest.raises(InvalidInputError, match="at least 2 groups, got only 'only'"):
        IdealSteerer(**options).fit_moments(cells)
    found = IdealSteerer(**options, missing_groups="single").fit_moments(cells)
    np.testing.assert_array_equal(found.transform(X), X)


@pytest.mark.parametrize("options", [{"rank": 2}, {"groups": "given"}], ids=str)
def test_a_steerer_fitted_on_moments_is_saved_and_loaded(
    options: dict[str, Any], tmp_path: Any
) -> None:
    X, y, group = rows()
    found = IdealSteerer(**options).fit_moments(moments_of(X, y, group))
    loaded = IdealSteerer.load(found.save(tmp_path / "steerer.safetensors"))
    np.testing.assert_array_equal(
        loaded.transform(X, sensitive_features=group), found.transform(X, sensitive_features=group)
    )
    assert str(loaded.certificate_) == str(found.certificate_)


def test_the_callers_moments_are_their_own() -> None:
    X, y, group = rows()
    cells = moments_of(X, y, group, "tied")
    found = IdealSteerer(groups="given").fit_moments(cells)
    before = found.transform(X, sensitive_features=group)
    cells.update(X * 9, y, sensitive_features=group)
    np.testing.assert_array_equal(found.transform(X, sensitive_features=group), before)
    found.partial_fit(X[:100] + 5, y[:100], sensitive_features=group[:100])
    assert cells.n_rows.sum() == 1800
