"""Which objective belongs to which strategy."""

from __future__ import annotations

from isonomy._validation import check_choice
from isonomy.adapters.losses import objective_settings

__all__ = ["STRATEGIES", "check_objective_name", "objective_of"]

STRATEGIES = {
    "equity": ("equity", "multi_label_balance"),
    "intermediate": ("label_balance", "multi_label_balance"),
    "lora": ("cross_entropy", "multi_label"),
    "full": ("cross_entropy", "multi_label"),
    "layer_norms": ("cross_entropy", "multi_label"),
}
"""The objective of each strategy, for one label a row and for several."""


def check_objective_name(name: str, value: str, *, where: str) -> None:
    """Raise unless ``value`` names an objective, or as ``strategy`` also one of ours."""
    objectives = list(objective_settings())
    choices = [*STRATEGIES, *objectives] if name == "strategy" else objectives
    check_choice(name, value, list(dict.fromkeys(choices)), where=where)


def objective_of(strategy: str, loss: str | None, *, multi_label: bool) -> str:
    """Return the objective's name: ``loss``, else the strategy's own, else the strategy."""
    if loss is not None:
        return loss
    single, several = STRATEGIES.get(strategy, (strategy, strategy))
    return several if multi_label else single
