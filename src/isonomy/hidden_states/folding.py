"""Write a steerer into a model's weights, so that it runs without hooks."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from isonomy.errors import FoldError, InvalidInputError
from isonomy.hidden_states._attach._steering_maps import as_steering_maps
from isonomy.hidden_states._fold._algebra import fold_reader, fold_writer
from isonomy.hidden_states._fold._layers import as_out_in, is_transposed, owners, why_not_linear
from isonomy.hidden_states._fold._plan import Plan, check_map, make_plan, plain_model
from isonomy.hidden_states._fold._saving import announce_untied, bias_switch, warn_of_loss

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap
    from isonomy.hidden_states._model._layout import Site

__all__ = ["fold"]


def fold(
    model: Any,
    steerer: Any,
    *,
    site: Site = "head_input",
    layer: int | None = None,
    group: Hashable | None = None,
    inplace: bool = False,
) -> Any:
    """Write the affine map of a steerer into the weights of a model, exactly, and return it.

    Parameters
    ----------
    model : PreTrainedModel
        Weights in memory, in float16, bfloat16, float32 or float64; not quantised.
    steerer : AffineMap, dict of group to AffineMap, fitted transformer, or path
        As for ``attached``: anything with one affine map, or one per group.
    site : str
        Which hidden state is steered. Exact are "head_input" (into the head),
        "norm_output" and "mlp_norm_output" (into all linear layers that read the norm,
        if nothing else reads it), "attention_output" and "mlp_output" (into that linear
        layer), and "residual" for a pure translation.
    layer : int, optional
        0-based block; None at "head_input".
    group : hashable, optional
        Which group's map to write; needed where the steerer has one map per group, since
        a folded model serves one group.
    inplace : bool
        Change ``model`` itself. By default a deep copy is changed and returned. If
        anything is refused, ``model`` stays untouched.

    Returns
    -------
    PreTrainedModel
        The folded model: ``model`` itself if ``inplace``.

    Raises
    ------
    FoldError
        If the map cannot be written exactly at this site of this model; the message names
        the sites where it can. Also for quantised or offloaded weights, attached adapters,
        and a steerer that infers the group.
    InvalidInputError
        If there is no such site, layer or group, or the map has another width.

    Warns
    -----
    FoldWarning
        If a new bias stands where the model's class cannot load one back.

    Notes
    -----
    For the map x -> M x + b and a layer with weight W ``(out, in)`` and bias c:

    * a reader (the layer reads x): ``W (M x + b) + c = (W M) x + (W b + c)``;
    * a writer (x is what the layer writes): ``M (W h + c) + b = (M W) h + (M c + b)``;
    * a translation of the residual stream: ``(h + W m + c) + b = h + W m + (c + b)``.

    Products are formed in float64 and rounded once to the dtype of the weights: relative
    2^-24 per weight in float32, 2^-9 in bfloat16, where a hook in float32 is closer to
    the map than the folded model is.

    That all readers are found is seen in one forward pass on dummy input: every operation
    on the norm's very memory is noted, with its module. Where something else than a linear
    layer reads it (the residual stream of a post-norm model, a router), nothing is folded.

    A bias is created where the map has an offset and the layer has none, and the
    configuration's flag for it is switched on; a head tied to the embedding gets its own
    weight and the embedding stays.

    What it does not promise: a choice of tokens. A fold acts at every token, like
    ``attached(..., positions="all")``, and has therefore no ``positions``. A steerer meant
    for the last token alone may be folded at "head_input" alone, where the answer is read
    from the last token; elsewhere the other tokens would be steered too and would reach
    the last one through attention.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> from isonomy.distributions import AffineMap
    >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    >>> config = LlamaConfig(vocab_size=11, num_hidden_layers=1, **sizes)
    >>> model = LlamaForCausalLM(config)
    >>> folded = fold(model, AffineMap(2 * np.eye(8), np.zeros(8)))
    >>> bool(torch.allclose(folded.lm_head.weight, 2 * model.lm_head.weight))
    True
    """
    plain = plain_model(model, where="fold")
    plan = make_plan(plain, site, layer, where="fold")
    affine = _one_map(steerer, plan, group)
    check_map(plain, plan, affine, where="fold")
    if affine.is_identity:
        return model if inplace else copy.deepcopy(plain)
    edits = [_edit(plain.get_submodule(name), name, plan, affine) for name in plan.names]
    created = [f"{e.name}.bias" for e in edits if e.bias is not None and _no_bias(plain, e)]
    switch = bias_switch(plain, created) if created else None
    target = plain if inplace else copy.deepcopy(plain)
    _apply(target, edits)
    if switch is not None:
        switch.turn(target)
    elif created:
        warn_of_loss(target, created)
    return model if inplace else target


def _one_map(steerer: Any, plan: Plan, group: Hashable | None) -> AffineMap:
    maps = as_steering_maps(steerer, d=plan.width, where="fold")
    if maps.posterior is not None:
        raise FoldError(
            "`steerer` passed to `fold` must not infer the group: the map would depend on the "
            "row, and weights cannot. Use `attached`, or a steerer with groups='blind'."
        )
    if maps.groups is None:
        if group is not None:
            raise InvalidInputError(
                f"`group` passed to `fold` must be None where the steerer has one map for all, "
                f"got {group!r}. Leave it out."
            )
        return maps.maps[0]
    if group is None or group not in maps.groups:
        raise InvalidInputError(
            f"`group` passed to `fold` must be one of {', '.join(map(repr, maps.groups))} for a "
            f"steerer with one map per group, got {group!r}. Fold one model per group, or use "
            "`export_adapters`."
        )
    return maps.maps[maps.groups.index(group)]


@dataclass(frozen=True)
class _Edit:
    """What a module gets: each None where it stays."""

    name: str
    weight: torch.Tensor | None
    bias: torch.Tensor | None


def _edit(module: Any, name: str, plan: Plan, affine: AffineMap) -> _Edit:
    bias = getattr(module, "bias", None)
    if plan.kind == "shift" and why_not_linear(module) is not None:  # a norm
        offset = torch.as_tensor(affine.offset.copy(), device=module.weight.device)
        moved = offset if bias is None else bias.detach().double() + offset
        return _checked(_Edit(name, None, moved.to(module.weight.dtype)))
    folding = fold_reader if plan.kind == "readers" else fold_writer
    new = folding(as_out_in(module), bias, affine)
    weight = new.weight
    if weight is not None and is_transposed(module):
        weight = weight.T
    moved = None if new.bias is None else new.bias.to(module.weight)
    return _checked(_Edit(name, None if weight is None else weight.contiguous(), moved))


def _checked(edit: _Edit) -> _Edit:
    for values in (edit.weight, edit.bias):
        if values is not None and not bool(torch.isfinite(values).all()):
            raise FoldError(
                f"`steerer` passed to `fold` must keep the weights of {edit.name!r} within the "
                f"range of {values.dtype}, but some became infinite. Load the model in float32."
            )
    return edit


def _no_bias(model: nn.Module, edit: _Edit) -> bool:
    return getattr(model.get_submodule(edit.name), "bias", None) is None


def _apply(model: Any, edits: list[_Edit]) -> None:
    """Write the new values; all checks are done before."""
    untied = False
    for edit in edits:
        module = model.get_submodule(edit.name)
        for kind, values in (("weight", edit.weight), ("bias", edit.bias)):
            if values is None:
                continue
            old = getattr(module, kind, None)
            if old is not None and len(owners(model, old)) > 1:
                untied = True
                _own_parameters(model, module)
            _put(module, kind, values)
    if untied:
        announce_untied(model)


def _own_parameters(model: nn.Module, module: Any) -> None:
    """Give the module copies of what it shares: weight and bias of a head are tied together."""
    for kind in ("weight", "bias"):
        old = getattr(module, kind, None)
        if old is not None and len(owners(model, old)) > 1:
            own = nn.Parameter(old.detach().clone(), requires_grad=old.requires_grad)
            setattr(module, kind, own)


def _put(module: Any, kind: str, values: torch.Tensor) -> None:
    old = getattr(module, kind, None)
    if old is not None:
        old.data.copy_(values)  # the same parameter: an optimiser that holds it stays right
        return
    trained = module.weight.requires_grad
    setattr(module, kind, nn.Parameter(values.to(module.weight.device), requires_grad=trained))
