"""Collect hidden states on several machines. Needs the extras ``llm`` and, for Ray, ``ray``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isonomy.errors import MissingExtraError

if TYPE_CHECKING:
    from isonomy.distributed.accelerate_collection import collect_with_accelerate
    from isonomy.distributed.ray_collection import collect_with_ray

__all__ = ["collect_with_accelerate", "collect_with_ray"]

_HOME = {
    "collect_with_accelerate": "accelerate_collection",
    "collect_with_ray": "ray_collection",
}

_EXTRAS = {
    "ray": "ray",
    **dict.fromkeys(("torch", "transformers", "peft", "accelerate", "datasets"), "llm"),
    "pyarrow": "ray",
}


def __getattr__(name: str) -> Any:
    # lazily: the package may be imported, and its names listed, without the extras
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRAS:
            raise
        raise MissingExtraError(
            f"`isonomy.distributed.{name}` needs the extra {_EXTRAS[missing]!r}, without which "
            f"{missing} is not there. Install it with: pip install 'isonomy[llm,ray]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
