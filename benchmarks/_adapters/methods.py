"""Every method, and the settings that are tried of each. THE file to edit after research.

A method is a :class:`Recipe` and up to three changes to it (``settings``); what a change does not
name stays as in the recipe. A result on disk is found by its whole recipe, so that editing one
method runs that method alone again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

__all__ = ["BASE", "METHODS", "OURS", "RIVALS_AT_F1", "Method", "Recipe", "named"]

STEPS = 250
"""Optimiser steps of every method that trains: the same budget for all."""

LR = 5e-3
HEAD_LR = 2e-2

Family = Literal["none", "rival", "ours", "ablation"]


@dataclass(frozen=True)
class Recipe:
    """All that one training does, but for the data and the seed.

    ``trains``: "attention" (LoRA on Q, K, V, O), "layer" (LoRA on what one layer writes),
    "layer_norms", "all" or "none"; ``layer`` is a number or a way of `choose_layer`. ``start``:
    "default", "eva", "pissa", or an ``init`` of `bias_aware_start`; ``head``: "keep" or
    "class_means". ``sampling``: "shuffle", "over" (classes alike often) or "under" (as many rows
    of each class as the rarest has). ``finish`` is the weight of `class_means_finish`; 0 for none.
    """

    objective: str = "cross_entropy"
    loss: Mapping[str, Any] = field(default_factory=dict)
    start: str = "default"
    start_settings: Mapping[str, Any] = field(default_factory=dict)
    head: str = "keep"
    trains: str = "attention"
    layer: int | str | None = None
    sampling: str = "shuffle"
    r: int = 8
    alpha: int = 16
    lr: float = LR
    head_lr: float | None = HEAD_LR
    steps: int = STEPS
    batch_size: int = 32
    warmup: float = 0.05
    clip: float = 1.0
    weight_decay: float = 0.0
    finish: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold; only what differs from the defaults of this class."""
        usual = Recipe()
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        always = {"objective", "lr", "head_lr", "steps", "batch_size"}
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in found.items()
            if name in always or value != getattr(usual, name)
        }


@dataclass(frozen=True)
class Method:
    """One row of the tables. ``full`` methods run under ``--full`` alone.

    ``settings`` change the recipe; the best by macro-F1 on the balanced validation rows is kept.
    ``derived`` methods train nothing: they act on the logits of plain LoRA, and their settings
    go to the function of that name in ``derived.py``. A ``once`` method sees no training rows:
    it runs once a data set. ``tuning_seeds``: the settings are judged by their mean over so many
    seeds; one seed does not show that a rate is too fast for others.
    """

    name: str
    label: str
    family: Family
    recipe: Recipe = Recipe()
    settings: tuple[Mapping[str, Any], ...] = ({},)
    full: bool = False
    derived: bool = False
    once: bool = False
    tuning_seeds: int = 1

    def recipes(self) -> list[Recipe]:
        """Return the recipe of each setting."""
        if self.derived:
            return [self.recipe]
        return [replace(self.recipe, **setting) for setting in self.settings]


RATES = ({"lr": 2e-3}, {"lr": 4e-3}, {"lr": 6e-3})
SLOW = ({"lr": 3e-4, "head_lr": 5e-3}, {"lr": 1e-3, "head_lr": 1e-2}, {"lr": 3e-3})
# a head that starts from class means needs no faster rate than the rest
STARTED = (
    {"lr": 2e-3, "head_lr": 2e-3},
    {"lr": 4e-3, "head_lr": 4e-3},
    {"lr": 6e-3, "head_lr": 6e-3},
)
FINISHES = ({"finish": 1.0}, {"finish": 2.0}, {"finish": 4.0})
EQUITY_LOSS = {"tau": 0.25, "weight": 0.1, "lift_only": True}
START_ROWS = {"n_per_class": 8, "head_n_per_class": 16, "max_rows": 1300}
"""Few rows a class for the directions, more for the head: together under 20 steps' time."""
BALANCE_LOSS = {"beta": 0.1, "gamma": 0.1}


def _losses(*values: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple({"loss": value} for value in values)


_ALL = (
    Method("zero_shot", "no training: label words", "none", Recipe(trains="none"), once=True),
    Method(
        "class_means", "no training: class means of frozen states", "none",
        Recipe(trains="attention", start="tail_structure", head="class_means", steps=0),
        ({}, {"start_settings": {"n_per_class": 64}}),
    ),
    Method("lora", "LoRA, cross-entropy", "rival", settings=RATES, tuning_seeds=3),
    Method("oversampling", "LoRA, oversampling", "rival", Recipe(sampling="over"), RATES),
    Method("undersampling", "LoRA, undersampling", "rival", Recipe(sampling="under"), RATES),
    Method(
        "class_balanced", "LoRA, class-balanced weights", "rival",
        Recipe("class_balanced"), _losses({"beta": 0.9}, {"beta": 0.99}, {"beta": 0.999}),
    ),
    Method(
        "logit_adjusted", "LoRA, logit-adjusted loss", "rival",
        Recipe("logit_adjusted", {"tau": 0.75}, lr=4e-3),  # tau 1 is the balanced softmax
        _losses({"tau": 0.5}, {"tau": 0.75}, {"tau": 1.25}), tuning_seeds=3,
    ),
    Method(
        "post_hoc", "LoRA, post-hoc logit adjustment", "rival", derived=True,
        settings=({"tau": 0.5}, {"tau": 1.0}, {"tau": 1.5}), tuning_seeds=3,
    ),
    Method(
        "post_hoc_tuned", "LoRA, post-hoc adjustment, tau tuned in every cell", "rival",
        derived=True,
    ),
    Method("batch_calibration", "LoRA, batch calibration", "rival", derived=True),
    Method("weight_search", "LoRA, class-weight search (DNIP)", "rival", derived=True),
    Method(
        "balanced_softmax", "LoRA, balanced softmax", "rival", Recipe("balanced_softmax"), RATES,
        tuning_seeds=3,
    ),
    Method(
        "focal", "LoRA, focal loss", "rival", Recipe("focal"),
        _losses({"gamma": 0.5}, {"gamma": 1.0}, {"gamma": 2.0}),
    ),
    Method(
        "ldam_drw", "LoRA, LDAM-DRW", "rival", Recipe("ldam_drw"),
        _losses(
            {"max_margin": 0.5, "scale": 1.0}, {"max_margin": 2.0, "scale": 1.0},
            {"max_margin": 0.5, "scale": 5.0},
        ),
        tuning_seeds=3,
    ),
    Method(
        "group_dro", "LoRA, group DRO over classes", "rival", Recipe("group_dro"),
        _losses({"step_size": 0.001}, {"step_size": 0.01}, {"step_size": 0.1}),
    ),
    Method("eva", "LoRA, EVA start", "rival", Recipe(start="eva"), RATES),
    Method("pissa", "LoRA, PiSSA start", "rival", Recipe(start="pissa"), RATES, full=True),
    Method(
        "single_layer", "one layer, cross-entropy", "rival", Recipe(trains="layer", layer=1),
        ({"layer": 0, "lr": 1e-2}, {"layer": 1, "lr": 1e-2}, {"layer": 2, "lr": 1e-2}),
    ),
    Method(
        "layer_norms", "layer norms, cross-entropy", "rival", Recipe(trains="layer_norms"), RATES,
    ),
    Method("full", "full fine-tuning", "rival", Recipe(trains="all"), SLOW, full=True),
    Method(
        "equity", "equity (start, loss, finish)", "ours",
        Recipe(
            "equity", EQUITY_LOSS, "tail_structure", START_ROWS, head="class_means", lr=6e-3,
            head_lr=6e-3, finish=2.0,
        ),
        _losses(EQUITY_LOSS, {**EQUITY_LOSS, "tau": 0.5}, {**EQUITY_LOSS, "tau": 0.75}),
        tuning_seeds=3,
    ),
    Method(
        "start_and_finish", "equity: start and finish, plain cross-entropy", "ablation",
        Recipe(
            start="tail_structure", start_settings=START_ROWS, head="class_means", lr=6e-3,
            head_lr=6e-3, finish=2.0,
        ),
    ),
    Method(
        "start_and_loss", "equity: start and loss, no finish", "ablation",
        Recipe(
            "equity", EQUITY_LOSS, "tail_structure", START_ROWS, head="class_means", lr=6e-3,
            head_lr=6e-3,
        ),
    ),
    Method(
        "equity_in_time", "equity, as many steps fewer as start and finish cost", "ablation",
        Recipe(
            "equity", EQUITY_LOSS, "tail_structure", START_ROWS, head="class_means", lr=6e-3,
            head_lr=6e-3, finish=2.0, steps=210,
        ),
    ),
    Method(
        "loss_only", "equity: loss only", "ablation", Recipe("equity", EQUITY_LOSS, lr=4e-3),
    ),
    Method(
        "start_only", "equity: start only", "ablation",
        Recipe(start="tail_structure", start_settings=START_ROWS, head="class_means"), STARTED,
    ),
    Method(
        "finish_only", "equity: finish only", "ablation", Recipe(lr=4e-3, finish=2.0), FINISHES,
    ),
    Method(
        "kept_head", "equity without the head's start", "ablation",
        Recipe(
            "equity", EQUITY_LOSS, "tail_structure", START_ROWS, lr=4e-3, finish=2.0,
        ),
    ),
    Method(
        "logit_adjusted_finish", "logit-adjusted loss and our finish", "ablation",
        Recipe("logit_adjusted", {"tau": 0.5}, lr=4e-3, finish=2.0), FINISHES,
    ),
    Method(
        "started_margin", "our start and finish, logit-adjusted loss", "ablation",
        Recipe(
            "logit_adjusted", {"tau": 0.75}, "tail_structure", START_ROWS, head="class_means",
            lr=6e-3, head_lr=6e-3, finish=2.0,
        ),
    ),
    Method(
        "directions_only", "equity: start without the head", "ablation",
        Recipe(start="tail_structure", start_settings=START_ROWS), RATES,
    ),
    Method(
        "head_only", "equity: head of the start only", "ablation", Recipe(head="class_means"),
        RATES,
    ),
    Method(
        "gradient_start", "equity with the gradient start", "ablation",
        Recipe("equity", EQUITY_LOSS, "tail_gradient", head="class_means"),
        _losses(EQUITY_LOSS, {**EQUITY_LOSS, "tau": 1.0}, {**EQUITY_LOSS, "weight": 0.02}),
        full=True,
    ),
    Method(
        "single_layer_finish", "one layer, cross-entropy and our finish", "ablation",
        Recipe(trains="layer", layer=1, lr=1e-2, finish=2.0),
    ),
    Method(
        "intermediate", "intermediate (one layer, label balance)", "ours",
        Recipe(
            "label_balance", BALANCE_LOSS, trains="layer", layer="interchange", lr=1e-2,
            head="class_means", finish=2.0,
        ),
        ({"layer": "interchange"}, {"layer": "middle"}, {"layer": 1}),
    ),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
"""All rows of all tables by name, in their order."""

BASE = "lora"
OURS = ("equity", "intermediate")
RIVALS_AT_F1 = ("logit_adjusted", "post_hoc", "post_hoc_tuned", "balanced_softmax", "ldam_drw")
"""Whom our macro-F1 is to be ahead of."""


def named(names: list[str]) -> list[Method]:
    """Return methods by name."""
    return [METHODS[name] for name in names]
