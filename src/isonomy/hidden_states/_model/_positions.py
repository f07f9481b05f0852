"""Which tokens of a batch count, as weights: on either padding side, with or without a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from isonomy.errors import InvalidInputError

__all__ = ["Positions", "check_pooled", "check_positions", "real_tokens", "token_weights"]

Named = Literal["last", "mean", "cls", "all", "prompt", "generated"]
Positions = Named | Callable[[Any, Any], Any]

NAMES = ("last", "mean", "cls", "all", "prompt", "generated")
_GENERATING = ("prompt", "generated")


def check_positions(positions: Any, *, where: str, generating: bool = True) -> None:
    """Raise unless ``positions`` is a name or a function.

    Parameters
    ----------
    positions : Positions
    where : str
        The public function that asks, for messages.
    generating : bool
        Whether "prompt" and "generated" are understood there.
    """
    known = NAMES if generating else tuple(n for n in NAMES if n not in _GENERATING)
    if callable(positions) or (isinstance(positions, str) and positions in known):
        return
    raise InvalidInputError(
        f"`positions` passed to `{where}` must be one of {', '.join(map(repr, known))} or a "
        f"function (attention_mask, input_ids) -> weights (batch, tokens), got {positions!r}."
    )


def check_pooled(positions: Any, *, where: str) -> None:
    """Raise if a function chooses tokens where the model has already pooled them."""
    if callable(positions):
        raise InvalidInputError(
            f"`positions` passed to `{where}` must be a name where the model pools its tokens "
            "before this site, got a function: there are no tokens left to choose from. Name "
            'another site, or leave `positions="last"`, which is ignored there.'
        )


def real_tokens(
    attention_mask: Any, *, n_tokens: int, batch: int, device: Any, past: int = 0
) -> torch.Tensor:
    """Return which of the step's tokens are no padding, (batch, n_tokens) bool.

    Raises
    ------
    InvalidInputError
        If the mask has another batch or fewer tokens.
    """
    columns = _columns(attention_mask, n_tokens, batch, device, past)
    return columns[:, columns.shape[1] - n_tokens :]


def token_weights(
    positions: Positions,
    *,
    attention_mask: Any,
    input_ids: Any,
    n_tokens: int,
    batch: int,
    device: Any,
    past: int = 0,
    prompt_length: int | None = None,
) -> torch.Tensor:
    """Return the weight of every token of this step.

    Parameters
    ----------
    positions : Positions
        "last": the last real token; "cls": the first; "mean": every real token alike;
        "all": every real token with weight 1; "prompt", "generated": the real tokens
        before and from ``prompt_length``; a function (attention_mask, input_ids) ->
        (batch, n_tokens), whose mask is that of this step's tokens.
    attention_mask : (batch, length) or (batch, heads, queries, keys) tensor, mapping or None
        1 or True for real tokens; longer than the tokens where there is a cache, then
        the last ``n_tokens`` columns count. Of a 4-D mask (boolean, or added to the
        scores) the last query's row; of a mapping the full attention's mask.
    input_ids : (batch, n_tokens) tensor or None
        Passed to a function, not read otherwise.
    n_tokens, batch : int
    device : torch.device
        Of the result.
    past : int
        Tokens in the cache before this step.
    prompt_length : int, optional
        Tokens of the prompt, padding included. Default: those of steps without a past.

    Returns
    -------
    (batch, n_tokens) float32 tensor
        At least 0. A row without real tokens has none.

    Raises
    ------
    InvalidInputError
        If the mask has another batch or fewer tokens, or the function returns another
        shape or negative weights.

    Notes
    -----
    Nothing is copied to the host, except to check what a function returned.
    """
    columns = _columns(attention_mask, n_tokens, batch, device, past)
    real = columns[:, columns.shape[1] - n_tokens :]
    if not isinstance(positions, str):
        return _of_function(positions, real, input_ids)
    if positions == "last":
        found = real & (real.flip(1).cumsum(1).flip(1) == 1)
    elif positions == "cls":
        first = columns & (columns.cumsum(1) == 1)
        found = first[:, first.shape[1] - n_tokens :]
    elif positions == "mean":
        weights = real.to(torch.float32)
        return weights / weights.sum(1, keepdim=True).clamp(min=1.0)
    else:
        found = real
    if positions in _GENERATING:
        limit = n_tokens if prompt_length is None and past == 0 else prompt_length or 0
        in_prompt = torch.arange(past, past + n_tokens, device=device) < limit
        found = found & (in_prompt if positions == "prompt" else ~in_prompt)
    return found.to(torch.float32)


def _columns(mask: Any, n_tokens: int, batch: int, device: Any, past: int) -> torch.Tensor:
    """Return which tokens are real, up to and with this step: (batch, at least n_tokens)."""
    if isinstance(mask, Mapping):  # one mask for each kind of attention in the model
        mask = mask.get("full_attention", next(iter(mask.values()), None))
    if mask is None:
        return torch.ones((batch, past + n_tokens), dtype=torch.bool, device=device)
    if mask.ndim == 4:
        row = mask[:, 0, -1, :]
        # added to the scores a mask is 0 where a token is seen, and very low elsewhere
        columns = row if row.dtype == torch.bool else row > torch.finfo(row.dtype).min / 2
        columns = columns[:, : past + n_tokens]  # a static cache has room behind
    else:
        columns = mask.bool()
    if columns.shape[0] == 1 and batch > 1:
        columns = columns.expand(batch, -1)
    if columns.ndim != 2 or columns.shape[0] != batch or columns.shape[1] < n_tokens:
        raise InvalidInputError(
            "`attention_mask` passed to the model must have one row a text and at least one "
            f"column a token ({batch}, {n_tokens}), got shape {tuple(mask.shape)}."
        )
    placed: torch.Tensor = columns.to(device)
    return placed


def _of_function(
    positions: Callable[[Any, Any], Any], real: torch.Tensor, input_ids: Any
) -> torch.Tensor:
    returned = positions(real.long(), input_ids)
    if returned is None:
        raise InvalidInputError(
            f"`positions` must be a function that returns one weight a token {tuple(real.shape)}, "
            "got None."
        )
    found = torch.as_tensor(returned, device=real.device)
    if tuple(found.shape) != tuple(real.shape):
        raise InvalidInputError(
            "`positions` must be a function that returns one weight a token "
            f"{tuple(real.shape)}, got shape {tuple(found.shape)}."
        )
    weights: torch.Tensor = found.to(torch.float32)
    if not torch.compiler.is_compiling() and not bool((weights >= 0).all()):
        raise InvalidInputError(
            "`positions` must be a function that returns weights of at least 0, got "
            f"{float(weights.min())} as the smallest. NaN is not allowed either."
        )
    return weights
