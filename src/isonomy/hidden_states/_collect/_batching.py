"""Cut rows into batches of like length, on the host, with a bounded window of them at hand."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import torch

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._images import as_picture
from isonomy.hidden_states._collect._text_data import Example

__all__ = ["WINDOW_BATCHES", "Batcher", "TextBatcher", "context_limit", "make_batcher", "windows"]

WINDOW_BATCHES = 64
"""Texts are sorted by length within windows of so many batches: all that is held at once."""

_LIMITS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_BEYOND = 1 << 24
"""Larger limits are what tokenizers say who know of none."""

Row = TypeVar("Row")


def windows(examples: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield lists of ``size`` rows in the order of the data, the last one shorter."""
    iterator = iter(examples)
    while window := list(islice(iterator, size)):
        yield window


@dataclass
class TextBatcher:
    """Turn texts into batches of tokens, padded on the right.

    Padding always goes to the right, whatever side the tokenizer prefers: there every real
    token keeps the position it has without padding, in every family of models, and a
    causal model never sees it. The user's tokenizer is copied, never changed.
    """

    tokenizer: Any
    max_length: int | None
    accepted: frozenset[str]
    where: str
    n_truncated: int = 0
    window_batches: int = field(default_factory=lambda: WINDOW_BATCHES, init=False)

    def __post_init__(self) -> None:
        self.tokenizer = copy.deepcopy(self.tokenizer)
        self.fillers = _fillers(self.tokenizer)

    @property
    def reader(self) -> Any:
        """The tokenizer."""
        return self.tokenizer

    def encode(self, window: Sequence[Example]) -> list[dict[str, list[int]]]:
        """Return the tokens of every text, cut at ``max_length``."""
        for example in window:
            if not isinstance(example.text, str):
                raise InvalidInputError(
                    f"Row {example.row} of `data` passed to `{self.where}` (counted from 0) must "
                    f"hold a string as its text, got {type(example.text).__name__}."
                )
            if not _is_unicode(example.text):
                raise InvalidInputError(
                    f"Row {example.row} of `data` passed to `{self.where}` (counted from 0) has "
                    "a text that is not Unicode: it holds half of a surrogate pair. Decode the "
                    'file with `errors="replace"`.'
                )
        texts = [example.text for example in window]
        limits = {} if self.max_length is None else {"max_length": self.max_length}
        made = self.tokenizer(
            texts, padding=False, truncation=bool(limits), verbose=False, **limits
        )
        names = [n for n in made if n in self.fillers and (n in self.accepted or n == "input_ids")]
        encoded = [{n: list(made[n][i]) for n in names} for i in range(len(texts))]
        for example, tokens in zip(window, encoded, strict=True):
            if not tokens["input_ids"]:
                raise InvalidInputError(
                    f"Row {example.row} of `data` passed to `{self.where}` (counted from 0) has "
                    f"a text without any token: {example.text!r}. Drop it first."
                )
        self.n_truncated += self._count_cut(made.encodings, texts, encoded)
        return encoded

    def _count_cut(
        self, known: Any, texts: Sequence[str], encoded: Sequence[dict[str, list[int]]]
    ) -> int:
        if known:  # a fast tokenizer remembers what it cut off
            return sum(bool(encoding.overflowing) for encoding in known)
        # only texts of the greatest length may have been longer
        full = [i for i, e in enumerate(encoded) if len(e["input_ids"]) == self.max_length]
        whole = [self.tokenizer(texts[i], truncation=False, verbose=False) for i in full]
        return sum(
            len(made["input_ids"]) > len(encoded[i]["input_ids"])
            for i, made in zip(full, whole, strict=True)
        )

    def length(self, encoded: dict[str, list[int]]) -> int:
        """Return the number of tokens of one text."""
        return len(encoded["input_ids"])

    def collate(self, batch: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Return the tensors of one batch on the host, its mask included."""
        longest = max(len(e["input_ids"]) for e in batch)
        inputs = {
            name: torch.tensor(
                [e[name] + [self.fillers[name]] * (longest - len(e[name])) for e in batch]
            )
            for name in batch[0]
        }
        real = [[1] * len(e["input_ids"]) + [0] * (longest - len(e["input_ids"])) for e in batch]
        return {**inputs, "attention_mask": torch.tensor(real)}


@dataclass
class PictureBatcher:
    """Turn pictures into batches of pixels; all are of one size, so none is sorted."""

    processor: Any
    where: str
    n_truncated: int = 0
    window_batches: int = field(default=1, init=False)

    @property
    def reader(self) -> Any:
        """The image processor."""
        return self.processor

    def encode(self, window: Sequence[Example]) -> list[Any]:
        """Return the pictures of the rows, in RGB."""
        return [as_picture(example, where=self.where) for example in window]

    def length(self, encoded: Any) -> int:
        """Return 0: pictures are not sorted."""
        return 0

    def collate(self, batch: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return the pixels of one batch on the host."""
        pixels = self.processor(images=list(batch), return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels}


Batcher = TextBatcher | PictureBatcher


def make_batcher(
    model: Any, tokenizer: Any, *, max_length: int | None, accepted: frozenset[str], where: str
) -> Batcher:
    """Return how to read rows for ``model``: texts, or pictures for a vision tower.

    Raises
    ------
    InvalidInputError
        If there is no tokenizer, or ``max_length`` exceeds the context of the model.
    """
    pictures = getattr(model, "main_input_name", "input_ids") == "pixel_values"
    needed = "an image processor" if pictures else "a tokenizer"
    readable = hasattr(tokenizer, "image_mean" if pictures else "pad_token_id")
    if not readable or pictures != hasattr(tokenizer, "image_mean"):
        got = "None" if tokenizer is None else type(tokenizer).__name__
        raise InvalidInputError(
            f"`tokenizer` of `{where}` must be {needed} for a {type(model).__name__}, got {got}. "
            "Pass the one that the model was trained with, or the model by its name."
        )
    if pictures:
        return PictureBatcher(tokenizer, where)
    limit = context_limit(model, tokenizer)
    if max_length is not None and limit is not None and max_length > limit:
        raise InvalidInputError(
            f"`max_length` of `{where}` must be at most {limit}, the context of the model, got "
            f"{max_length}. Leave it out to cut texts there."
        )
    return TextBatcher(tokenizer, max_length or limit, accepted, where)


def context_limit(model: Any, tokenizer: Any) -> int | None:
    """Return the most tokens that the model reads at once, or None if nothing limits them.

    The least of what the configuration, the tokenizer and the table of learned positions
    say; a table with a padding row (RoBERTa's) starts to count behind it.
    """
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, name, None) for name in _LIMITS]
    limits.append(getattr(tokenizer, "model_max_length", None))
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - skipped)
    known = [int(n) for n in limits if isinstance(n, int | float) and 0 < n < _BEYOND]
    return min(known, default=None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fillers(tokenizer: Any) -> dict[str, int]:
    """Return what fills each input behind a text; a tokenizer may have no padding token."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0):
        if token is not None:
            break
    return {"input_ids": int(token), "token_type_ids": int(tokenizer.pad_token_type_id or 0)}
