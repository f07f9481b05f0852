"""Tiny random models in the layouts of Hugging Face, with a real tokenizer, made on the spot."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

KINDS = ("llama", "mistral", "gpt2", "bert", "roberta", "clip_text", "clip_vision")
DECODERS = ("llama", "mistral", "gpt2")

# not 2 for the end: CLIP takes an end of 2 for a configuration older than its repair
PAD, UNKNOWN, MASK, START, END = range(5)
SPECIAL = ("<pad>", "<unk>", "<mask>", "<s>", "</s>")
N_TOKENS = 64
N_BLOCKS = 3
N_LABELS = 3

_CORPUS = (
    "She works as a nurse in a hospital and cares for children.",
    "He is a software engineer who writes code for robots.",
    "The professor teaches mathematics at the university of the city.",
    "Her practice as a dentist opened in the north of the country.",
    "He studied law and is now an attorney for small companies.",
    "The surgeon has published many papers and treats patients every day.",
)

_TEMPLATES = {
    "llama": "<s> $A",
    "mistral": "<s> $A",
    "gpt2": "$A",
}

_CLASSES = {
    ("llama", "causal"): "LlamaForCausalLM",
    ("llama", "encoder"): "LlamaModel",
    ("llama", "classification"): "LlamaForSequenceClassification",
    ("mistral", "causal"): "MistralForCausalLM",
    ("mistral", "encoder"): "MistralModel",
    ("mistral", "classification"): "MistralForSequenceClassification",
    ("gpt2", "causal"): "GPT2LMHeadModel",
    ("gpt2", "encoder"): "GPT2Model",
    ("gpt2", "classification"): "GPT2ForSequenceClassification",
    ("bert", "encoder"): "BertModel",
    ("bert", "classification"): "BertForSequenceClassification",
    ("bert", "masked"): "BertForMaskedLM",
    ("roberta", "encoder"): "RobertaModel",
    ("roberta", "classification"): "RobertaForSequenceClassification",
    ("roberta", "masked"): "RobertaForMaskedLM",
    ("clip_text", "encoder"): "CLIPTextModel",
    ("clip_text", "clip_text"): "CLIPTextModelWithProjection",
    ("clip_vision", "encoder"): "CLIPVisionModel",
    ("clip_vision", "clip_vision"): "CLIPVisionModelWithProjection",
    ("clip_vision", "classification"): "CLIPForImageClassification",
}


def tiny(kind: str, *, task: str = "auto", seed: int = 0, **changes: Any) -> tuple[Any, Any]:
    """Return a random model in eval mode and its tokenizer (for vision its image processor).

    ``task``: "causal", "encoder", "classification", "masked", "clip_text" or "clip_vision";
    "auto" is the usual one of the kind. ``changes`` go to the configuration. Every parameter
    is random, biases and norms too, so that a forgotten one shows.
    """
    config, name = _config(kind, **changes), _CLASSES[kind, _usual(kind, task)]
    if name == "CLIPForImageClassification":  # it reads the configuration of both towers
        config = transformers.CLIPConfig(vision_config=config.to_dict(), num_labels=N_LABELS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, name)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model, image_processor() if kind == "clip_vision" else tokenizer(kind)


def save_tiny(kind: str, folder: str | Path, *, task: str = "auto", **changes: Any) -> Path:
    """Write ``tiny(...)`` to ``folder`` as ``from_pretrained`` reads it; return the folder."""
    model, reader = tiny(kind, task=task, **changes)
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
    return Path(folder)


def _usual(kind: str, task: str) -> str:
    if task != "auto":
        return task
    if kind in DECODERS:
        return "causal"
    return kind if kind.startswith("clip") else "encoder"


def _config(kind: str, **changes: Any) -> Any:
    ids = {"pad_token_id": PAD, "bos_token_id": START, "eos_token_id": END}
    if kind == "clip_vision":
        picture = {"image_size": 16, "patch_size": 8, "projection_dim": 8}
        return transformers.CLIPVisionConfig(**{**_sizes(), **picture, **changes})
    common = {"vocab_size": len(_trained("$A").get_vocab()), "num_labels": N_LABELS, **ids}
    if kind in ("llama", "mistral"):
        made = transformers.LlamaConfig if kind == "llama" else transformers.MistralConfig
        grouped = {"num_key_value_heads": 2, "max_position_embeddings": N_TOKENS}
        return made(**{**common, **_sizes(), **grouped, **changes})
    if kind == "gpt2":
        sizes = {"n_embd": 16, "n_layer": N_BLOCKS, "n_head": 4, "n_positions": N_TOKENS}
        calm = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        return transformers.GPT2Config(**{**common, **sizes, **calm, **changes})
    if kind == "clip_text":
        text = {"max_position_embeddings": N_TOKENS, "projection_dim": 8}
        return transformers.CLIPTextConfig(**{**common, **_sizes(), **text, **changes})
    calm = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    made = transformers.BertConfig if kind == "bert" else transformers.RobertaConfig
    # RoBERTa counts positions from pad + 1
    room = {"max_position_embeddings": N_TOKENS + 2}
    return made(**{**common, **_sizes(), **room, **calm, **changes})


def _sizes() -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": N_BLOCKS,
        "num_attention_heads": 4,
    }


@functools.cache
def _trained(template: str) -> Tokenizer:
    """Return a byte-level BPE tokenizer: every text has tokens, none is unknown."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", START), ("</s>", END)]
    )
    return made


def tokenizer(kind: str) -> Any:
    """Return a new tokenizer of the kind's template; pads on the right unless told otherwise."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(_TEMPLATES.get(kind, "<s> $A </s>")).to_str()),
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        padding_side="right",
        model_max_length=N_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def image_processor() -> Any:
    """Return an image processor for pictures of 16 x 16 points."""
    return transformers.CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
