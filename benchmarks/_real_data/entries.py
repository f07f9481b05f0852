"""What is compared: every method with its words, by name, built when its turn comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sklearn.base import clone

from isonomy import GapCalibrator, SteeredClassifier
from isonomy.baselines import Reweighing
from isonomy.comparison import find_method
from isonomy.errors import InvalidInputError

__all__ = ["BASE", "CRITERIA", "ENTRIES", "Entry"]

Use = Literal["none", "blind", "given", "inferred"]
Make = Callable[[Any, int], tuple[Any, Use]]

BASE = "untouched"
CRITERIA = {
    "demographic_parity": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
}
"""Criteria of the second tables, and the audit's name of the gap that each closes."""

TOLERANCES = (0.001, 0.01, 0.03, 0.1, 0.2)


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    ``make(head, random_state)`` returns an unfitted model and what it does with the group
    at prediction. ``criterion`` is None in the main table. ``binary`` methods are left out
    where there are more than two classes.
    """

    name: str
    family: Literal["untouched", "rival", "isonomy"]
    make: Make
    criterion: str | None = None
    binary: bool = False
    tables_only: bool = False


def _named(name: str) -> Make:
    def make(head: Any, random_state: int) -> tuple[Any, Use]:
        method = find_method(name)
        return method.factory(head, random_state), method.group_use

    return make


def _calibrated(name: str, **settings: Any) -> Make:
    """Put a GapCalibrator with ``settings`` on top of a method."""

    def make(head: Any, random_state: int) -> tuple[Any, Use]:
        model = find_method(name).factory(head, random_state)
        if isinstance(model, Reweighing):  # the same model, in the form that can be calibrated
            model = SteeredClassifier(head, steerer="passthrough", random_state=random_state)
        if not isinstance(model, SteeredClassifier):
            raise InvalidInputError(f"{name!r} makes no SteeredClassifier to be calibrated.")
        model.set_params(calibrator=GapCalibrator(**settings))
        use = find_method(name).group_use
        guesses = settings.get("groups") == "infer" and use != "given"
        return model, "inferred" if guesses else "given"

    return make


def _default(head: Any, random_state: int) -> tuple[Any, Use]:
    """Return the classifier that most users get: blind, whatever its defaults are."""
    return SteeredClassifier(head, random_state=random_state), "inferred"


def _linear_post(
    criterion: str,
    tolerance: float,
    groups: Literal["given", "blind"],
    *,
    cells: bool = False,
) -> Make:
    def make(head: Any, random_state: int) -> tuple[Any, Use]:
        from isonomy.baselines import LinearPost

        model = LinearPost(head, criterion=criterion, tolerance=tolerance, groups=groups)
        if cells:  # p(class | row, group) from a model of the cell: aware in the scores too
            model.set_params(cell_estimator=clone(head))
        if "random_state" in model.get_params(deep=False):
            model.set_params(random_state=random_state)
        return model, groups

    return make


def _bridge(kind: str, use: Use, **settings: Any) -> Make:
    def make(head: Any, random_state: int) -> tuple[Any, Use]:
        from isonomy.comparison import bridges

        model = getattr(bridges, kind)(head, **settings)
        if "random_state" in model.get_params(deep=False):
            model.set_params(random_state=random_state)
        return model, use

    return make


def _main_entries() -> list[Entry]:
    rows = (
        "reweighing", "oversampling", "undersampling", "mean_matching", "leace", "leace_oracle",
        "leace_quadratic", "mimic", "inlp", "difference_of_means", "disparate_impact_remover",
        "fairlearn_correlation_remover",
    )  # fmt: skip
    found = [Entry(BASE, "untouched", _named(BASE))]
    found += [Entry(name, "rival", _named(name)) for name in rows]
    for name in ("fairlearn_threshold_optimizer", "fairlearn_exponentiated_gradient"):
        found.append(Entry(name, "rival", _named(name), binary=True))
    for groups, mark in (("given", ""), ("blind", "_blind")):
        for tolerance in TOLERANCES:
            make = _linear_post("equal_opportunity", tolerance, groups)
            found.append(Entry(f"linear_post{mark}@{tolerance:g}", "rival", make))
    for tolerance in TOLERANCES:
        make = _linear_post("equal_opportunity", tolerance, "given", cells=True)
        found.append(Entry(f"linear_post_cells@{tolerance:g}", "rival", make))
    ideal = ("ideal_blind", "ideal_given_full", "ideal_given_discriminant", "ideal_inferred")
    found += [Entry(name, "isonomy", _named(name)) for name in ideal]
    found.append(Entry("calibrated", "isonomy", _calibrated(BASE)))
    under = ("reweighing", "mean_matching", "leace", "mimic", *ideal)
    found += [Entry(f"{name}+calibrated", "isonomy", _calibrated(name)) for name in under]
    found.append(Entry("default", "isonomy", _default))
    for name in (BASE, "reweighing", "ideal_blind"):
        own = "calibrated_blind" if name == BASE else f"{name}+calibrated_blind"
        found.append(Entry(own, "isonomy", _calibrated(name, groups="infer")))
    for words, tolerance in (("quarter_point", 0.0025), ("half_a_point", 0.005)):
        priced = {"accuracy_tolerance": tolerance}
        found.append(Entry(f"calibrated@{words}", "isonomy", _calibrated(BASE, **priced)))
        make = _calibrated(BASE, groups="infer", **priced)
        found.append(Entry(f"calibrated_blind@{words}", "isonomy", make))
    return found


def _criterion_entries(criterion: str) -> list[Entry]:
    def entry(name: str, family: Any, make: Make) -> Entry:
        return Entry(f"{criterion}:{name}", family, make, criterion, tables_only=True)

    found = []
    for name in (BASE, "reweighing", "ideal_blind", "ideal_given_full", "ideal_given_discriminant"):
        make = _calibrated(name, criterion=criterion)
        found.append(entry("calibrated" if name == BASE else f"{name}+calibrated", "isonomy", make))
    for name in (BASE, "reweighing"):
        own = "calibrated_blind" if name == BASE else f"{name}+calibrated_blind"
        make = _calibrated(name, criterion=criterion, groups="infer")
        found.append(entry(own, "isonomy", make))
    for groups, mark in (("given", ""), ("blind", "_blind")):
        for tolerance in (0.001, 0.01):
            make = _linear_post(criterion, tolerance, groups)
            found.append(entry(f"linear_post{mark}@{tolerance:g}", "rival", make))
    threshold = _bridge("ThresholdOptimizerBridge", "given", constraint=criterion)
    gradient = _bridge("ExponentiatedGradientBridge", "blind", constraint=criterion)
    found.append(entry("fairlearn_threshold_optimizer", "rival", threshold))
    found.append(entry("fairlearn_exponentiated_gradient", "rival", gradient))
    return found


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in [*_main_entries(), *(e for c in CRITERIA for e in _criterion_entries(c))]
}
"""All rows of all tables by name, in their order."""
