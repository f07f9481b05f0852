"""Label words, literally: one sequence per text and label, without padding, cache or sharing."""

from __future__ import annotations

from typing import Any

import torch


def label_word_logits(
    model: Any, tokenizer: Any, texts: list[str], classes: list[str], *, template: str, end: bool
) -> torch.Tensor:
    """Return sum_t log p(token t of the label | prompt, its earlier tokens), (n, K).

    The prompt ends before the white space in front of "{label}". ``end`` adds the end of
    text to every label. The tokenizer must put no special token behind a text.
    """
    head, tail = template.split("{label}")
    found = torch.zeros(len(texts), len(classes))
    for i, text in enumerate(texts):
        prompt = tokenizer(head.rstrip().replace("{text}", text))["input_ids"]
        for k, name in enumerate(classes):
            whole = tokenizer(head.replace("{text}", text) + name + tail)["input_ids"]
            if end:
                whole = [*whole, tokenizer.eos_token_id]
            assert whole[: len(prompt)] == prompt
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([whole])).logits[0].double()
            for t in range(len(prompt), len(whole)):
                found[i, k] += torch.log_softmax(logits[t - 1], dim=-1)[whole[t]]
    return found
