"""Settings of an objective: each has a default and stands its own check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isonomy._validation import check_choice, check_real
from isonomy.errors import InvalidInputError

__all__ = ["Choice", "Flag", "Names", "Number", "Setting", "fill_settings"]


@dataclass(frozen=True)
class Number:
    """A real number in a range, or None where the default is None or ``optional`` says so."""

    default: float | None
    low: float = -np.inf
    high: float = np.inf
    optional: bool = False

    def check(self, name: str, value: Any, *, where: str) -> float | None:
        """Return the number, or say what it must be."""
        if value is None and (self.optional or self.default is None):
            return None
        return check_real(name, value, where=where, low=self.low, high=self.high)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    default: str
    choices: tuple[str, ...]

    def check(self, name: str, value: Any, *, where: str) -> str:
        """Return the word, or list those there are."""
        check_choice(name, value, self.choices, where=where)
        return str(value)


@dataclass(frozen=True)
class Flag:
    """True or False."""

    default: bool

    def check(self, name: str, value: Any, *, where: str) -> bool:
        """Return the flag, or say what it must be."""
        check_choice(name, value, (True, False), where=where)
        return bool(value)


@dataclass(frozen=True)
class Names:
    """A list of names, or None."""

    default: None = None

    def check(self, name: str, value: Any, *, where: str) -> list[str] | None:
        """Return the names as a list; one name is a list of one."""
        if value is None:
            return None
        if isinstance(value, str):
            return [value]
        if not isinstance(value, Sequence):
            raise InvalidInputError(
                f"`{name}` of `{where}` must be a list of names, got {value!r}."
            )
        return [str(item) for item in value]


Setting = Number | Choice | Flag | Names


def fill_settings(
    given: Mapping[str, Any], known: Mapping[str, Setting], *, where: str
) -> dict[str, Any]:
    """Return every known setting with its value, given or default, after checking."""
    for name in given:
        if name not in known:
            listed = ", ".join(repr(k) for k in known) or "none"
            raise InvalidInputError(
                f"`{name}` is not a setting of `{where}`. Its settings are: {listed}."
            )
    return {n: s.check(n, given.get(n, s.default), where=where) for n, s in known.items()}
