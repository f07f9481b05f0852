"""Turn texts into prompts that leave room for the longest label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from isonomy.adapters._head._label_tokens import LabelTokens, Template, start_tokens
from isonomy.errors import InvalidInputError

__all__ = ["PromptEncoder"]

_WHERE = "LabelWords.encode"


class PromptEncoder:
    """Tokens of prompts: start token, template with the text, what all labels begin with.

    Where a prompt and the longest label exceed ``limit`` tokens, the text is cut at its
    end; the template is kept whole.
    """

    def __init__(
        self, tokenizer: Any, template: Template, labels: LabelTokens, limit: int | None
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.start = start_tokens(tokenizer)
        self.shared = list(labels.shared)
        # the last token of a label is predicted, never read
        self.limit = None if limit is None else limit - (labels.longest - 1)

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of the prompt of each text."""
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InvalidInputError(
                    f"Row {row} of `texts` passed to `{_WHERE}` (counted from 0) must be a "
                    f"string, got {type(text).__name__}."
                )
        found = [
            self._tokens(part) for part in self._plain([self.template.prompt(t) for t in texts])
        ]
        for row, text in enumerate(texts):
            if self.limit is not None and len(found[row]) > self.limit:
                found[row] = self._cut(text, len(found[row]))
            if not found[row]:
                raise InvalidInputError(
                    f"Row {row} of `texts` passed to `{_WHERE}` (counted from 0) gives a prompt "
                    f"without any token: {text!r}. Put words into the template before '{{label}}'."
                )
        return found

    def batch(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the prompts as tensors, padded on the tokenizer's side."""
        rows = self.rows(texts)
        longest = max(len(row) for row in rows)
        left = self.tokenizer.padding_side == "left"
        pad = self.tokenizer.pad_token_id
        ids, mask = [], []
        for row in rows:
            filled, hidden = [pad] * (longest - len(row)), [0] * (longest - len(row))
            ids.append(filled + row if left else row + filled)
            mask.append(hidden + [1] * len(row) if left else [1] * len(row) + hidden)
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    def _tokens(self, plain: list[int]) -> list[int]:
        return [*self.start, *plain, *self.shared]

    def _plain(self, prompts: Sequence[str]) -> list[list[int]]:
        if not prompts:
            return []
        made = self.tokenizer(list(prompts), add_special_tokens=False, verbose=False)
        return [list(ids) for ids in made["input_ids"]]

    def _cut(self, text: str, n_tokens: int) -> list[int]:
        """Shorten the text until its prompt fits; a cut word may have more tokens than before."""
        limit = self.limit or 0
        while n_tokens > limit and text:
            text = self._without_last(text, n_tokens - limit)
            found = self._tokens(self._plain([self.template.prompt(text)])[0])
            n_tokens = len(found)
        if n_tokens > limit:
            raise InvalidInputError(
                f"`max_length` of `LabelWords` must leave room for the template and the longest "
                f"label, but these alone have {n_tokens} tokens where {limit} are left for the "
                "prompt. Raise it, or shorten the template."
            )
        return found

    def _without_last(self, text: str, n: int) -> str:
        """Return the text without its last ``n`` tokens, at least one character shorter."""
        if getattr(self.tokenizer, "is_fast", False):
            ends = self.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )["offset_mapping"]
            kept = ends[-n - 1][1] if n < len(ends) else 0
        else:
            kept = len(text) - n
        return text[: max(0, min(kept, len(text) - 1))]
