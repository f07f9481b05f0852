"""Which norm the attention, and which the MLP, of a block reads."""

from __future__ import annotations

from typing import Any

from torch import nn

from isonomy.hidden_states._model._roles import norms_in

__all__ = ["Norms", "norms_of"]

Named = tuple[str, nn.Module]

_BEFORE_ATTENTION = (
    "input_layernorm",
    "ln_1",
    "layer_norm1",
    "layernorm_before",
    "self_attn_layer_norm",
    "attn_norm",
    "ln_attn",
    "attention_norm",
    "norm1",
    "layer.0.layer_norm",
)

_BEFORE_MLP = (
    "pre_feedforward_layernorm",
    "ln_2",
    "layer_norm2",
    "layernorm_after",
    "mlp_norm",
    "ln_mlp",
    "ffn_norm",
    "norm2",
    "layer.1.layer_norm",
    "final_layer_norm",
)

_AFTER_ATTENTION = ("attention.output.LayerNorm", "attention.LayerNorm", "sa_layer_norm")
_AFTER_MLP = ("output.LayerNorm", "LayerNorm", "output_layer_norm")


class Norms:
    """The norms of one block: what its attention and its MLP read, and whether they come after.

    ``attention`` and ``mlp`` are (path in the block, module) or None. Where ``after`` is
    true the norm stands behind the residual sum: ``mlp`` is the one behind the attention,
    ``last`` the one behind the MLP, which the next block's attention reads.
    """

    def __init__(
        self,
        attention: Named | None,
        mlp: Named | None,
        *,
        after: bool = False,
        last: Named | None = None,
    ) -> None:
        self.attention = attention
        self.mlp = mlp
        self.after = after
        self.last = last


def norms_of(block: nn.Module, size: int, config: Any) -> Norms:
    """Return the norms of ``block``; None where its layout says nothing."""
    found = dict(norms_in(block, size))

    def first(names: tuple[str, ...]) -> Named | None:
        return next(((name, found[name]) for name in names if name in found), None)

    behind_attention, behind_mlp = first(_AFTER_ATTENTION), first(_AFTER_MLP)
    if getattr(config, "do_layer_norm_before", True) is False:  # OPT of 350 million parameters
        behind_attention, behind_mlp = first(_BEFORE_ATTENTION), first(("final_layer_norm",))
    if behind_attention is not None and behind_mlp is not None:
        return Norms(None, behind_attention, after=True, last=behind_mlp)
    before = first(_BEFORE_ATTENTION)
    return Norms(before, first(_BEFORE_MLP) or _after_attention(found, before, block, config))


def _after_attention(
    found: dict[str, nn.Module], before: Named | None, block: nn.Module, config: Any
) -> Named | None:
    """Return the MLP's norm where its name does not settle it.

    "post_attention_layernorm" is the MLP's in Llama's layout; in others it is applied to
    what attention wrote, beside one for what the MLP wrote.
    """
    name = "post_attention_layernorm"
    if before is not None and name in found and "post_feedforward_layernorm" not in found:
        return name, found[name]
    if before is not None and len(found) == 1 and hasattr(block, "mlp"):
        return before  # both halves read the one norm that there is
    return None
