"""The hidden states of a list of texts at one place of a model, in memory and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import make_batcher
from isonomy.hidden_states._collect._reduce import LayerPass, accepted_inputs
from isonomy.hidden_states._collect._text_data import Example
from isonomy.hidden_states._model._layout import Site, find_spot
from isonomy.hidden_states._model._positions import Positions

__all__ = ["read_states"]


def read_states(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    site: Site,
    layer: int | None,
    positions: Positions,
    max_length: int | None = None,
    batch_size: int = 32,
    where: str,
) -> NDArray[np.float32]:
    """Return one vector a text, ``(n, d)``, read as `collect` reads it.

    Raises
    ------
    InvalidInputError
        If a text is empty or no string, or the model has no such place.
    """
    if isinstance(texts, str):
        raise InvalidInputError(
            f"`texts` passed to `{where}` must be a list of strings, got one string. Put it into "
            "a list."
        )
    examples = [Example(i, text, None, None) for i, text in enumerate(texts)]
    for example in examples:
        if not isinstance(example.text, str) or not example.text.strip():
            raise InvalidInputError(
                f"`texts` passed to `{where}` must be strings that are not empty, got "
                f"{example.text!r} at place {example[0]}. Leave it out."
            )
    spot = find_spot(model, site, layer, where=where)
    accepted = accepted_inputs(model)
    batcher = make_batcher(model, tokenizer, max_length=max_length, accepted=accepted, where=where)
    encoded = batcher.encode(examples)
    found = np.empty((len(examples), spot.width), dtype=np.float32)
    order = sorted(range(len(examples)), key=lambda i: batcher.length(encoded[i]))
    run = LayerPass(model, [spot], positions)
    with run.ready():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            (states,) = run(batcher.collate([encoded[i] for i in chosen]))
            found[chosen] = states.float().cpu().numpy()
    return found
