"""Tiny classifiers with LoRA, before and after a few steps of training."""

from __future__ import annotations

import peft
import torch
from torch import nn

from isonomy.adapters.starting import bias_aware_start
from reference.loaders import SIZES, picture_loader, text_loader
from tiny_models import tiny

K = len(SIZES)
COUNTS = {"robin": 400, "wren": 90, "shrike": 20, "ouzel": 5}
TARGETS = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "gpt2": ["c_attn", "attn.c_proj"],
    "bert": ["query", "key", "value", "attention.output.dense"],
    "clip_vision": ["q_proj", "k_proj", "v_proj", "out_proj"],
}
HEADS = {"llama": "score", "gpt2": "score", "bert": "classifier", "clip_vision": "classifier"}


def adapted(kind="llama", *, dtype=torch.float32, r=4, changes=None, **config):
    """A tiny classifier with LoRA and a trained head; its random parts are always the same."""
    size = {} if kind == "clip_vision" else {"num_labels": K}
    model, _ = tiny(kind, task="classification", **size, **(changes or {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "clip_vision":
            model.classifier = nn.Linear(model.classifier.in_features, K)
        settings = {
            "r": r,
            "lora_alpha": 8,
            "target_modules": TARGETS[kind],
            "modules_to_save": [HEADS[kind]],
            "fan_in_fan_out": kind == "gpt2",
            **config,
        }
        return peft.get_peft_model(model.to(dtype), peft.LoraConfig(**settings)).eval()


def loader(kind="llama", **settings):
    return picture_loader(**settings) if kind == "clip_vision" else text_loader(**settings)


def logits(model, batch):
    if isinstance(batch, dict):
        inputs = {k: v for k, v in batch.items() if k != "labels"}
    else:
        inputs = {"pixel_values": batch[0].to(model.dtype)}
    with torch.no_grad():
        return model(**inputs).logits


def lora_a(model, name="default"):
    return {
        path: module.lora_A[name].weight.detach().double().numpy().copy()
        for path, module in model.named_modules()
        if hasattr(module, "lora_A")
    }


def others(model):
    """Everything but ``lora_A``."""
    return {n: p.detach().clone() for n, p in model.state_dict().items() if "lora_A" not in n}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def trained(kind, dtype, **settings):
    """A model after a start and a few steps that move every adapter."""
    model = adapted(kind, dtype=dtype, **settings)
    batches = loader(kind)
    bias_aware_start(model, batches, class_counts=COUNTS, head="class_means")
    moved = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(moved, lr=1e-2)
    for batch in batches:
        values = batch if isinstance(batch, dict) else {"pixel_values": batch[0].to(dtype)}
        target = batch["labels"] if isinstance(batch, dict) else batch[1]
        z = model(**{k: v for k, v in values.items() if k != "labels"}).logits
        nn.functional.cross_entropy(z.float(), target).backward()
        optimiser.step()
        optimiser.zero_grad()
    return model
