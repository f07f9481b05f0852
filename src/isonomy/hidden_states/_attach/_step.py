"""What a hook knows of the forward pass it stands in, and which of its tokens are steered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._positions import Positions, real_tokens, token_weights

if TYPE_CHECKING:
    from isonomy.hidden_states._attach._rows import RowGroups

__all__ = ["Step", "chosen_tokens", "last_index"]


class Step:
    """One forward pass: its inputs, its place in a generation, and the groups of its rows."""

    def __init__(
        self,
        *,
        attention_mask: Any,
        input_ids: Any,
        batch: int,
        n_tokens: int | None,
        past: int,
        prompt_length: int | None,
        kept: Any,
    ) -> None:
        self.attention_mask = attention_mask
        self.input_ids = input_ids
        self.batch = batch
        self.n_tokens = n_tokens
        self.past = past
        self.prompt_length = prompt_length
        self.kept = kept
        self.rows: dict[object, RowGroups] = {}
        # several layers ask the same: what was found once is kept for the pass
        self.found: dict[Any, torch.Tensor | None] = {}

    @property
    def in_prompt_chunk(self) -> bool:
        """Whether more of the prompt is to come, so that the last token is not here yet."""
        if self.prompt_length is None or self.n_tokens in (None, 1):
            return False  # of a single token the past is not asked for
        assert self.n_tokens is not None
        return self.past + self.n_tokens < self.prompt_length

    @property
    def has_answer(self) -> bool:
        """Whether several tokens pass at once of which some were generated.

        So it is without a cache, and where guessed tokens are checked together.
        """
        if self.prompt_length is None or self.n_tokens in (None, 1):
            return False
        assert self.n_tokens is not None
        return self.past + self.n_tokens > self.prompt_length


def last_index(step: Step, n_tokens: int, device: torch.device) -> torch.Tensor:
    """Return the position of every row's last real token, (batch,), or -1 for none."""
    key = ("place of the last", device)  # not the key of what `chosen_tokens` keeps
    found = step.found.get(key)
    if found is None:
        real = _real(step, n_tokens, device)
        place = torch.arange(n_tokens, device=device)
        found = torch.where(real, place, -1).amax(dim=1)
        step.found[key] = found
    return found


def chosen_tokens(
    step: Step, positions: Positions, n_tokens: int, device: torch.device
) -> torch.Tensor | None:
    """Return which tokens are steered, (batch, n_tokens) bool, or None for all of them.

    ``n_tokens`` are those of the tensor at hand, which at the head may be the last of the
    pass's tokens only.
    """
    whole = n_tokens if step.n_tokens is None else step.n_tokens
    if positions in ("all", "mean") and (step.attention_mask is None or whole == 1):
        return None
    key = (positions, device)
    if key in step.found:
        chosen = step.found[key]
        assert chosen is not None
    else:
        if positions == "last" and step.has_answer:
            chosen = _last_and_answer(step, whole, device)
        else:
            chosen = _weights(step, positions, whole, device) > 0
        step.found[key] = chosen
    return chosen if whole == n_tokens else _kept(chosen, step, n_tokens)


def _weights(step: Step, positions: Positions, n_tokens: int, device: torch.device) -> torch.Tensor:
    return token_weights(
        positions,
        attention_mask=step.attention_mask,
        input_ids=step.input_ids,
        n_tokens=n_tokens,
        batch=step.batch,
        device=device,
        past=step.past,
        prompt_length=step.prompt_length,
    )


def _last_and_answer(step: Step, n_tokens: int, device: torch.device) -> torch.Tensor:
    """Return the prompt's last real token and every generated one: each was last in its turn."""
    assert step.prompt_length is not None
    real = _real(step, n_tokens, device)
    n_prompt = max(step.prompt_length - step.past, 0)
    prompt, answer = real[:, :n_prompt], real[:, n_prompt:]
    last = prompt & (prompt.flip(1).cumsum(1).flip(1) == 1)
    return torch.cat([last, answer], dim=1)


def _real(step: Step, n_tokens: int, device: torch.device) -> torch.Tensor:
    return real_tokens(
        step.attention_mask,
        n_tokens=n_tokens,
        batch=step.batch,
        device=device,
        past=step.past,
    )


def _kept(chosen: torch.Tensor, step: Step, n_tokens: int) -> torch.Tensor:
    """Return the columns of the tokens that reach the head."""
    if isinstance(step.kept, torch.Tensor):
        chosen = chosen[:, step.kept.to(chosen.device)]
    elif isinstance(step.kept, int) and step.kept > 0:
        chosen = chosen[:, -step.kept :]
    if chosen.shape[1] != n_tokens:
        raise InvalidInputError(
            f"`attached` cannot tell which tokens a tensor of {n_tokens} tokens holds in a pass "
            f"over {step.n_tokens}. Name a site at which all tokens stand."
        )
    return chosen
