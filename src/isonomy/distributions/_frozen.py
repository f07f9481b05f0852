"""Values that never change once built, and still can be copied and stored."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Frozen"]


class Frozen:
    """Base of the immutable classes: attributes in slots, arrays read-only."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; build a new one.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; build a new one.")

    def __getstate__(self) -> dict[str, Any]:
        names = [n for kind in type(self).__mro__ for n in getattr(kind, "__slots__", ())]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # copy, pickle and skops make an empty object first, then hand it its state
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)
