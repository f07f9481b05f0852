"""The heads that decide by names: label words of a causal model, class-name prompts of CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from isonomy.adapters._finetune._model import Classifier, HeadKind, loading
from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.adapters.heads import ClassNamePrompts, LabelWords, load_clip
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import PictureBatcher, context_limit
from isonomy.hidden_states._collect._text_data import Example
from isonomy.hidden_states._model._loading import load_model

__all__ = ["around", "load_prompted"]


@dataclass
class PromptBatcher:
    """Turn texts into prompts by the head's own encoder, padded as the head pads."""

    words: Any
    n_truncated: int = field(default=0, init=False)

    @property
    def reader(self) -> Any:
        """The tokenizer."""
        return self.words.tokenizer

    def encode(self, window: Sequence[Example]) -> list[list[int]]:
        """Return the tokens of the prompts."""
        rows = self.words.encode([example.text for example in window], padding=False)
        return [list(ids) for ids in rows["input_ids"]]

    def length(self, encoded: list[int]) -> int:
        """Return the number of tokens of one prompt."""
        return len(encoded)

    def collate(self, batch: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        """Return the tensors of one batch, padded on the right."""
        longest = max(map(len, batch))
        pad = int(self.reader.pad_token_id)
        return {
            "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids in batch]),
            "attention_mask": torch.tensor(
                [[1] * len(ids) + [0] * (longest - len(ids)) for ids in batch]
            ),
        }


def load_prompted(
    model: Any, rows: LabelledRows, options: FinetuneOptions, head: HeadKind
) -> Classifier:
    """Return a causal model with its label words, or CLIP with the names of the classes."""
    if not isinstance(model, str):
        raise InvalidInputError(
            f"`model` of `{WHERE}` must be a name or a folder where `head={head!r}`, got "
            f"{type(model).__name__}."
        )
    if head == "clip":
        return _clip(model, rows, options)
    body, tokenizer = load_model(model, task="causal", **loading(options))
    words = LabelWords(body, tokenizer, rows.classes, **_settings(options))
    limit = options.max_length or context_limit(body, tokenizer)
    return Classifier(
        words, body, words.tokenizer, PromptBatcher(words), head, rows.classes, False, limit
    )


def _settings(options: FinetuneOptions) -> dict[str, Any]:
    named = {"template": options.template, "max_length": options.max_length}
    return {name: value for name, value in named.items() if value is not None}


def _clip(model: str, rows: LabelledRows, options: FinetuneOptions) -> Classifier:
    known = {k: v for k, v in loading(options).items() if k in ("dtype", "device", "revision")}
    body, processor = load_clip(model, **known)
    prompts = ClassNamePrompts(body, processor, rows.classes, **_of_clip(options))
    batcher = PictureBatcher(processor.image_processor, WHERE)
    return Classifier(prompts, body, processor, batcher, "clip", rows.classes, False, None)


def _of_clip(options: FinetuneOptions) -> dict[str, Any]:
    return {} if options.template is None else {"template": options.template}


def around(classifier: Classifier, body: Any, options: FinetuneOptions) -> Any:
    """Return the head of the classifier's kind around another body, in the same mode."""
    reader, classes = classifier.reader, classifier.classes
    if classifier.head == "clip":
        made: Any = ClassNamePrompts(body, reader, classes, **_of_clip(options))
    else:
        made = LabelWords(body, reader, classes, **_settings(options))
    return made.train(body.training)
