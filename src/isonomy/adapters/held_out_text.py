"""How well a causal language model still predicts plain text: perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional

from isonomy._validation import check_count
from isonomy.adapters._head._modes import evaluating
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import make_batcher
from isonomy.hidden_states._collect._text_data import Example
from isonomy.hidden_states._export._adapter import generates
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["perplexity"]

_WHERE = "perplexity"


def perplexity(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
) -> float:
    """Return exp of the mean negative log-likelihood of a token, over all texts.

    Parameters
    ----------
    model : Module
        A causal language model, with PEFT's adapters or without, or a `LabelWords`. It is
        read in evaluation mode and left in its own.
    tokenizer : tokenizer
        Its own.
    texts : sequence of str
        Held-out texts. One of a single token tells nothing and counts nothing.
    batch_size : int
        Texts read at once; the value does not depend on it beyond rounding.
    max_length : int, optional
        Tokens beyond which a text is cut. Default: the context of the model.

    Returns
    -------
    float
        At least 1; inf if the mean is beyond the largest float.

    Raises
    ------
    InvalidInputError
        If the model is no causal one, there is no text of two tokens, or a text has none.

    Notes
    -----
    With tokens w_1, ..., w_T of each text (a start token included where the tokenizer adds
    one; it is read, not predicted)::

        exp( - sum_texts sum_{t=2}^{T} log p(w_t | w_1, ..., w_{t-1})
             / sum_texts (T - 1) )

    so long texts count more than short ones, and padding counts nothing. Log-probabilities
    are taken in float32 and summed in float64.

    Examples
    --------
    >>> import transformers
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> made = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2}, unk_token="<unk>"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = transformers.PreTrainedTokenizerFast(
    ...     tokenizer_object=made, pad_token="<pad>", unk_token="<unk>"
    ... )
    >>> config = transformers.GPT2Config(
    ...     vocab_size=3, n_embd=8, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    ... )
    >>> model = transformers.GPT2LMHeadModel(config)
    >>> _ = torch.nn.init.zeros_(model.lm_head.weight)  # every token equally likely
    >>> round(perplexity(model, tokenizer, ["a a a", "a b"]), 6)
    3.0
    """
    size = check_count("batch_size", batch_size, where=_WHERE)
    inner = unwrap(model)
    if not generates(inner):
        raise InvalidInputError(
            f"`model` passed to `{_WHERE}` must be a causal language model, got a "
            f"{type(inner).__name__}."
        )
    if isinstance(texts, str):
        raise InvalidInputError(f"`texts` passed to `{_WHERE}` must be a list of texts, got a str.")
    rows = [Example(i, text, None, None) for i, text in enumerate(texts)]
    total, n = 0.0, 0
    with torch.no_grad(), evaluating(inner):
        for loss, n_tokens in _losses(model, inner, tokenizer, rows, size, max_length):
            total, n = total + loss, n + n_tokens
    if not n:
        raise InvalidInputError(
            f"`texts` passed to `{_WHERE}` must hold a text of two tokens or more, got "
            f"{len(rows)} texts without."
        )
    mean = total / n
    return math.exp(mean) if mean < math.log(1.7e308) else math.inf


def _losses(
    model: Any, inner: Any, tokenizer: Any, rows: list[Example], size: int, max_length: int | None
) -> Iterator[tuple[float, int]]:
    """Yield the sum of the negative log-likelihoods and the number of tokens of every batch."""
    names = frozenset({"input_ids", "attention_mask"})
    batcher = make_batcher(inner, tokenizer, max_length=max_length, accepted=names, where=_WHERE)
    device = inner.get_input_embeddings().weight.device
    encoded = sorted(batcher.encode(rows), key=batcher.length) if rows else []
    reads = getattr(model, "model", model) if hasattr(model, "label_tokens") else model
    for start in range(0, len(encoded), size):
        batch = batcher.collate(encoded[start : start + size])
        ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
        # padded on the right: no real token sees any of it
        logits = reads(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        loss = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        counted = mask[:, 1:].bool()
        yield float(loss[counted].double().sum()), int(counted.sum())
