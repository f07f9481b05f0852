"""The function that stands at a spot: takes a tensor of states, returns the steered one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._attach._step import Step, chosen_tokens, last_index
from isonomy.hidden_states._model._positions import Positions, check_pooled

if TYPE_CHECKING:
    from isonomy.hidden_states._attach._moves import Mover
    from isonomy.hidden_states._attach._rows import RowGroups
    from isonomy.hidden_states._attach._watch import Watch
    from isonomy.hidden_states._model._layout import Spot

__all__ = ["Steering"]


class Steering:
    """One steerer at one spot of one model.

    Parameters
    ----------
    spot : Spot
    mover : Mover
    positions : Positions
    watch : Watch
        Knows the pass that is running.
    """

    def __init__(self, spot: Spot, mover: Mover, positions: Positions, watch: Watch) -> None:
        self.spot = spot
        self.mover = mover
        self.positions = positions
        self.watch = watch
        self.key = object()  # kept by copies, which run a pass again
        self.reached = False

    def __call__(self, states: torch.Tensor) -> torch.Tensor | None:
        """Return the steered states, or None where none is steered."""
        self.reached = True
        if not self.watch.is_live(self):
            return None
        step = self.watch.step
        if step is None:
            raise InvalidInputError(
                f"`attached` steers passes through the model, got one through its part "
                f"{self.spot.name!r} alone. Call the model, or its base model."
            )
        rows = step.rows.get(self.key)
        if states.ndim == 2:
            check_pooled(self.positions, where="attached")
            return self.mover(states, rows)
        return self._by_token(states, step, rows)

    def _by_token(
        self, states: torch.Tensor, step: Step, rows: RowGroups | None
    ) -> torch.Tensor | None:
        n_tokens = states.shape[1]
        if self.positions == "last":
            if step.in_prompt_chunk:
                return None
            if step.n_tokens == 1:  # the newest token of a cached pass is real
                return self.mover(states, rows)
            if step.n_tokens in (None, n_tokens) and not step.has_answer:
                return self._last(states, step, rows)
        elif self._has_none(step):
            return None
        chosen = chosen_tokens(step, self.positions, n_tokens, states.device)
        moved = self.mover(states, rows)
        return moved if chosen is None else torch.where(chosen[:, :, None], moved, states)

    def _last(self, states: torch.Tensor, step: Step, rows: RowGroups | None) -> torch.Tensor:
        """Steer one token a row: the others cost a copy, and no arithmetic."""
        every = torch.arange(states.shape[0], device=states.device)
        if step.attention_mask is None:
            place: Any = torch.full_like(every, states.shape[1] - 1)
            return states.index_put((every, place), self.mover(states[:, -1], rows))
        place = last_index(step, states.shape[1], states.device)
        found = place.clamp(min=0)
        before = states[every, found]
        moved = torch.where((place >= 0)[:, None], self.mover(before, rows), before)
        return states.index_put((every, found), moved)

    def _has_none(self, step: Step) -> bool:
        """Whether the pass is over tokens of the other kind alone: prompt, or generated."""
        length = step.prompt_length
        if self.positions == "prompt":
            return step.past > 0 if length is None else step.past >= length
        if self.positions == "generated":
            if length is None:
                return step.past == 0
            return step.n_tokens is not None and step.past + step.n_tokens <= length
        return False
