"""Load both towers of CLIP at once, where ``hidden_states.load_model`` takes one."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from isonomy.adapters._head._parts import tower_paths
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._loading import _device, _dtype, _from_hub, _moved

__all__ = ["load_clip"]


def load_clip(
    name: str,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    revision: str | None = None,
) -> tuple[Any, Any]:
    """Load a whole CLIP in evaluation mode, with its processor.

    Parameters
    ----------
    name : str or path-like
        A name on the hub, or a folder in its format.
    dtype : str or torch.dtype, optional
        Default the checkpoint's own.
    device : str or torch.device, optional
        Default an accelerator if there is one, else the CPU.
    revision : str, optional
        Branch, tag or commit on the hub.

    Returns
    -------
    model : CLIPModel
    processor : CLIPProcessor
        Its image processor needs Pillow alone.

    Raises
    ------
    InvalidInputError
        If the checkpoint cannot be loaded, or is no model of two towers.

    Examples
    --------
    >>> load_clip("./no_such_folder")
    Traceback (most recent call last):
        ...
    isonomy.errors.InvalidInputError: ... could not be loaded: there is no such folder.
    """
    config = _from_hub(transformers.AutoConfig, name, revision=revision)
    if not (hasattr(config, "text_config") and hasattr(config, "vision_config")):
        raise InvalidInputError(
            f"`name` of `load_clip` must be a checkpoint of two towers, got {str(name)!r}, a "
            f"{type(config).__name__}."
        )
    model = _from_hub(transformers.AutoModel, name, dtype=_dtype(dtype), revision=revision)
    if not tower_paths(model):
        raise InvalidInputError(
            f"`name` of `load_clip` must be a CLIP, got {str(name)!r}, a {type(model).__name__}."
        )
    images = _from_hub(transformers.AutoImageProcessor, name, backend="pil", revision=revision)
    tokenizer = _from_hub(transformers.AutoTokenizer, name, revision=revision)
    processor = transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer)
    return _moved(model, _device(device)).eval(), processor
