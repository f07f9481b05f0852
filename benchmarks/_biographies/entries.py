"""What is compared. To add a method, write a function and give it a line in ``ENTRIES``.

A method is ``fit(X, y, groups, *, head, random_state) -> Fitted``: ``head`` is an unfitted
classifier to clone, ``Fitted.predict(X, groups)`` returns labels, and ``Fitted.steer(X, groups)``
the states on which the head decides (None: they are as they were). ``groups`` at prediction are
None unless ``use`` is "given".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from _real_data.sources import modules_of, source_fingerprint
from numpy.typing import NDArray
from sklearn.base import clone

from isonomy import GapCalibrator, IdealSteerer, SteeredClassifier
from isonomy.hidden_states import fit_method
from isonomy.steering._parts import steered

__all__ = ["BASE", "ENTRIES", "Entry", "Fitted"]

Use = Literal["none", "blind", "given", "inferred"]
Family = Literal["untouched", "rival", "isonomy"]
Predict = Callable[[NDArray[Any], Any], NDArray[Any]]

BASE = "untouched"


@dataclass(frozen=True)
class Fitted:
    """What a fit returns: decisions, and the states behind them."""

    predict: Predict
    steer: Predict | None = None


@dataclass(frozen=True)
class Entry:
    """One row of the tables.

    ``source`` is hashed: a stored result is as good as the code that made it.
    """

    name: str
    label: str
    family: Family
    use: Use
    fit: Callable[..., Fitted]
    source: Callable[[], str]


def from_function(
    name: str, label: str, family: Family, use: Use, fit: Callable[..., Fitted], *modules: str
) -> Entry:
    """Return an entry for a plain function; ``modules`` of isonomy are hashed with it."""

    def source() -> str:
        return source_fingerprint(modules) + inspect.getsource(fit)

    return Entry(name, label, family, use, fit, source)


def from_estimator(
    name: str, label: str, family: Family, use: Use, make: Callable[[Any, int], Any]
) -> Entry:
    """Return an entry for ``make(head, random_state)``, a classifier that takes groups in fit."""

    def fit(X: Any, y: Any, groups: Any, *, head: Any, random_state: int) -> Fitted:
        model = make(head, random_state).fit(X, y, sensitive_features=groups)

        def predict(Z: Any, known: Any) -> NDArray[Any]:
            asked = {"sensitive_features": known} if use == "given" else {}
            return np.asarray(model.predict(Z, **asked))

        return Fitted(predict, _states_behind(model))

    def source() -> str:
        model = make("head", 0)
        return source_fingerprint(modules_of(model)) + model.__repr__(N_CHAR_MAX=10**6)

    return Entry(name, label, family, use, fit, source)


def _states_behind(model: Any) -> Predict | None:
    """Return how a fitted SteeredClassifier moves states, offsets of known groups included.

    A shift of class scores by the group is a translation in the span of the head's weights.
    """
    if not isinstance(model, SteeredClassifier):
        return None
    last, known = model.calibrator_, None
    if last is not None and last.groups == "given":
        weight = model.estimator_.coef_ - model.estimator_.coef_.mean(axis=0)
        known = dict(zip(last.groups_, last.offsets_ @ np.linalg.pinv(weight).T, strict=True))
    if model.steerer_ is None and known is None:
        return None

    def steer(X: NDArray[Any], groups: Any) -> NDArray[Any]:
        moved: NDArray[Any] = np.asarray(steered(model.steerer_, X, groups))
        if known is None:
            return moved
        return moved + np.stack([known[group] for group in groups])

    return steer


def _steered(steerer: Any, *, reweigh: bool = False, **calibrate: Any) -> Callable[..., Any]:
    """Return the maker of a SteeredClassifier; ``calibrate`` are a GapCalibrator's settings."""

    def make(head: Any, random_state: int) -> SteeredClassifier:
        own = steerer if isinstance(steerer, str) else clone(steerer)
        if "random_state" in getattr(own, "get_params", dict)():
            own.set_params(random_state=random_state)
        calibrator = GapCalibrator(**calibrate) if calibrate else None
        return SteeredClassifier(
            head, steerer=own, reweigh=reweigh, calibrator=calibrator, random_state=random_state
        )

    return make


def from_method(
    name: str, family: Family, modules: Sequence[str], *, alias: str = "", label: str = "",
    **settings: Any,
) -> Entry:  # fmt: skip
    """Return an entry for a method of ``isonomy.hidden_states.METHODS`` with ``settings``.

    ``modules`` hold what it is made of; the thin layer that finds it by name is not hashed.
    """
    use = GROUP_USE.get(name, "blind")

    def fit(X: Any, y: Any, groups: Any, *, head: Any, random_state: int) -> Fitted:
        found = fit_method(
            name, X=X, y=y, sensitive_features=groups, head=head, random_state=random_state,
            **settings,
        )  # fmt: skip

        def predict(Z: Any, known: Any) -> NDArray[Any]:
            return np.asarray(found.predict(Z, sensitive_features=known))

        def steer(Z: Any, known: Any) -> NDArray[Any]:
            return np.asarray(found.transform(Z, sensitive_features=known))

        return Fitted(predict, steer if found.is_map else None)

    def source() -> str:
        return f"{source_fingerprint(modules)} {name} {sorted(settings.items())}"

    return Entry(alias or name, label or name.replace("_", " "), family, use, fit, source)


GROUP_USE: dict[str, Use] = {
    "none": "none",
    "ideal_inferred": "inferred",
    "calibrated_offsets_inferred": "inferred",
    **dict.fromkeys(
        (
            "mean_matching", "leace_oracle", "leace_quadratic", "mimic", "linear_post",
            "ideal_all", "ideal_affirmative", "calibrated_offsets",
        ),
        "given",
    ),
}  # fmt: skip
IDEAL = ("isonomy.steering.ideal",)
OFFSETS = ("isonomy.steering.calibration", "isonomy.hidden_states._method._offsets")
POST = ("isonomy.baselines.linear_post",)


def _rivals() -> list[Entry]:
    found = [
        from_method("none", "untouched", (), alias=BASE, label="untouched"),
        from_method("reweighing", "rival", ("isonomy.groups",)),
    ]
    rows = (
        ("mean_matching", "mean matching", "mean_matching"),
        ("leace", "LEACE", "leace"),
        ("leace_oracle", "LEACE, oracle", "leace_oracle"),
        ("leace_quadratic", "LEACE, quadratic", "leace_quadratic"),
        ("mimic", "MiMiC", "mimic"),
        ("inlp", "INLP", "inlp"),
        ("difference_of_means", "difference of means", "difference_of_means"),
    )
    for name, label, module in rows:
        found.append(from_method(name, "rival", (f"isonomy.baselines.{module}",), label=label))
    for tolerance in (0.001, 0.03):
        for name, word in (("linear_post", "aware"), ("linear_post_blind", "blind")):
            label = f"LinearPost, {word}, tolerance {tolerance:g}"
            alias = f"{name}@{tolerance:g}"
            more = {"tolerance": tolerance}
            found.append(from_method(name, "rival", POST, alias=alias, label=label, **more))
    return found


def _ours() -> list[Entry]:
    found = [
        from_method("ideal_affirmative", "isonomy", IDEAL, label="ideal, given, affirmative"),
        from_method("ideal_all", "isonomy", IDEAL, label="ideal, given, all groups"),
        from_method("ideal_blind", "isonomy", IDEAL, label="ideal, blind"),
        from_method("ideal_inferred", "isonomy", IDEAL, label="ideal, inferred"),
    ]
    kinds = (("", "calibrated offsets"), ("_inferred", "calibrated offsets, group guessed"))
    for mark, label in kinds:
        for alias, words, settings in (
            ("", "", {}),
            ("@half_a_point", ", at most half a point", {"accuracy_tolerance": 0.005}),
            (
                "@base_rates", ", base rates first, at most half a point",
                {"accuracy_tolerance": 0.005, "base_rate_shift": "auto"},
            ),
            (
                "@base_rates_alone", ": base rates alone, at most half a point",
                {"accuracy_tolerance": 0.005, "base_rate_shift": "auto", "penalty": 0.0},
            ),
        ):  # fmt: skip
            name = f"calibrated_offsets{mark}"
            found.append(
                from_method(
                    name, "isonomy", OFFSETS, alias=name + alias, label=label + words, **settings
                )
            )
    given, guess = {"groups": "given"}, {"groups": "infer"}
    ideal = {use: IdealSteerer(groups=use) for use in ("given", "blind")}
    combined: tuple[tuple[str, str, Use, Callable[..., Any]], ...] = (
        (
            "reweighing+calibrated", "reweighing + calibrated", "given",
            _steered("passthrough", reweigh=True, **given),
        ),
        (
            "ideal_all+calibrated", "ideal, given + calibrated", "given",
            _steered(ideal["given"], reweigh=True, **given),
        ),
        (
            "ideal_blind+calibrated_guessed", "ideal, blind + calibrated, guessed", "inferred",
            _steered(ideal["blind"], reweigh=True, **guess),
        ),
        ("default", "SteeredClassifier's defaults", "inferred", _default),
    )  # fmt: skip
    return found + [from_estimator(n, w, "isonomy", use, make) for n, w, use, make in combined]


def _default(head: Any, random_state: int) -> SteeredClassifier:
    return SteeredClassifier(head, random_state=random_state)


ENTRIES: dict[str, Entry] = {entry.name: entry for entry in (*_rivals(), *_ours())}
"""All rows of the tables by name, in their order."""
