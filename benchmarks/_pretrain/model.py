"""A byte-level BPE tokenizer and an untrained Llama-layout network of a stated size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["SIZES", "Size", "new_model", "train_tokenizer"]

SPECIAL = ("<s>", "</s>", "<pad>")


@dataclass(frozen=True)
class Size:
    """Shape of a network and of its training; rates are the largest of a cosine schedule."""

    n_layers: int
    width: int
    n_heads: int
    inner: int
    n_words: int
    context: int
    batch_size: int
    rate: float
    epochs: int


SIZES = {
    "tiny": Size(2, 32, 2, 64, 400, 32, 8, 3e-3, 1),
    "small": Size(4, 256, 4, 688, 8_192, 128, 32, 1.5e-3, 3),
    "base": Size(12, 768, 12, 2_048, 32_000, 512, 64, 6e-4, 10),
}
"""small has 5.3 million parameters; base has 110 million and wants a GPU."""


def train_tokenizer(texts: Iterable[str], size: Size, folder: Path) -> Any:
    """Learn a byte-level BPE vocabulary, save it in ``folder`` and return the tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size.n_words,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(texts, trainer)
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    begin, end, pad = SPECIAL
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=begin, eos_token=end, pad_token=pad,
        model_max_length=2 * size.context,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def new_model(size: Size, n_words: int, seed: int) -> Any:
    """Return an untrained network; the same seed gives the same weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=n_words,
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_heads,
        max_position_embeddings=2 * size.context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
