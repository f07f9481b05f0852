"""Which linear maps LoRA changes, as full names, so that nothing else of like name is hit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from torch import nn

from isonomy._validation import check_choice
from isonomy.adapters._head._parts import head_parts, tower_paths
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._layout import blocks
from isonomy.hidden_states._model._roles import attention_in, linears_in

__all__ = ["find_targets"]

_WHERE = "lora_model"
_NOT_QKVO = re.compile(r"^(pos_\w+|g_proj|\w*gate\w*|r_net|rel\w*)$", re.IGNORECASE)
"""Linear maps within attention that are none of Q, K, V, O: gates and positions."""

Targets = str | Sequence[str]
Part = tuple[str, nn.Module]


def find_targets(
    model: nn.Module, targets: Targets, layer: int | Sequence[int] | None, tower: str | None
) -> list[str] | str:
    """Return what PEFT takes as ``target_modules``.

    Parameters
    ----------
    model : Module
        Without wrappers.
    targets : str or sequence of str
        "attention", or what PEFT takes: "all-linear", names, a regular expression.
    layer : int, sequence of int or None
        Blocks, 0-based; None for all.
    tower : "vision", "text", "both" or None
        For models of two towers.

    Returns
    -------
    list of str or str
        Full names; what the user wrote where it asks for the whole model.

    Raises
    ------
    InvalidInputError
        If nothing matches, or one of several names matches nothing: with the candidates.
    """
    parts = _towers(model, tower)
    if targets == "attention" or layer is not None:
        parts = [block for path, part in parts for block in _blocks(path, part, layer, model)]
    elif isinstance(targets, str) and tower in (None, "both"):
        return _checked_pattern(model, targets)
    if targets == "attention":
        found = [name for path, block in parts for name in _attention_maps(path, block)]
    else:
        inside = [_join(path, name) for path, part in parts for name, _ in linears_in(part)]
        found = [name for name in inside if _asked(name, targets)]
        _check_each(targets, inside, model)
    if not found:
        raise _nothing(model, targets)
    return found


def _towers(model: nn.Module, tower: str | None) -> list[Part]:
    paths = tower_paths(model)
    if tower is not None and not paths:
        raise InvalidInputError(
            f"`tower` of `{_WHERE}` must be None for a model of one tower "
            f"({type(model).__name__}), got {tower!r}. Leave it out."
        )
    check_choice("tower", tower, (None, "vision", "text", "both"), where=_WHERE)
    if not paths:
        return [("", model)]
    wanted = list(paths) if tower in (None, "both") else [tower]
    return [(path, model.get_submodule(path)) for name, path in paths.items() if name in wanted]


def _blocks(
    path: str, part: nn.Module, layer: int | Sequence[int] | None, model: nn.Module
) -> list[Part]:
    try:
        found = [(_join(path, name), block) for name, block in blocks(part)]
    except InvalidInputError as error:
        if layer is not None:
            raise
        raise _nothing(model, "attention") from error  # of what is no stack of blocks
    if layer is None:
        return found
    numbers = list(layer) if isinstance(layer, Sequence) else [layer]
    known = range(len(found))
    wrong = [n for n in numbers if isinstance(n, bool) or n not in known]
    if wrong or not numbers:
        raise InvalidInputError(
            f"`layer` of `{_WHERE}` must name blocks of {type(part).__name__}: 0 to "
            f"{len(found) - 1}, got {wrong[0] if wrong else layer!r}."
        )
    return [found[n] for n in sorted(set(numbers))]


def _attention_maps(path: str, block: nn.Module) -> list[str]:
    attention = attention_in(block)
    if attention is None:
        return []
    names = [name for name, _ in linears_in(attention[1])]
    kept = [name for name in names if not _NOT_QKVO.match(name.rsplit(".", 1)[-1])]
    return [f"{path}.{attention[0]}.{name}" for name in kept]


def _checked_pattern(model: nn.Module, pattern: str) -> str:
    """Return the pattern if a module of the model matches it: PEFT reads it as we do."""
    names = (name for name, _ in model.named_modules())
    if pattern != "all-linear" and not any(re.fullmatch(pattern, name) for name in names):
        raise _nothing(model, pattern)
    return pattern


def _check_each(targets: Targets, inside: Sequence[str], model: nn.Module) -> None:
    for one in [] if isinstance(targets, str) else targets:
        if not any(_is(name, one) for name in inside):
            raise _nothing(model, one)


def _asked(name: str, targets: Targets) -> bool:
    if targets == "all-linear":
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(_is(name, one) for one in targets)


def _is(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _nothing(model: nn.Module, targets: Targets) -> InvalidInputError:
    new = tuple(head_parts(model))
    leaves = Counter(
        name.rsplit(".", 1)[-1] for name, _ in linears_in(model) if name.split(".", 1)[0] not in new
    )
    seen = ", ".join(f"{name} ({n})" for name, n in sorted(leaves.items())) or "none"
    return InvalidInputError(
        f"`target_modules` of `{_WHERE}` must match linear maps of {type(model).__name__}, but "
        f"{targets!r} matches none of those asked for. The model has, with their numbers: {seen}. "
        "Pass some of these names."
    )
