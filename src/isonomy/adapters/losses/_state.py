"""A saved state is loaded whole or refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from isonomy.errors import InvalidInputError

__all__ = ["check_state"]


def check_state(state: Mapping[str, Tensor], own: Mapping[str, Tensor], *, where: str) -> None:
    """Raise unless ``state`` has the names and shapes of ``own``."""
    missing, unknown = [n for n in own if n not in state], [n for n in state if n not in own]
    if missing or unknown:
        what = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is unknown"
        raise InvalidInputError(
            f"`state` of `{where}` must hold exactly {sorted(own)}, but {what}. Load the state "
            "of an objective of the same name."
        )
    for name, value in own.items():
        if state[name].shape != value.shape:
            raise InvalidInputError(
                f"`state[{name!r}]` of `{where}` must have shape {tuple(value.shape)}, got "
                f"{tuple(state[name].shape)}. Load the state of an objective with the same "
                "classes and groups."
            )
