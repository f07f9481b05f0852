"""Which modules read a tensor: seen in one forward pass, not looked up in a table of families.

The tensor's memory is marked when its module hands it on; from then on, every operation on
that memory is noted with the innermost module that runs it. What is not noted did not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from isonomy.errors import FoldError

if TYPE_CHECKING:
    from isonomy.hidden_states._model._layout import Spot

__all__ = ["Reading", "first_tensor", "probe_inputs", "quiet", "reading", "run_probe"]

_N_TOKENS = 4


@dataclass
class Reading:
    """What one forward pass showed about one tensor.

    Attributes
    ----------
    readers : dict
        Name of the module -> the operations it ran on the tensor; "" is the whole model.
    calls : Counter
        How often each module ran.
    n_marked : int
        How often the site was passed: 1, unless blocks share their modules.
    """

    readers: dict[str, list[str]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    n_marked: int = 0


def reading(model: torch.nn.Module, spot: Spot) -> Reading:
    """Return which modules read the tensor of ``spot`` in one forward pass on dummy input."""
    found = Reading()
    names: list[str] = []
    marked: list[torch.Tensor] = []

    def mark(tensor: torch.Tensor) -> None:
        # kept in the list: freed memory could be given to another tensor
        marked.append(tensor)
        found.n_marked += 1

    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        for name, module in model.named_modules():
            handles = _follow(name, module, names, found.calls)
            for handle in handles:
                stack.callback(handle.remove)
        stack.callback(spot.hook(mark).remove)
        stack.enter_context(_Reads(marked, names, found.readers))
        run_probe(model)
    return found


def run_probe(model: torch.nn.Module) -> Any:
    """Return what the model answers to the dummy input."""
    try:
        return model(**probe_inputs(model))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise FoldError(
            f"`model` passed to `fold` must run on a dummy input, which shows what reads what, "
            f"but {type(model).__name__} raised: {error}. Use `attached`."
        ) from error


def _follow(
    name: str, module: torch.nn.Module, names: list[str], calls: Counter[str]
) -> tuple[Any, Any]:
    def enter(*_: Any) -> None:
        names.append(name)
        calls[name] += 1

    def leave(*_: Any) -> None:
        names.pop()

    return module.register_forward_pre_hook(enter), module.register_forward_hook(leave)


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation on the marked memory; a view of it is not yet a read."""

    def __init__(
        self, marked: list[torch.Tensor], names: list[str], readers: dict[str, list[str]]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._marked, self._names, self._readers = marked, names, readers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._marked and self._touches((args, kwargs)):
            is_view = self._touches(result) and not func._schema.is_mutable
            if not is_view:
                owner = self._names[-1] if self._names else ""
                self._readers.setdefault(owner, []).append(str(func.overloadpacket))
        return result

    def _touches(self, values: Any) -> bool:
        memory = {tensor.untyped_storage().data_ptr() for tensor in self._marked}
        return any(
            isinstance(value, torch.Tensor) and value.untyped_storage().data_ptr() in memory
            for value in tree_leaves(values)
        )


@contextmanager
def quiet(model: torch.nn.Module) -> Iterator[None]:
    """Run the block in eval mode and without gradients; put every module's mode back."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def probe_inputs(model: torch.nn.Module) -> dict[str, Any]:
    """Return a small dummy input: a few ids, or one random picture."""
    config: Any = model.config
    parameter = next(iter(model.parameters()))
    if parameter.device.type == "meta":
        raise FoldError(
            "`model` passed to `fold` must have its weights in memory, but they are offloaded "
            "(device 'meta'). Load it without offloading, or use `attached`."
        )
    name = str(getattr(model, "main_input_name", "input_ids"))
    if name == "pixel_values":
        return {name: _picture(config, parameter)}
    if name != "input_ids":
        raise FoldError(
            f"`model` passed to `fold` must read token ids or pixel values, got a model that "
            f"reads {name!r}. Use `attached`."
        )
    text: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
    # from the end of the vocabulary: the first ids are often padding, which shifts positions
    ids = text.vocab_size - 1 - torch.arange(_N_TOKENS)
    ids = ids.clamp(min=0)[None, :].to(parameter.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids
    return inputs


def _picture(config: Any, like: torch.Tensor) -> torch.Tensor:
    vision = getattr(config, "vision_config", config)
    size = vision.image_size
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    shape = (1, getattr(vision, "num_channels", 3), height, width)
    wave = torch.linspace(-1.0, 1.0, height * width * shape[1]).reshape(shape)
    return wave.to(device=like.device, dtype=like.dtype)


def first_tensor(output: Any) -> torch.Tensor:
    """Return the first floating tensor of a model's output: logits, embeddings or states."""
    values = output.to_tuple() if hasattr(output, "to_tuple") else output
    for value in tree_leaves(values):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value
    raise FoldError(
        f"`model` passed to `fold` must return a tensor, got {type(output).__name__}. "
        "Use `attached`."
    )
