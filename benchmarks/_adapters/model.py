"""From a recipe to a model that can be trained, through the library's public functions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from _adapters.data import CellRows, tokenize
from _adapters.methods import Recipe
from _adapters.training import Feed, clock
from isonomy import adapters

__all__ = ["Built", "build", "class_counts", "finish"]

EVA_ROWS = 512
EVA_BATCH = 32


@dataclass(frozen=True)
class Built:
    """A model in evaluation mode, how to feed it, and what its start took."""

    model: Any
    tokenizer: Any
    start_seconds: float
    layer: int | None = None
    start_report: dict[str, Any] | None = None

    def feed(self, inputs: Any) -> Feed:
        """Return rows that are ready to be batched."""
        if self.tokenizer is None:
            return Feed(np.asarray(inputs, dtype=np.float32))
        return Feed(tokenize(self.tokenizer, inputs), self.tokenizer.pad_token_id)


def class_counts(rows: CellRows) -> dict[str, int]:
    """Return the training rows of each class by name, in the order of the codes."""
    return dict(zip(rows.classes, rows.counts.tolist(), strict=True))


def build(recipe: Recipe, rows: CellRows, model_folder: str, *, seed: int, device: str) -> Built:
    """Return the model of a recipe, its start written."""
    torch.manual_seed(seed)
    if isinstance(rows.train.inputs, list):
        model, tokenizer = adapters.classification_model(
            model_folder, classes=rows.classes, random_state=seed, device=device,
            dtype="float32",
        )  # fmt: skip
    else:
        from _adapters.images import vision_classifier

        model = vision_classifier(model_folder, len(rows.classes), seed=seed).to(device)
        tokenizer = None
    start = clock(device)
    layer = _layer(recipe, rows, model_folder, seed=seed)
    chosen = clock(device) - start
    built = Built(_trainable(model, recipe, layer, seed=seed), tokenizer, 0.0, layer)
    start = clock(device)
    report = _start(built, recipe, rows, seed=seed)
    spent = clock(device) - start + chosen
    return Built(built.model, tokenizer, spent, layer, report)


def _trainable(model: Any, recipe: Recipe, layer: int | None, *, seed: int) -> Any:
    if recipe.trains == "all":
        return model.requires_grad_(True)
    if recipe.trains == "layer_norms":
        model.requires_grad_(False)
        for name, weight in model.named_parameters():
            if "norm" in name.lower() or name.startswith(("score", "classifier")):
                weight.requires_grad_(True)
        return model
    extra: dict[str, Any] = {}
    if recipe.start == "eva":
        from peft import EvaConfig

        extra = {"init_lora_weights": "eva", "eva_config": EvaConfig(rho=1.0)}
    elif recipe.start == "pissa":
        extra = {"init_lora_weights": "pissa"}
    if recipe.trains == "layer":
        from peft import get_peft_model

        assert layer is not None
        torch.manual_seed(seed)
        found = get_peft_model(
            model, adapters.single_layer_lora(model, layer, r=recipe.r, lora_alpha=recipe.alpha)
        )
    else:
        found = adapters.lora_model(
            model, r=recipe.r, lora_alpha=recipe.alpha, target_modules="attention",
            random_state=seed, **extra,
        )  # fmt: skip
    adapters.check_head(found)
    return found


def _layer(recipe: Recipe, rows: CellRows, model_folder: str, *, seed: int) -> int | None:
    if recipe.trains != "layer":
        return None
    if isinstance(recipe.layer, int):
        return recipe.layer
    return _chosen(rows, model_folder, str(recipe.layer), seed)


def _chosen(rows: CellRows, model_folder: str, method: str, seed: int) -> int:
    """Ask `choose_layer` about the causal model and the labels' words, on a few rows a class."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rng = np.random.default_rng([seed, 2])
    own = [np.flatnonzero(rows.train.y == k) for k in range(len(rows.classes))]
    few = np.concatenate([rng.permutation(part)[:4] for part in own])
    names = np.asarray(rows.classes, dtype=object)
    data = {
        "text": [rows.train.inputs[i] for i in few],
        "label": names[rows.train.y[few]].tolist(),
    }
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    found = adapters.choose_layer(
        model,
        data,
        classes=list(rows.classes),
        method=method,
        tokenizer=tokenizer,
        max_length=64,
        # several classes begin with the same word
        several_tokens="mean",
        random_state=seed,
    )
    return int(found.layer)


def _start(built: Built, recipe: Recipe, rows: CellRows, *, seed: int) -> dict[str, Any] | None:
    if recipe.start == "eva":
        _eva(built, rows, seed=seed)
        return None
    aware = recipe.start in {"tail_structure", "tail_gradient"}
    if not aware and recipe.head == "keep":
        return None
    feed = built.feed(rows.train.inputs)
    kept = None if aware else _lora_a(built.model)
    report = adapters.bias_aware_start(
        built.model,
        _labelled(feed, rows, seed),
        class_counts=class_counts(rows),
        init=recipe.start if aware else "tail_structure",
        head=recipe.head,
        random_state=seed,
        **recipe.start_settings,
    )
    for name, weight in (kept or {}).items():  # the head of the start, and its rows of A not
        built.model.get_parameter(name).data.copy_(weight)
    return {"seconds": report.seconds, "n_rows": report.n_rows}


def finish(built: Built, recipe: Recipe, rows: CellRows, *, seed: int) -> float:
    """Join the trained head with class means, where the recipe says so; return seconds."""
    if not recipe.finish:
        return 0.0
    start = clock(next(built.model.parameters()).device)
    adapters.class_means_finish(
        built.model,
        _labelled(built.feed(rows.train.inputs), rows, seed),
        class_counts=class_counts(rows),
        weight=recipe.finish,
        random_state=seed,
    )
    return clock(next(built.model.parameters()).device) - start


def _lora_a(model: Any) -> dict[str, torch.Tensor]:
    named = model.named_parameters()
    return {name: weight.detach().clone() for name, weight in named if "lora_A" in name}


def _labelled(feed: Feed, rows: CellRows, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield all training rows once, in a drawn order, with their labels."""
    order = np.random.default_rng([seed, 3]).permutation(len(feed))
    for start in range(0, len(order), 32):
        own = order[start : start + 32]
        yield {**feed.batch(own), "labels": torch.from_numpy(rows.train.y[own])}


def _eva(built: Built, rows: CellRows, *, seed: int) -> None:
    """Run PEFT's own initialisation on a random draw of the training rows."""
    from peft import initialize_lora_eva_weights

    feed = built.feed(rows.train.inputs)
    drawn = np.random.default_rng([seed, 4]).permutation(len(feed))[:EVA_ROWS]
    device = next(built.model.parameters()).device
    loader = [
        {name: value.to(device) for name, value in feed.batch(drawn[i : i + EVA_BATCH]).items()}
        for i in range(0, len(drawn) - EVA_BATCH + 1, EVA_BATCH)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initialize_lora_eva_weights(built.model, loader, show_progress_bar=False)
