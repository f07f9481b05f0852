"""Where an affine map of a site can be written into weights exactly, found for this model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from isonomy.errors import FoldError, InvalidInputError
from isonomy.hidden_states._attach._watch import is_attached
from isonomy.hidden_states._fold._algebra import is_translation
from isonomy.hidden_states._fold._layers import (
    owners,
    plain_name,
    why_not_linear,
    width_in,
    width_out,
)
from isonomy.hidden_states._fold._readers import reading
from isonomy.hidden_states._fold._shift import find_shift
from isonomy.hidden_states._model._layout import SITES, Site, find_spot, unwrap

if TYPE_CHECKING:
    from torch import nn

    from isonomy.distributions import AffineMap
    from isonomy.hidden_states._model._layout import Spot

__all__ = ["Plan", "check_map", "exact_sites", "make_plan", "plain_model"]

_ADVICE = "Steer there with `attached` instead."


@dataclass(frozen=True)
class Plan:
    """The modules whose weights take the map.

    ``kind``: "readers" read the site's tensor (W becomes W M, the bias gains W b); a "writer"
    makes it (W becomes M W, the bias c becomes M c + b); a "shift" makes it too but takes only
    b. ``names``: of the modules. ``width``: numbers per token.
    """

    site: Site
    layer: int | None
    kind: Literal["readers", "writer", "shift"]
    names: tuple[str, ...]
    width: int

    def __post_init__(self) -> None:
        # a block inside `torch.compile` answers to its plain name too, which others know it by
        object.__setattr__(self, "names", tuple(plain_name(name) for name in self.names))


def plain_model(model: Any, *, where: str) -> Any:
    """Return the model inside its wrappers; refuse what is no model or has adapters."""
    learns_prompt = _learns_prompt(model)
    model = unwrap(model)
    if not hasattr(model, "config"):
        raise InvalidInputError(
            f"`model` passed to `{where}` must be a Hugging Face model, got "
            f"{type(model).__name__}. Load one with `load_model`."
        )
    if any(hasattr(m, "lora_A") or hasattr(m, "base_layer") for m in model.modules()):
        raise FoldError(
            f"`model` passed to `{where}` must have no adapters attached, got a "
            f"{type(model).__name__} with PEFT adapters. Call `merge_and_unload()` first."
        )
    if learns_prompt:
        raise FoldError(
            f"`model` passed to `{where}` must hold all that it has learned in its weights, got a "
            f"{type(model).__name__} with a prompt learned by PEFT, which would be lost. Use "
            "`attached`, or pass the base model."
        )
    if is_attached(model):
        raise FoldError(
            f"`model` passed to `{where}` must have nothing attached, got a "
            f"{type(model).__name__} within a block of `attached`, whose hooks would act on top. "
            f"Call `{where}` outside the block."
        )
    return model


def _learns_prompt(model: Any) -> bool:
    configs = getattr(model, "peft_config", None)
    found = configs.values() if isinstance(configs, Mapping) else ()
    return any(getattr(config, "is_prompt_learning", False) for config in found)


def make_plan(model: nn.Module, site: Site, layer: int | None, *, where: str) -> Plan:
    """Return the modules to edit.

    Raises
    ------
    FoldError
        If nothing takes an affine map of this site exactly; it names the sites that do.
    """
    spot = find_spot(model, site, layer, where=where)
    found = _plan(model, spot, site, layer)
    if isinstance(found, Plan):
        return found
    at = repr(site) if layer is None else f"{site!r} of block {layer}"
    exact = exact_sites(model, layer or 0, where=where)
    raise FoldError(
        f"`site` passed to `{where}` must be one where an affine map can be written into the "
        f"weights of this {type(model).__name__} exactly, got {at}: {found}. "
        f"Exact here: {exact or 'no site'}. {_ADVICE}"
    )


def check_map(model: nn.Module, plan: Plan, affine: AffineMap, *, where: str) -> None:
    """Raise if the plan takes a translation only and the map is more."""
    if plan.kind != "shift" or is_translation(affine):
        return
    raise FoldError(
        f"`steerer` passed to `{where}` must be a pure translation at site 'residual', got a map "
        "with a linear part: a map of stream plus block output cannot be written into the "
        f"block's last layer. Exact here: {exact_sites(model, plan.layer or 0, where=where)}. "
        f"{_ADVICE}"
    )


def exact_sites(model: nn.Module, layer: int, *, where: str) -> str:
    """Return the sites of this model that can be folded, as words."""
    exact = []
    for site in SITES:
        at = None if site == "head_input" else layer
        try:
            found = _plan(model, find_spot(model, site, at, where=where), site, at)
        except InvalidInputError:  # this model has no such site
            continue
        if isinstance(found, Plan):
            only = " (a translation only)" if found.kind == "shift" else ""
            exact.append(f"{site!r}{only}")
    return ", ".join(exact)


def _plan(model: nn.Module, spot: Spot, site: Site, layer: int | None) -> Plan | str:
    """Return the plan, or why there is none."""
    if spot.reads == "input":
        return _head(model, spot, site, layer)
    if site in ("norm_output", "mlp_norm_output"):
        return _readers(model, spot, site, layer)
    if site == "residual":
        found = find_shift(model, spot)
        return found if isinstance(found, str) else Plan(site, layer, "shift", *found)
    if site == "head_input":
        return "the model has no linear head that reads it"
    return _writer(model, spot, site, layer)


def _head(model: nn.Module, spot: Spot, site: Site, layer: int | None) -> Plan | str:
    # only what the head reads is replaced, so that the head is the only reader
    reason = why_not_linear(spot.module)
    if reason:
        return f"its reader {spot.name!r} is {reason}"
    names = _names(model, [spot.module])
    return Plan(site, layer, "readers", names, width_in(spot.module))


def _writer(model: nn.Module, spot: Spot, site: Site, layer: int | None) -> Plan | str:
    reason = why_not_linear(spot.module) or _shared(model, spot.module)
    if reason:
        return f"it is made by {spot.name!r}, {reason}"
    seen = reading(model, spot)
    if seen.n_marked != 1:
        return f"{spot.name!r} runs {seen.n_marked} times in one forward pass"
    return Plan(site, layer, "writer", _names(model, [spot.module]), width_out(spot.module))


def _readers(model: nn.Module, spot: Spot, site: Site, layer: int | None) -> Plan | str:
    seen = reading(model, spot)
    if seen.n_marked != 1:
        return f"{spot.name!r} runs {seen.n_marked} times in one forward pass"
    if not seen.readers:
        return "nothing in the model reads it"
    modules = {name: model.get_submodule(name) for name in seen.readers}
    for name, module in modules.items():
        reason = why_not_linear(module) or _shared(model, module)
        if reason is None and seen.calls[name] != 1:
            reason = f"which runs {seen.calls[name]} times in one forward pass"
        if reason:
            done = ", ".join(sorted(set(seen.readers[name])))
            return f"it is read by {name or 'the model'!r}, {reason} ({done})"
    return Plan(site, layer, "readers", tuple(modules), width_in(next(iter(modules.values()))))


def _shared(model: nn.Module, module: nn.Module) -> str | None:
    held = owners(model, module.weight)
    return f"whose weight is also {held[-1]!r}" if len(held) > 1 else None


def _names(model: nn.Module, modules: list[Any]) -> tuple[str, ...]:
    known = {id(module): name for name, module in model.named_modules()}
    return tuple(known[id(module)] for module in modules)
