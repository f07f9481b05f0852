"""The methods that a comparison can fit by name, each with what a reader must know about it."""

from __future__ import annotations

from typing import Any, Literal

from isonomy.baselines import LEACE, MeanMatching, MiMiC, Reweighing
from isonomy.comparison._method import Factory, Method
from isonomy.comparison._rivals import RIVALS
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier

__all__ = ["BUILT_IN", "DEFAULT_METHODS"]


def _untouched(estimator: Any, random_state: int | None) -> Any:
    return _with(estimator, "passthrough", reweigh=False, random_state=random_state)


def _reweighing(estimator: Any, random_state: int | None) -> Any:
    return Reweighing(estimator)


def _mean_matching(estimator: Any, random_state: int | None) -> Any:
    return _with(estimator, MeanMatching(), reweigh=False, random_state=random_state)


def _mimic(estimator: Any, random_state: int | None) -> Any:
    return _with(estimator, MiMiC(), reweigh=False, random_state=random_state)


def _leace(estimator: Any, random_state: int | None) -> Any:
    return _with(estimator, LEACE(), reweigh=False, random_state=random_state)


def _ideal(
    groups: Literal["blind", "given", "infer"],
    *,
    subspace: Literal["auto", "full", "discriminant"] = "auto",
    calibrated: bool = False,
) -> Factory:
    def make(estimator: Any, random_state: int | None) -> Any:
        steerer = IdealSteerer(groups=groups, subspace=subspace, random_state=random_state)
        calibrator = GapCalibrator() if calibrated else None
        return _with(estimator, steerer, calibrator=calibrator, random_state=random_state)

    return make


def _calibrated(groups: Literal["given", "infer"], tolerance: float | None = None) -> Factory:
    def make(estimator: Any, random_state: int | None) -> Any:
        return _with(
            estimator,
            "passthrough",
            reweigh=False,
            calibrator=GapCalibrator(groups=groups, accuracy_tolerance=tolerance),
            random_state=random_state,
        )

    return make


def _with(estimator: Any, steerer: Any, **settings: Any) -> SteeredClassifier:
    # a method here is one stage more or less, whatever the defaults become
    return SteeredClassifier(estimator, steerer=steerer, **{"calibrator": None} | settings)


_DEFAULT = (
    Method(
        "untouched",
        "Untouched",
        "untouched",
        "none",
        "The classifier as it is, fitted without regard to groups.",
        _untouched,
    ),
    Method(
        "reweighing",
        "Reweighing",
        "baseline",
        "blind",
        "Training rows are weighted so that label and group are independent "
        "(Kamiran and Calders, 2012).",
        _reweighing,
    ),
    Method(
        "mean_matching",
        "Mean matching",
        "baseline",
        "given",
        "Every group's mean is moved onto a common one (Representation Surgery, 2024).",
        _mean_matching,
    ),
    Method(
        "leace",
        "LEACE",
        "baseline",
        "blind",
        "What a linear probe could tell about the group is erased from the features with least "
        "change (Belrose and others, 2023).",
        _leace,
    ),
    Method(
        "mimic",
        "MiMiC",
        "baseline",
        "given",
        "Every group's mean and covariance are moved onto common ones "
        "(Representation Surgery, 2024).",
        _mimic,
    ),
    Method(
        "ideal_blind",
        "Ideal steering, blind",
        "isonomy",
        "blind",
        "What tells groups apart within classes is erased with least damage, and training rows "
        "are reweighted.",
        _ideal("blind"),
    ),
    Method(
        "ideal_given",
        "Ideal steering, group given",
        "isonomy",
        "given",
        "Every group is carried by its own affine map to the nearest ideal distribution, and "
        "training rows are reweighted.",
        _ideal("given"),
    ),
    Method(
        "ideal_given_full",
        "Ideal steering, whole rows",
        "isonomy",
        "given",
        "As with the group given, and whole rows move, however few there are.",
        _ideal("given", subspace="full"),
    ),
    Method(
        "ideal_given_discriminant",
        "Ideal steering, class directions",
        "isonomy",
        "given",
        "As with the group given, but rows move only in the directions in which classes differ: "
        "far fewer numbers to estimate.",
        _ideal("given", subspace="discriminant"),
    ),
    Method(
        "ideal_inferred",
        "Ideal steering, group inferred",
        "isonomy",
        "inferred",
        "As with the group given, but the maps are weighted by a probe's guess of the group.",
        _ideal("infer"),
    ),
    Method(
        "calibrated",
        "Calibrated offsets",
        "isonomy",
        "given",
        "The untouched classifier's class scores are shifted by a small offset for every group, "
        "learnt on cross-fitted scores.",
        _calibrated("given"),
    ),
    Method(
        "calibrated_inferred",
        "Calibrated offsets, group guessed",
        "isonomy",
        "inferred",
        "The untouched classifier's class scores are shifted by offsets weighted by a guess of "
        "the group, as far as that costs at most half a point of accuracy.",
        _calibrated("infer", tolerance=0.005),
    ),
    Method(
        "ideal_given+calibrated",
        "Ideal steering and calibrated offsets",
        "isonomy",
        "given",
        "Ideal steering with the group given, then calibrated offsets on the scores.",
        _ideal("given", calibrated=True),
    ),
)

BUILT_IN: dict[str, Method] = {method.name: method for method in (*_DEFAULT, *RIVALS)}
"""Our own methods and their rivals by name, in the order in which a report shows them."""

DEFAULT_METHODS: tuple[str, ...] = tuple(method.name for method in _DEFAULT)
"""What ``compare_methods`` fits when it is told nothing."""
