"""What a comparison knows of a method: how to make it, and the words that describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from isonomy._validation import check_choice
from isonomy.errors import InvalidInputError

__all__ = ["Factory", "Family", "GroupUse", "Method"]

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
