"""What a comparison says on a terminal: each method in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isonomy.cli.printing import format_interval, format_number

__all__ = ["GAP", "best_baseline", "certificate_line", "find_method", "method_line"]

GAP = "rms_tpr_gap_precision"
"""The gap that decides: precision-weighted rms TPR gap."""


def find_method(result: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return a method of the comparison by its name, or None if it was not computed."""
    return next((m for m in result["methods"] if m["name"] == name), None)


def best_baseline(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the baseline with the smallest gap on the test rows: the hardest one to beat."""
    found = [m for m in result["methods"] if m["family"] == "baseline"]
    known = [m for m in found if _gap(m).get("value") is not None]
    return min(known, key=lambda m: float(_gap(m)["value"]), default=None)


def method_line(method: Mapping[str, Any], *, width: int, remark: str = "") -> str:
    """Return one line: gap, its interval, the permutation test, accuracy."""
    gap, accuracy = _gap(method), method["utility"]["accuracy"]
    p = gap.get("p_value")
    chance = "" if p is None else f", p {'<' if p < 0.001 else '='} {max(p, 0.001):.3f}"
    return (
        f"{(method['label'] + remark).ljust(width)}  gap {format_number(gap.get('value'))} "
        f"({_without_noise(gap)}) {format_interval(gap.get('low'), gap.get('high'))}{chance}, "
        f"accuracy {format_number(accuracy['value'])}"
    )


def certificate_line(result: Mapping[str, Any], *, among: Sequence[str]) -> str:
    """Return one sentence of the first certificate that one of the methods has."""
    for name in among:
        method = find_method(result, name)
        certificate = (method or {}).get("certificate")
        if certificate and method:
            return f"Certificate ({method['label']}): {_certified(certificate)}"
    return "Certificate: none of the methods shown here has one; the report says more."


def _certified(certificate: Mapping[str, Any]) -> str:
    before, after = certificate.get("bayes_gap_before"), certificate.get("bayes_gap_after")
    if before is None or after is None:
        return str((certificate.get("sentences") or ["see the report"])[0])
    # integrated numerically: a gap is known no better than to its error
    after = max(float(after), float(certificate.get("bayes_gap_error") or 0.0))
    # the law is fitted and reweighed: what happens on rows is what was measured above
    return (
        "the best classifier that knows the group has a largest gap of "
        f"{format_number(before)} on the fitted law and at most {format_number(after)} on its "
        f"ideal distribution, {format_number(certificate.get('kl'))} nats away."
    )


def _without_noise(gap: Mapping[str, Any]) -> str:
    """Return what the interval beside it is an interval of: the gap less its noise."""
    corrected = gap.get("corrected")
    if corrected is None:
        return "noise unknown"
    return "below noise" if corrected <= 0 else f"{format_number(corrected)} without noise"


def _gap(method: Mapping[str, Any]) -> Mapping[str, Any]:
    gap: Mapping[str, Any] = method["gap"].get(GAP) or {}
    return gap
