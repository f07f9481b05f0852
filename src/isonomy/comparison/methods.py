"""The methods that a comparison can fit, each with what a reader must know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from isonomy import plugins
from isonomy._validation import check_choice
from isonomy.baselines import LEACE, MeanMatching, MiMiC, Reweighing
from isonomy.errors import InvalidInputError, PluginError
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier

__all__ = ["BUILT_IN", "DEFAULT_METHODS", "Family", "GroupUse", "Method", "find_method"]

Family = Literal["untouched", "baseline", "isonomy"]
GroupUse = Literal["none", "blind", "given", "inferred"]
Factory = Callable[[Any, int | None], Any]


@dataclass(frozen=True)
class Method:
    """One way to fit a classifier, with the words under which a report shows it.

    Parameters
    ----------
    name : str
        Short and unique in a comparison.
    label : str
        What a reader sees.
    family : {"untouched", "baseline", "isonomy"}
    group_use : {"none", "blind", "given", "inferred"}
        What a decision does with the group: "none" and "blind" know nothing of it
        ("blind" used groups while fitting), "given" needs it, "inferred" guesses it.
        ``predict`` gets groups for "given" alone.
    description : str
        One sentence.
    factory : callable
        ``factory(estimator, random_state)`` returns an unfitted object with ``fit(X, y, *,
        sensitive_features)`` and ``predict(X)``, or ``predict(X, *, sensitive_features)``
        for "given".

    Raises
    ------
    InvalidInputError
        If ``family`` or ``group_use`` is unknown, or ``name`` is empty.
    """

    name: str
    label: str
    family: Family
    group_use: GroupUse
    description: str
    factory: Factory

    def __post_init__(self) -> None:
        check_choice("family", self.family, ("untouched", "baseline", "isonomy"), where="Method")
        uses = ("none", "blind", "given", "inferred")
        check_choice("group_use", self.group_use, uses, where="Method")
        if not self.name:
            raise InvalidInputError("`name` of `Method` must be a word, got an empty string.")


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
    subspace: Literal["full", "discriminant"] = "full",
    calibrated: bool = False,
) -> Factory:
    def make(estimator: Any, random_state: int | None) -> Any:
        steerer = IdealSteerer(groups=groups, subspace=subspace, random_state=random_state)
        calibrator = GapCalibrator() if calibrated else None
        return _with(estimator, steerer, calibrator=calibrator, random_state=random_state)

    return make


def _calibrated(estimator: Any, random_state: int | None) -> Any:
    return _with(
        estimator,
        "passthrough",
        reweigh=False,
        calibrator=GapCalibrator(),
        random_state=random_state,
    )


def _with(estimator: Any, steerer: Any, **settings: Any) -> SteeredClassifier:
    return SteeredClassifier(estimator, steerer=steerer, **settings)


_METHODS = (
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
        _calibrated,
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

BUILT_IN: dict[str, Method] = {method.name: method for method in _METHODS}
"""Our own methods by name, in the order in which a report shows them."""

DEFAULT_METHODS: tuple[str, ...] = tuple(BUILT_IN)
"""What ``compare_methods`` fits when it is told nothing."""


def find_method(method: str | Method, *, where: str = "find_method") -> Method:
    """Return a method by its name, or as it is.

    Parameters
    ----------
    method : str or Method
        A name of :data:`BUILT_IN`, the name of a plugin of kind "methods", or a `Method`.
        A plugin that predicts is wrapped around the estimator; one that transforms becomes
        the steerer of a ``SteeredClassifier`` without reweighing. Its decisions are taken
        to use the group ("given") unless its class says otherwise in ``group_use``.
    where : str
        Name of the calling function, for messages.

    Returns
    -------
    Method

    Raises
    ------
    PluginError
        If no method has that name.
    InvalidInputError
        If it is neither a name nor a `Method`, or the plugin can neither predict nor
        transform.

    Examples
    --------
    >>> find_method("mimic").group_use
    'given'
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        raise InvalidInputError(
            f"`methods` passed to `{where}` must hold names or `Method` objects, got {method!r}."
        )
    if method in BUILT_IN:
        return BUILT_IN[method]
    others = [name for name in plugins.names("methods") if name not in BUILT_IN]
    if method not in others:
        raise PluginError(
            f"`methods` passed to `{where}` must name methods among {', '.join(BUILT_IN)} or "
            f"plugins ({', '.join(others) or 'none'}), got {method!r}."
        )
    return _from_plugin(method, plugins.get("methods", method), where=where)


def _from_plugin(name: str, made: Any, *, where: str) -> Method:
    if isinstance(made, Method):
        return made
    predicts, transforms = hasattr(made, "predict"), hasattr(made, "transform")
    if not predicts and not transforms:
        raise InvalidInputError(
            f"`methods` passed to `{where}` must name classes that predict or transform, but "
            f"the plugin {name!r} does neither."
        )

    def make(estimator: Any, random_state: int | None) -> Any:
        if predicts:
            return made(estimator)
        return _with(estimator, made(), reweigh=False, random_state=random_state)

    summary = (getattr(made, "__doc__", None) or "").strip().split("\n")[0]
    use: GroupUse = getattr(made, "group_use", "given")
    return Method(name, name.replace("_", " ").capitalize(), "baseline", use, summary, make)
