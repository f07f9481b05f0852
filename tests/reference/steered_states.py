"""Steering a model by hand: one literal hook on a named module, rows and tokens in loops."""

from __future__ import annotations

import numpy as np
import torch

# kind -> site -> path of the module in the bare base model, for block {n}
MODULES = {
    "llama": {
        "norm_output": "layers.{n}.input_layernorm",
        "mlp_norm_output": "layers.{n}.post_attention_layernorm",
        "attention_output": "layers.{n}.self_attn.o_proj",
        "mlp_output": "layers.{n}.mlp.down_proj",
        "residual": "layers.{n}",
    },
    "gpt2": {
        "norm_output": "h.{n}.ln_1",
        "mlp_norm_output": "h.{n}.ln_2",
        "attention_output": "h.{n}.attn.c_proj",
        "mlp_output": "h.{n}.mlp.c_proj",
        "residual": "h.{n}",
    },
    "bert": {
        "norm_output": "encoder.layer.{before}.output.LayerNorm",
        "mlp_norm_output": "encoder.layer.{n}.attention.output.LayerNorm",
        "attention_output": "encoder.layer.{n}.attention.output.dense",
        "mlp_output": "encoder.layer.{n}.output.dense",
        "residual": "encoder.layer.{n}",
    },
    "clip_text": {
        "norm_output": "encoder.layers.{n}.layer_norm1",
        "mlp_norm_output": "encoder.layers.{n}.layer_norm2",
        "attention_output": "encoder.layers.{n}.self_attn.out_proj",
        "mlp_output": "encoder.layers.{n}.mlp.fc2",
        "residual": "encoder.layers.{n}",
    },
}
MODULES["mistral"] = MODULES["llama"]
MODULES["roberta"] = MODULES["bert"]
MODULES["clip_vision"] = MODULES["clip_text"]

# (kind, task) -> the base model's name, and the module that reads the head's input
BASES = {
    ("llama", "causal"): ("model", "lm_head"),
    ("llama", "classification"): ("model", "score"),
    ("mistral", "causal"): ("model", "lm_head"),
    ("gpt2", "causal"): ("transformer", "lm_head"),
    ("gpt2", "classification"): ("transformer", "score"),
    ("bert", "classification"): ("bert", "classifier"),
    ("bert", "masked"): ("bert", "cls.predictions.decoder"),
    ("roberta", "classification"): ("roberta", "classifier.out_proj"),
    ("roberta", "masked"): ("roberta", "lm_head.decoder"),
    ("clip_text", "clip_text"): ("text_model", "text_projection"),
    ("clip_vision", "clip_vision"): ("vision_model", "visual_projection"),
    ("clip_vision", "classification"): ("vision_model", "classifier"),
}


def module_name(kind: str, task: str, site: str, layer: int | None) -> str:
    """Return the name of the module at which the site is read."""
    base, head = BASES[kind, task]
    if site == "head_input":
        return head
    return f"{base}." + MODULES[kind][site].format(n=layer, before=layer - 1)


def chosen(mask: list[list[int]], positions: str) -> list[list[bool]]:
    """Say of every token whether it is steered in a pass without a cache."""
    found = []
    for row in mask:
        real = [t for t, one in enumerate(row) if one]
        if positions == "last":
            keep = real[-1:]
        elif positions == "cls":
            keep = real[:1]
        elif positions == "generated":
            keep = []
        else:
            keep = real
        found.append([t in keep for t in range(len(row))])
    return found


def steered(states: torch.Tensor, keep: list[list[bool]] | None, maps: list) -> torch.Tensor:
    """Return states (batch, tokens, d) or (batch, d) after row b's own map, in float64."""
    out = states.detach().double().clone()
    for b in range(states.shape[0]):
        matrix, offset = maps[b]
        if states.ndim == 2:
            out[b] = _mapped(out[b], matrix, offset)
            continue
        for t in range(states.shape[1]):
            if keep is None or keep[b][t]:
                out[b, t] = _mapped(out[b, t], matrix, offset)
    return out.to(states.dtype)


def _mapped(x: torch.Tensor, matrix: np.ndarray, offset: np.ndarray) -> torch.Tensor:
    moved = [
        sum(matrix[i, j] * float(x[j]) for j in range(len(x))) + offset[i] for i in range(len(x))
    ]
    return torch.tensor(moved, dtype=torch.float64)


def run_by_hand(model, batch, name, *, head, keep, maps) -> torch.Tensor:
    """Run the model with one module's tensor replaced, and return its first output."""
    module = model.get_submodule(name)

    def before(module, args):
        return (steered(args[0], keep, maps), *args[1:])

    def after(module, args, output):
        if isinstance(output, tuple):
            return (steered(output[0], keep, maps), *output[1:])
        return steered(output, keep, maps)

    if head:
        handle = module.register_forward_pre_hook(before)
    else:
        handle = module.register_forward_hook(after)
    with torch.no_grad():
        out = model(**batch)[0]
    handle.remove()
    return out
