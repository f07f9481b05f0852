"""A token to pad with: the tokenizer's own, else its end of text, and the warning that says so."""

from __future__ import annotations

import warnings
from typing import Any

from isonomy.errors import InvalidInputError, PaddingTokenWarning

__all__ = ["set_padding"]


def set_padding(model: Any, tokenizer: Any, *, where: str) -> int:
    """Give tokenizer and model one padding token and return its number.

    A tokenizer without one gets its end-of-text token, which the attention mask hides.

    Raises
    ------
    InvalidInputError
        If there is neither, or the model has no embedding for it.

    Warns
    -----
    PaddingTokenWarning
        If the end-of-text token is taken.
    """
    if not hasattr(tokenizer, "pad_token"):
        raise InvalidInputError(
            f"`tokenizer` of `{where}` must be a tokenizer, got {type(tokenizer).__name__}. Pass "
            "the one that the model was trained with, or the model by its name."
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InvalidInputError(
                f"`tokenizer` of `{where}` must have a padding token, but it has neither that nor "
                "an end of text. Set `tokenizer.pad_token` to a token that no text holds."
            )
        tokenizer.pad_token = tokenizer.eos_token
        warnings.warn(
            f"The tokenizer passed to `{where}` has no padding token: its end of text, "
            f"{tokenizer.eos_token!r}, is used as one, hidden by the attention mask.",
            PaddingTokenWarning,
            stacklevel=3,
        )
    number = int(tokenizer.pad_token_id)
    n_known = model.config.get_text_config().vocab_size
    if number >= n_known:
        raise InvalidInputError(
            f"`tokenizer` of `{where}` must have a padding token that the model knows: token "
            f"{number} ({tokenizer.pad_token!r}) lies outside its {n_known} embeddings. Set "
            "`tokenizer.pad_token = tokenizer.eos_token`, or resize the embeddings."
        )
    for config in {id(c): c for c in (model.config, model.config.get_text_config())}.values():
        config.pad_token_id = number
    return number
