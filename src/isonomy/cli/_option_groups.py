"""Let a command take many options as a few dataclasses.

The command line is flat, and a command that reads models has more options than a function
should have parameters. A parameter annotated with a dataclass stands for one option per
field of it; the command receives the filled dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

__all__ = ["option_groups"]


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` as a function with one parameter per field of its dataclasses.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Size:
    ...     height: int = 1
    ...     width: int = 2
    >>> @option_groups
    ... def show(name: str, *, size: Size) -> None:
    ...     print(name, size.height * size.width)
    >>> show(name="box", height=3, width=2)
    box 6
    >>> list(inspect.signature(show).parameters)
    ['name', 'height', 'width']
    """
    hints = get_type_hints(command, include_extras=True)
    given = inspect.signature(command).parameters
    parameters: list[inspect.Parameter] = []
    held: dict[str, tuple[type, list[str]]] = {}
    for name, parameter in given.items():
        kind = hints[name]
        if isinstance(kind, type) and is_dataclass(kind):
            spread = _parameters_of(kind)
            held[name] = (kind, [p.name for p in spread])
            parameters += spread
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=keyword, annotation=kind))

    @functools.wraps(command)
    def flat(**options: Any) -> None:
        filled = {
            name: kind(**{field: options.pop(field) for field in names if field in options})
            for name, (kind, names) in held.items()
        }
        command(**options, **filled)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    return flat


def _parameters_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
