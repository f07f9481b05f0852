"""Merge a stream of parts by a tree: few are held at once, and none is merged twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["MergeTree"]

Item = TypeVar("Item")


class MergeTree(Generic[Item]):
    """Merge items as they come, ``fan_in`` neighbours at a time.

    Parameters
    ----------
    merge : callable
        Takes a list of 2 to ``fan_in`` neighbouring items, returns the item of them all.
        It must be associative; the order of the items is kept.
    fan_in : int
        At least 2.

    Notes
    -----
    Works like counting in base ``fan_in``: as soon as a level holds ``fan_in`` items they
    become one item of the level above. After n items at most
    ``(fan_in - 1) (floor(log_fan_in(n)) + 1)`` are held, and every item has gone through
    at most ``ceil(log_fan_in(n)) + 1`` merges, so that rounding grows with log n, not n.
    Which items are merged follows from their order alone: the same items in the same
    order give the same result, bit for bit.

    Examples
    --------
    >>> tree = MergeTree(lambda items: "(" + "".join(items) + ")", fan_in=2)
    >>> for letter in "abcde":
    ...     tree.add(letter)
    >>> tree.result()
    '(((ab)(cd))e)'
    """

    def __init__(self, merge: Callable[[Sequence[Item]], Item], fan_in: int = 8) -> None:
        assert fan_in >= 2
        self._merge = merge
        self._fan_in = fan_in
        self._levels: list[list[Item]] = []

    @property
    def held(self) -> int:
        """Number of items that wait for neighbours."""
        return sum(map(len, self._levels))

    def add(self, item: Item) -> None:
        """Take the next item."""
        for level in self._levels:
            level.append(item)
            if len(level) < self._fan_in:
                return
            item = self._merge(level.copy())
            level.clear()
        self._levels.append([item])

    def result(self) -> Item | None:
        """Return the item of all items so far, None where there are none."""
        carry: list[Item] = []
        for level in self._levels:
            # what waits on a higher level came earlier
            items = [*level, *carry]
            carry = [self._merge(items)] if len(items) > 1 else items
        return carry[0] if carry else None
