"""Where a translation of the residual stream can be written into one bias.

In pre-norm models the last linear layer of a block adds to the stream, and its bias with it;
in post-norm models the stream is the output of a norm with a bias. Neither is taken on
trust: a random shift there must give the same stream, and the same answer of the model, as
the shift of the stream itself.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._fold._layers import why_not_linear, width_out
from isonomy.hidden_states._fold._readers import first_tensor, quiet, run_probe
from isonomy.hidden_states._model._layout import find_spot

if TYPE_CHECKING:
    from collections.abc import Callable

    from isonomy.hidden_states._model._layout import Spot

__all__ = ["find_shift"]

_ROUNDINGS = 64.0
"""A sum of stream and layer has a few roundings; a wrong place is off by the shift itself."""

_SHARE = 0.9


def find_shift(model: nn.Module, spot: Spot) -> tuple[tuple[str, ...], int] | str:
    """Return the name of the module whose bias shifts the stream and its width, or why none."""
    tried = []
    for name, module in _candidates(model, spot):
        width = _bias_width(module)
        if width is None:
            tried.append(f"{name!r} (a {type(module).__name__}) takes no bias")
        elif _same_shift(model, spot, module, width):
            return (name,), width
        else:
            tried.append(f"a shift of {name!r} is not a shift of the stream")
    return "no bias adds to it unchanged: " + ("; ".join(tried) or "no module makes it")


def _candidates(model: nn.Module, spot: Spot) -> list[tuple[str, nn.Module]]:
    makers = _makers(model, spot)
    try:
        last = find_spot(model, "mlp_output", spot.layer, where="fold")
    except InvalidInputError:
        return makers
    names = {id(module): name for name, module in model.named_modules()}
    return [*makers, (names[id(last.module)], last.module)]


def _makers(model: nn.Module, spot: Spot) -> list[tuple[str, nn.Module]]:
    """Return the innermost module inside the block whose output is the stream's very tensor."""
    streams: list[torch.Tensor] = []
    outputs: list[tuple[str, nn.Module, Any]] = []
    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        stack.callback(spot.hook(streams.append).remove)
        for name, module in model.named_modules():
            if not list(module.children()):
                note = _noter(name, module, outputs)
                stack.callback(module.register_forward_hook(note).remove)
        run_probe(model)
    return [(name, module) for name, module, out in outputs if any(out is s for s in streams)]


def _noter(name: str, module: nn.Module, outputs: list[Any]) -> Callable[..., None]:
    def note(_module: Any, _args: Any, output: Any) -> None:
        outputs.append((name, module, output))

    return note


def _bias_width(module: nn.Module) -> int | None:
    if why_not_linear(module) is None:
        return width_out(module)
    weight = getattr(module, "weight", None)
    has_place = isinstance(module, nn.LayerNorm) or getattr(module, "bias", None) is not None
    if has_place and isinstance(weight, torch.Tensor) and weight.ndim == 1:
        return len(weight)
    return None


def _same_shift(model: nn.Module, spot: Spot, module: nn.Module, width: int) -> bool:
    plain, plain_answer = _run(model, spot, None, None)
    # of the stream's own size: smaller would drown in rounding, larger would drown the model
    shift = torch.linspace(-1.0, 1.0, width).to(plain) * plain.abs().mean()
    wanted, wanted_answer = _run(model, spot, shift, None)
    got, got_answer = _run(model, spot, None, (module, shift))
    if got.shape != wanted.shape or got_answer.shape != wanted_answer.shape:
        return False
    effect = (wanted_answer - plain_answer).norm()
    same_answer = (got_answer - wanted_answer).norm() <= _answer_tolerance(plain) * effect
    return bool(same_answer) and _same_stream(got, wanted, plain.abs() + shift.abs())


def _same_stream(got: torch.Tensor, wanted: torch.Tensor, size: torch.Tensor) -> bool:
    """Compare number by number: one huge coordinate must not hide all the others.

    Most must agree to rounding, not all: where the block's layer cancels a huge
    coordinate of the stream, rounding is that of the huge one.
    """
    units = (got - wanted).abs().float() / size.float().clamp(min=torch.finfo(torch.float32).tiny)
    rounding = _ROUNDINGS * torch.finfo(got.dtype).eps
    return bool((units <= rounding).float().mean() >= _SHARE)


def _answer_tolerance(values: torch.Tensor) -> float:
    return 1e-2 if torch.finfo(values.dtype).eps < 1e-6 else 0.25


def _run(
    model: nn.Module,
    spot: Spot,
    shift: torch.Tensor | None,
    at: tuple[nn.Module, torch.Tensor] | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the stream at the site and the model's answer, with a shift here or there."""
    seen: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor if shift is None else tensor + shift)
        return seen[-1]

    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        if at is not None:
            module, moved = at
            hook = module.register_forward_hook(lambda _m, _a, output: output + moved)
            stack.callback(hook.remove)
        stack.callback(spot.hook(note).remove)
        answer = first_tensor(run_probe(model))
    return seen[0], answer
