"""The list of methods: what each says about itself is true of what it makes."""

from __future__ import annotations

import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression

from isonomy import plugins
from isonomy.baselines import Reweighing
from isonomy.comparison import BUILT_IN, Method, find_method
from isonomy.datasets import make_biased_normals
from isonomy.errors import GroupsRequiredError, InvalidInputError, PluginError
from isonomy.steering import SteeredClassifier


@pytest.fixture(scope="module")
def rows():
    X, y, groups, _ = make_biased_normals(600, n_features=3, random_state=1)
    return X, y, groups


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_a_built_in_method_uses_groups_at_prediction_exactly_when_it_says_so(name, rows):
    X, y, groups = rows
    method = find_method(name)
    model = method.factory(LogisticRegression(), 0).fit(X, y, sensitive_features=groups)
    if method.group_use == "given":
        with pytest.raises(GroupsRequiredError):
            model.predict(X)
        assert len(model.predict(X, sensitive_features=groups)) == len(y)
    else:
        assert len(model.predict(X)) == len(y)


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_a_factory_leaves_the_estimator_unfitted(name, rows):
    X, y, groups = rows
    estimator = LogisticRegression()
    BUILT_IN[name].factory(estimator, 0).fit(X, y, sensitive_features=groups)
    assert not hasattr(estimator, "coef_")


def test_names_labels_and_descriptions_are_there_and_distinct():
    labels = [m.label for m in BUILT_IN.values()]
    assert len(set(labels)) == len(labels)
    assert all(m.description.endswith(".") for m in BUILT_IN.values())
    assert BUILT_IN["untouched"].family == "untouched"


def test_a_method_is_returned_as_it_is():
    method = BUILT_IN["leace"]
    assert find_method(method) is method


class Shift(TransformerMixin, BaseEstimator):
    """Moves nothing."""

    group_use = "blind"

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


@pytest.fixture
def registered(monkeypatch):
    def register(name, made):
        monkeypatch.setitem(plugins._registered, ("methods", name), made)

    return register


def test_a_transforming_plugin_becomes_a_steerer(registered):
    registered("shift_rows", Shift)
    method = find_method("shift_rows")
    model = method.factory(LogisticRegression(), 0)
    assert isinstance(model, SteeredClassifier)
    assert isinstance(model.steerer, Shift)
    assert model.reweigh is False
    assert (method.label, method.group_use) == ("Shift rows", "blind")
    assert method.description == "Moves nothing."


def test_a_predicting_plugin_wraps_the_estimator_and_is_taken_to_use_groups(registered):
    class Silent:  # says nothing about groups
        def __init__(self, estimator):
            self.estimator = estimator

        def predict(self, X):
            return self.estimator.predict(X)

    registered("silent", Silent)
    method = find_method("silent")
    assert isinstance(method.factory(LogisticRegression(), 0), Silent)
    assert method.group_use == "given"
    registered("again", Reweighing)  # and a class that says is believed
    assert find_method("again").group_use == "blind"


def test_a_plugin_may_be_a_method_of_its_own(registered):
    registered("mine", BUILT_IN["mimic"])
    assert find_method("mine") is BUILT_IN["mimic"]


def test_a_plugin_that_does_neither_is_refused(registered):
    registered("neither", object)
    with pytest.raises(InvalidInputError, match="'neither' does neither"):
        find_method("neither")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(PluginError, match=r"untouched, reweighing.*got 'mimik'"):
        find_method("mimik")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"family": "ours"}, "`family` of `Method`"),
        ({"group_use": "maybe"}, "`group_use` of `Method`"),
        ({"name": ""}, "`name` of `Method`"),
    ],
)
def test_a_method_is_checked_when_it_is_made(settings, match):
    right = {"name": "a", "label": "A", "family": "baseline", "group_use": "none"}
    rest = {"description": "", "factory": lambda estimator, seed: estimator}
    with pytest.raises(InvalidInputError, match=match):
        Method(**right | rest | settings)
