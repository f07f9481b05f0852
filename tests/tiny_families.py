"""Tiny random models of further Hugging Face families, beyond those of ``tiny_models``."""

from __future__ import annotations

from typing import Any

import torch
import transformers

_SMALL = {
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_PICTURE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}
_KEYS = {"num_key_value_heads": 2}
_HEAD = {"head_dim": 4}

# family -> class, configuration, its arguments
_FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "opt": (
        "OPTForCausalLM",
        "OPTConfig",
        {**_SMALL, **_ENDS, "ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.0},
    ),
    "opt_post_norm": (
        "OPTForCausalLM",
        "OPTConfig",
        {
            **_SMALL,
            **_ENDS,
            "ffn_dim": 24,
            "word_embed_proj_dim": 8,
            "dropout": 0.0,
            "do_layer_norm_before": False,
        },
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", {**_SMALL, **_ENDS}),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            **_ENDS,
            "vocab_size": 48,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
        },
    ),
    "gptj": (
        "GPTJForCausalLM",
        "GPTJConfig",
        {**_ENDS, "vocab_size": 48, "n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 2},
    ),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", {**_SMALL, **_ENDS, **_KEYS}),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**_SMALL, **_ENDS, **_KEYS, **_HEAD}),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", {**_SMALL, **_ENDS, **_KEYS, **_HEAD}),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", {**_SMALL, **_ENDS, **_KEYS, **_HEAD}),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", {**_SMALL, **_ENDS, **_KEYS, **_HEAD}),
    "phi": ("PhiForCausalLM", "PhiConfig", {**_SMALL, **_ENDS}),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", {**_SMALL, **_ENDS}),
    "falcon": (
        "FalconForCausalLM",
        "FalconConfig",
        {
            **_ENDS,
            "vocab_size": 48,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        },
    ),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {**_ENDS, "vocab_size": 48, "hidden_size": 16, "n_layer": 2, "n_head": 4},
    ),
    "stablelm": ("StableLmForCausalLM", "StableLmConfig", {**_SMALL, **_ENDS, **_KEYS}),
    "starcoder2": ("Starcoder2ForCausalLM", "Starcoder2Config", {**_SMALL, **_ENDS, **_KEYS}),
    "granite": ("GraniteForCausalLM", "GraniteConfig", {**_SMALL, **_ENDS, **_KEYS}),
    "cohere": ("CohereForCausalLM", "CohereConfig", {**_SMALL, **_ENDS, **_KEYS}),
    "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", {**_SMALL, **_ENDS, **_KEYS}),
    "mixtral": (
        "MixtralForCausalLM",
        "MixtralConfig",
        {**_SMALL, **_ENDS, **_KEYS, "num_local_experts": 2},
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {**_ENDS, "vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    ),
    "distilbert": (
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {"vocab_size": 48, "dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4},
    ),
    "electra": (
        "ElectraForSequenceClassification",
        "ElectraConfig",
        {**_SMALL, "embedding_size": 8},
    ),
    "deberta_v2": ("DebertaV2ForSequenceClassification", "DebertaV2Config", {**_SMALL}),
    "modernbert": (
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        {**_SMALL, **_ENDS, "cls_token_id": 1, "sep_token_id": 2},
    ),
    "xlm_roberta": ("XLMRobertaModel", "XLMRobertaConfig", {**_SMALL, **_ENDS}),
    "mpnet": ("MPNetModel", "MPNetConfig", {**_SMALL, **_ENDS}),
    "t5_encoder": (
        "T5EncoderModel",
        "T5Config",
        {"vocab_size": 48, "d_model": 16, "d_ff": 24, "num_layers": 2, "num_heads": 4, "d_kv": 4},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        "T5Config",
        {"vocab_size": 48, "d_model": 16, "d_ff": 24, "num_layers": 2, "num_heads": 4, "d_kv": 4},
    ),
    "albert": ("AlbertForSequenceClassification", "AlbertConfig", {**_SMALL, "embedding_size": 8}),
    "vit": ("ViTForImageClassification", "ViTConfig", _PICTURE),
    "dinov2": ("Dinov2Model", "Dinov2Config", _PICTURE),
    "siglip_vision": ("SiglipVisionModel", "SiglipVisionConfig", _PICTURE),
    "siglip_text": ("SiglipTextModel", "SiglipTextConfig", {**_SMALL, **_ENDS}),
}

FAMILIES = tuple(_FAMILIES)


def tiny_family(name: str) -> Any:
    """Return a random model of a family in eval mode, every parameter random."""
    model, config, arguments = _FAMILIES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = getattr(transformers, model)(getattr(transformers, config)(**arguments)).eval()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def some_input(model: Any) -> dict[str, torch.Tensor]:
    """Return a batch of two for a model: pictures, or token numbers with padding on the right."""
    generator = torch.Generator().manual_seed(3)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator)}
    ids = torch.randint(3, 48, (2, 5), generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return {"input_ids": ids * mask, "attention_mask": mask}
