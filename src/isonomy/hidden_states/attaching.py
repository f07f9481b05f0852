"""Steer a model's hidden states while it runs, by hooks that leave no trace."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from isonomy._validation import check_real
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._attach._groups import BatchGroups
from isonomy.hidden_states._attach._moves import Mover
from isonomy.hidden_states._attach._steering import Steering
from isonomy.hidden_states._attach._steering_maps import as_steering_maps
from isonomy.hidden_states._attach._watch import Watch, forget_compiled, watch_of
from isonomy.hidden_states._model._layout import Site, Spot, find_spot, unwrap
from isonomy.hidden_states._model._positions import Positions, check_positions

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Attachment", "attached"]

WHERE = "attached"


class Attachment:
    """What ``attached`` yields: the place to tell the groups of the next batch.

    Attributes
    ----------
    spots : tuple of Spot
        Where the model is steered, in the order given.
    """

    def __init__(self, spots: Sequence[Spot], groups: BatchGroups) -> None:
        self.spots = tuple(spots)
        self._groups = groups

    def set_groups(self, groups: Any) -> None:
        """Set the groups of the rows of the next batch.

        Parameters
        ----------
        groups : (n_rows,) or (n_rows, n_attributes)
            As ``sensitive_features``; for ``generate`` one group a prompt. They hold until
            the next call, for the same texts: for other texts the model refuses to run.
            Steerers that ask for no group ignore them.

        Raises
        ------
        UnknownGroupError
            If the steerer has no map for a group (and does not leave such rows in place).
        """
        self._groups.set(groups, where="set_groups")

    def __repr__(self) -> str:
        places = ", ".join(f"{spot.site} at {spot.name}" for spot in self.spots)
        return f"Attachment({places})"


@contextmanager
def attached(
    model: Any,
    steerer: Any,
    *,
    layer: int | Sequence[int | None] | None = None,
    site: Site | Sequence[Site] = "head_input",
    positions: Positions = "last",
    sensitive_features: Any = None,
    strength: float = 1.0,
) -> Iterator[Attachment]:
    """Steer a model's hidden states within a ``with`` block.

    Parameters
    ----------
    model : Module
        A Hugging Face encoder, decoder or CLIP tower; wrapped by PEFT or ``torch.compile``
        or not. It may train, generate, and run in any precision and on any device.
    steerer : AffineMap, mapping of group to AffineMap, fitted transformer, path, or several
        What moves the states, (n, d) -> (n, d). Several are applied in the order given.
    layer : int or sequence, optional
        0-based block; None (default) for "head_input".
    site : str or sequence
        "head_input" (default), "norm_output" (of the norm that the attention reads),
        "mlp_norm_output", "attention_output", "mlp_output" or "residual" (the block's own
        output). Where one of ``steerer``, ``layer`` and ``site`` is a sequence, the others
        are sequences as long, or one value for all.
    positions : {"last", "mean", "cls", "all", "prompt", "generated"} or callable
        Which tokens: "last", the last real one of every pass (in generation: of the prompt,
        then each new token); "cls", the first; "all" and "mean", every real token, because
        an affine map commutes with the mean; "prompt" and "generated", those handed to
        ``generate`` or made by it (in your own loop: of passes without and with a filled
        cache); a function (attention_mask, input_ids) -> weights (batch, tokens): every
        token of weight above 0. Padding, on either side, stays as it is; without an
        attention mask nothing is known to be padding. Where the model has pooled its
        tokens, names are ignored.
    sensitive_features : (n_rows,) or (n_rows, n_attributes), optional
        Groups of the first batch's rows, where the steerer has one map a group.
    strength : float
        s in ``x -> (1 - s) x + s map(x)``; 0 attaches nothing.

    Yields
    ------
    Attachment
        With ``set_groups(groups)`` for the next batch.

    Raises
    ------
    InvalidInputError
        If a layer, site, position or strength does not exist, maps have other features
        than the states, or groups do not fit the batch (before the model runs); at the
        end of the block, if the model ran and never came through a spot.
    GroupsRequiredError
        If the steerer needs groups and they were not set for these texts.
    UnknownGroupError
        If a group has no map.

    Notes
    -----
    All places are found before the first hook is set, and all hooks are removed when the
    block ends, however it ends: the model's output is then bit for bit what it was. Blocks
    may be nested and left in any order; at one spot the one attached first acts first.

    States in half precision are moved in float32 (float64 states in float64) and rounded
    back once. Maps become tensors once a device; maps of low rank stay factored.

    ``generate`` may use beams, samples, guessed tokens (``prompt_lookup_num_tokens``) and
    any cache or none; a prompt's group follows all its rows. ``torch.compile``: compiled
    code does not notice hooks, so all compiled code of the process is forgotten on entering
    and on leaving, and compiled anew when next run.
    Gradients flow through the map to the states. With gradient checkpointing a block is
    computed again as it was steered in the forward pass, even if ``backward`` is called
    after the ``with`` block or after the next batch.

    A steerer with ``groups="infer"`` asks its probe at every steered token: in torch for
    the default probe; through NumPy, and the host, for any other.

    What it does not promise: what the certificate of a steerer says holds for the states
    that it was fitted on. Steering one layer changes what later layers read.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> from isonomy.distributions import AffineMap
    >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    >>> config = LlamaConfig(vocab_size=11, num_hidden_layers=1, **sizes)
    >>> model, tokens = LlamaForCausalLM(config).eval(), torch.tensor([[1, 2, 3]])
    >>> before = model(tokens).logits
    >>> with attached(model, AffineMap(2 * np.eye(8), np.zeros(8))):
    ...     doubled = model(tokens).logits
    >>> bool(torch.allclose(doubled[:, -1], 2 * before[:, -1], atol=1e-6))
    True
    >>> torch.equal(model(tokens).logits, before)
    True
    """
    inner = unwrap(model)
    check_positions(positions, where=WHERE)
    factor = check_real("strength", strength, where=WHERE)
    if not math.isfinite(factor):  # it would make NaN of whatever the map leaves alone
        raise InvalidInputError(f"`strength` passed to `{WHERE}` must be finite, got {factor}.")
    spots = [
        (find_spot(inner, a_site, a_layer, where=WHERE), one)
        for one, a_layer, a_site in _aligned(steerer, layer, site)
    ]
    watch = watch_of(inner)
    steerings = [
        Steering(
            spot, Mover(as_steering_maps(one, d=spot.width, where=WHERE), factor), positions, watch
        )
        for spot, one in spots
    ]
    groups = BatchGroups(steerings, positions)
    if sensitive_features is not None:
        groups.set(sensitive_features, where=WHERE)
    handle = Attachment([spot for spot, _ in spots], groups)
    if factor == 0.0:
        yield handle
        return
    with ExitStack() as stack:
        _attach(inner, watch, groups, stack)
        yield handle
        _check_reached(groups)


def _attach(inner: nn.Module, watch: Watch, groups: BatchGroups, stack: ExitStack) -> None:
    """Set every hook; ``stack`` takes back whatever was set, in any case."""
    watch.join(groups, inner)
    stack.callback(forget_compiled)
    stack.callback(watch.leave, groups, inner)
    forget_compiled()
    for steering in groups.steerings:
        _prepare(steering)
        stack.callback(steering.spot.hook(steering).remove)


def _prepare(steering: Steering) -> None:
    """Make the maps' tensors now, where the module's weights tell the device."""
    weight = next(steering.spot.module.parameters(), None)
    if weight is not None and weight.device.type != "meta" and weight.dtype.is_floating_point:
        steering.mover.prepare(weight.device, weight.dtype)


def _check_reached(groups: BatchGroups) -> None:
    missed = [s.spot.name for s in groups.steerings if not s.reached]
    if groups.passed and missed:
        raise InvalidInputError(
            f"`attached` must stand where the model passes, but no pass came through "
            f"{', '.join(missed)}: nothing was steered there. Call the whole model, or attach "
            "to the part that you call."
        )


def _aligned(steerer: Any, layer: Any, site: Any) -> list[tuple[Any, Any, Any]]:
    """Return (steerer, layer, site) of every spot; single values serve all."""
    given = {"steerer": steerer, "layer": layer, "site": site}
    lengths = {
        name: len(value)
        for name, value in given.items()
        if isinstance(value, Sequence) and not isinstance(value, str)
    }
    n = max(lengths.values(), default=1)
    if n == 0 or len(set(lengths.values())) > 1:
        raise InvalidInputError(
            "`steerer`, `layer` and `site` passed to `attached` must be single values or "
            f"sequences of one length, got {lengths}."
        )
    columns = [value if name in lengths else [value] * n for name, value in given.items()]
    return list(zip(*columns, strict=True))
