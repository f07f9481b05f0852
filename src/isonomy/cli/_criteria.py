"""Read a ``--fail-if`` criterion and judge an audit by it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isonomy.errors import InvalidInputError

__all__ = ["Criterion", "parse_criterion"]

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
PARTS = ("value", "corrected", "low", "high", "p_value")
FORM = re.compile(r"\s*([A-Za-z_]\w*)(?:\.(\w+))?\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Criterion:
    """One disparity, the part of it that is compared, and the limit."""

    text: str
    metric: str
    part: str
    sign: str
    limit: float

    def judge(self, audit: Mapping[str, Any]) -> str | None:
        """Return one sentence if the criterion holds (or cannot be judged), else None.

        An undefined disparity counts as failing: a gate that nothing was measured for
        must not open.
        """
        row = self.find(audit)
        value = row.get(self.part)
        if value is None:
            reason = row.get("reason") or "it could not be estimated"
            return f"--fail-if {self.text}: {self.metric} is undefined ({reason}), so it fails."
        if OPERATORS[self.sign](value, self.limit):
            name = self.metric if self.part == "value" else f"{self.metric}.{self.part}"
            return f"--fail-if {self.text} holds: {name} is {value:.4g}."
        return None

    def find(self, audit: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the audit's disparity of this name.

        Raises
        ------
        InvalidInputError
            Naming the disparities that the audit has.
        """
        known: dict[str, Mapping[str, Any]] = {d["metric"]: d for d in audit["disparities"]}
        if self.metric not in known:
            raise InvalidInputError(
                f"--fail-if names {self.metric!r}, which this audit does not have; it has: "
                f"{', '.join(known)}."
            )
        return known[self.metric]


def parse_criterion(text: str) -> Criterion:
    """Return the criterion written as ``NAME>LIMIT`` or ``NAME.PART>LIMIT``.

    Raises
    ------
    InvalidInputError
        If ``text`` has another form.
    """
    match = FORM.fullmatch(text)
    limit = _number(match.group(4)) if match else None
    if match is None or limit is None:
        raise InvalidInputError(
            f"--fail-if must look like 'rms_tpr_gap>0.05' (a disparity, one of > >= < <=, a "
            f"number), got {text!r}."
        )
    part = match.group(2) or "value"
    if part not in PARTS:
        raise InvalidInputError(
            f"--fail-if {text!r} must compare one of .{', .'.join(PARTS)}, got .{part}."
        )
    return Criterion(text.strip(), match.group(1), part, match.group(3), limit)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None
