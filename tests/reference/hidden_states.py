"""Hidden states one text at a time: no batch, no padding, one hand-written hook a module."""

from __future__ import annotations

import numpy as np
import torch

# where each site stands, by the module names of the published layouts
RESIDUAL = {
    "llama": "model.layers.{}",
    "mistral": "model.layers.{}",
    "gpt2": "transformer.h.{}",
    "bert": "encoder.layer.{}",
    "roberta": "encoder.layer.{}",
    "clip_text": "text_model.encoder.layers.{}",
    "clip_vision": "vision_model.encoder.layers.{}",
}
ATTENTION = {
    "llama": ".self_attn.o_proj",
    "mistral": ".self_attn.o_proj",
    "gpt2": ".attn.c_proj",
    "bert": ".attention.output.dense",
    "roberta": ".attention.output.dense",
    "clip_text": ".self_attn.out_proj",
    "clip_vision": ".self_attn.out_proj",
}
NORM = {
    "llama": ".input_layernorm",
    "mistral": ".input_layernorm",
    "gpt2": ".ln_1",
    "clip_text": ".layer_norm1",
    "clip_vision": ".layer_norm1",
}
HEAD = {
    "llama": "lm_head",
    "mistral": "lm_head",
    "gpt2": "lm_head",
    "clip_text": "text_projection",
    "clip_vision": "visual_projection",
}


def module_name(kind, site, layer):
    """Return the path of a module whose output (for a head: input) the site is."""
    if site == "head_input":
        return HEAD[kind]
    end = {"residual": {}, "attention_output": ATTENTION, "norm_output": NORM}[site]
    return RESIDUAL[kind].format(layer) + end.get(kind, "")


def one_hidden_state(model, inputs, name, *, of_input=False):
    """Run one text and return what passed at the module ``name``: (tokens, d) or (d,)."""
    seen = []

    def keep(module, args, output):
        value = args[0] if of_input else output
        seen.append(value[0] if isinstance(value, tuple) else value)

    handle = dict(model.named_modules())[name].register_forward_hook(keep)
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    assert len(seen) == 1 and len(seen[0]) == 1
    return seen[0][0].to(torch.float64).numpy()


def pooled(tokens, positions):
    """Return the one row that stands for the (tokens, d) of a text; (d,) stays."""
    if tokens.ndim == 1:
        return tokens
    if positions == "last":
        return tokens[-1]
    if positions == "cls":
        return tokens[0]
    return np.sum(tokens, axis=0) / len(tokens)


def hidden_rows(model, kind, encoded, *, site, layer, positions):
    """Return one row a text, (n, d), for inputs of one text each."""
    name = module_name(kind, site, layer)
    head = site == "head_input"
    rows = [pooled(one_hidden_state(model, one, name, of_input=head), positions) for one in encoded]
    return np.stack(rows)
