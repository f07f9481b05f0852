"""Read, steer and edit the hidden states of Hugging Face models. Needs the extra ``llm``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isonomy.errors import MissingExtraError

if TYPE_CHECKING:
    from isonomy.hidden_states._model._loading import load_model
    from isonomy.hidden_states.attaching import attached
    from isonomy.hidden_states.collection import Collected, collect
    from isonomy.hidden_states.curves import LayerCurves, layer_curves
    from isonomy.hidden_states.exporting import Exported, export_adapters
    from isonomy.hidden_states.folding import fold
    from isonomy.hidden_states.methods import METHODS, FittedMethod, fit_method
    from isonomy.hidden_states.steered_model import SteeredModel, load_steered_model

__all__ = [
    "METHODS",
    "Collected",
    "Exported",
    "FittedMethod",
    "LayerCurves",
    "SteeredModel",
    "attached",
    "collect",
    "export_adapters",
    "fit_method",
    "fold",
    "layer_curves",
    "load_model",
    "load_steered_model",
]

_HOME = {
    "METHODS": "methods",
    "Collected": "collection",
    "Exported": "exporting",
    "FittedMethod": "methods",
    "LayerCurves": "curves",
    "SteeredModel": "steered_model",
    "attached": "attaching",
    "collect": "collection",
    "export_adapters": "exporting",
    "fit_method": "methods",
    "fold": "folding",
    "layer_curves": "curves",
    "load_model": "_model._loading",
    "load_steered_model": "steered_model",
}

_EXTRA = frozenset({"torch", "transformers", "peft", "accelerate", "datasets"})


def __getattr__(name: str) -> Any:
    # lazily: the package may be imported, and its names listed, without the extra
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtraError(
            f"`isonomy.hidden_states.{name}` needs the extra 'llm'. Install it with: "
            "pip install 'isonomy[llm]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
