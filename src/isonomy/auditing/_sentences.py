"""What each disparity says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["decision_sentence", "difference_sentence", "rms_sentence"]


def difference_sentence(entry: Mapping[str, Any], rates: tuple[float, float]) -> str:
    """Say one largest difference; ``rates`` are those of the two groups of its pair."""
    first, second = (
        f"{_percent(r)} of group {g}" for r, g in zip(rates, entry["pair"], strict=True)
    )
    label, predicted = entry["class"], entry["predicted"]
    among = f"Among people whose true class is {label}, "
    said = {
        "demographic_parity_difference": f"{label} is predicted for {first} and {second}",
        "equal_opportunity_difference": f"{among}{first} and {second} are recognised as such",
        "equalized_odds_difference": f"{among}{predicted} is predicted for {first} and {second}",
        "accuracy_difference": f"Predictions are right for {first} and {second}",
    }[entry["metric"]]
    return (
        f"{said}: a difference of {_points(entry['value'])}{_interval(entry)}"
        f"{_largest(entry)}{_chance(entry['p_value'])}."
    )


def rms_sentence(entry: Mapping[str, Any]) -> str:
    """Say one root mean square gap."""
    weighed = (
        "weighed alike"
        if entry["weighting"] == "equal"
        else "weighed by how precisely their gap is known"
    )
    first, second = entry["pair"]
    noise = (
        "no more than its own sampling noise"
        if entry["corrected"] <= 0
        else f"{_points(entry['corrected'])} once sampling noise is taken off"
    )
    return (
        f"Over {entry['n_classes']} classes, {weighed}, the chance that a person's true class is "
        f"recognised differs between {first} and {second} by {_points(entry['value'])} (root "
        f"mean square); {noise}{_interval(entry)}{_chance(entry['p_value'])}."
    )


def decision_sentence(detected: bool | None, p: float | None, upper: float | None) -> str:
    """Say what to conclude from the gap weighted by precision."""
    if detected is None or p is None or upper is None:
        return (
            "Whether there is a gap could not be decided: too few people in each class and group."
        )
    scope = " This speaks of the classes most people are in; rare classes are listed apart."
    if detected:
        return (
            f"A gap in true-positive rates was detected (p = {_p(p)}): its interval reaches up "
            f"to {_points(upper)}.{scope}"
        )
    return (
        f"No gap in true-positive rates was detected (p = {_p(p)}). That does not show that "
        f"there is none: the interval reaches up to {_points(upper)}.{scope}"
    )


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:.1f} percentage points"


def _interval(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None or entry["high"] is None:
        return ""
    return f" (interval {100 * entry['low']:.1f} to {100 * entry['high']:.1f})"


def _largest(entry: Mapping[str, Any]) -> str:
    n = entry["n_classes"]
    return f", the largest over {n} classes" if n is not None and n > 1 else ""


def _chance(p: float | None) -> str:
    return "" if p is None else f"; p = {_p(p)}, against groups dealt at random"


def _p(p: float) -> str:
    return f"{p:.4f}" if p < 0.01 else f"{p:.2f}"
