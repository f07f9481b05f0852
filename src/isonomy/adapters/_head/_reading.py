"""Read a saved classifier back: the side file says which head, PEFT loads the adapter."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from safetensors import SafetensorError

from isonomy.adapters._head._class_prompts import ClassNamePrompts
from isonomy.adapters._head._clip_loading import load_clip
from isonomy.adapters._head._label_words import LabelWords
from isonomy.adapters._head._saving import HEAD_FILE
from isonomy.adapters._head._sequence import classification_model
from isonomy.errors import ArtefactVersionError, CorruptArtefactError, InvalidInputError
from isonomy.hidden_states._model._layout import unwrap
from isonomy.hidden_states._model._loading import load_model_for

__all__ = ["load_classifier"]

_WHERE = "load_classifier"
_SCHEMA = 1
_KINDS = ("classification", "label_words", "class_name_prompts")


def load_classifier(
    folder: str | os.PathLike[str],
    *,
    model: Any = None,
    tokenizer: Any = None,
    is_trainable: bool = False,
    **load: Any,
) -> tuple[Any, Any]:
    """Read what ``save_classifier`` wrote, in evaluation mode.

    Parameters
    ----------
    folder : str or path-like
    model : Module, optional
        The base model, where the adapter's own name of it is not to be loaded: it was in
        memory only, or lies elsewhere. It is changed in place.
    tokenizer : tokenizer or processor, optional
        Default the saved one.
    is_trainable : bool
        Whether the adapter is to be trained further.
    **load
        Further arguments of ``hidden_states.load_model``: ``device``, ``dtype`` (default
        that of the model that was saved), ...

    Returns
    -------
    head : Module
        A classification model, `LabelWords` or `ClassNamePrompts`.
    reader : tokenizer or processor

    Raises
    ------
    InvalidInputError
        If the folder holds no saved classifier, or its base model cannot be found.
    ArtefactVersionError
        If a newer version wrote it.
    CorruptArtefactError
        If the side file or the weights are damaged.

    Examples
    --------
    >>> load_classifier("no_such_folder")
    Traceback (most recent call last):
        ...
    isonomy.errors.InvalidInputError: `folder` passed to `load_classifier` must hold ...
    """
    path = Path(folder)
    header = _header(path)
    reader = tokenizer if tokenizer is not None else _saved_reader(header, path)
    name = header["base_model"] if header["adapter"] else str(path)
    if model is None and not name:
        raise InvalidInputError(
            f"`model` of `{_WHERE}` must be passed for the adapter in {str(folder)!r}: its base "
            "model was in memory only and has no name."
        )
    base, reader = _base(header, name if model is None else model, reader, load)
    if header["adapter"]:
        base = _with_adapter(base, path, is_trainable)
    return _head(header, base, reader), reader


def _header(path: Path) -> dict[str, Any]:
    file = path / HEAD_FILE
    if not file.is_file():
        raise InvalidInputError(
            f"`folder` passed to `{_WHERE}` must hold what `save_classifier` wrote, but there is "
            f"no {HEAD_FILE} in {str(path)!r}. A plain adapter loads with "
            "`peft.PeftModel.from_pretrained`."
        )
    try:
        header = json.loads(file.read_text(encoding="utf-8"))
        schema, known = int(header["schema"]), header["kind"] in _KINDS
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtefactError(
            f"{HEAD_FILE} in {str(path)!r} is damaged: {error}. Save the classifier again."
        ) from error
    if schema > _SCHEMA or not known:
        raise ArtefactVersionError(
            f"{HEAD_FILE} in {str(path)!r} was written by isonomy "
            f"{header.get('isonomy_version')}, which knows more than this one. Upgrade isonomy."
        )
    return dict(header)


def _saved_reader(header: dict[str, Any], path: Path) -> Any:
    """Return what was saved beside the weights to read their inputs, or None."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        if header["kind"] != "class_name_prompts":
            return tokenizer
        images = transformers.AutoImageProcessor.from_pretrained(path, backend="pil")
    except (OSError, ValueError, KeyError):
        return None
    return transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer)


def _base(
    header: dict[str, Any], name_or_model: Any, reader: Any, load: dict[str, Any]
) -> tuple[Any, Any]:
    """Return the model below the adapter, and what reads for it."""
    in_memory = isinstance(name_or_model, torch.nn.Module)
    if not in_memory:
        load = {"dtype": header["dtype"], **load}
    if header["kind"] == "classification":
        multi_label = header["problem_type"] == "multi_label_classification"
        return classification_model(
            name_or_model, classes=header["classes"], multi_label=multi_label, tokenizer=reader,
            **load,
        )  # fmt: skip
    if in_memory:
        return name_or_model, reader
    if header["kind"] == "label_words":
        return load_model_for(name_or_model, reader, task="causal", **load)
    model, found = load_clip(name_or_model, **load)
    return model, found if reader is None else reader


def _with_adapter(base: Any, path: Path, is_trainable: bool) -> Any:
    training = unwrap(base).training
    try:
        made = peft.PeftModel.from_pretrained(base, path, is_trainable=is_trainable)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CorruptArtefactError(
            f"The adapter in {str(path)!r} could not be loaded into a {type(base).__name__}: "
            f"{first} Pass the base model that it was trained on as `model`."
        ) from error
    return made.train(training)


def _head(header: dict[str, Any], model: Any, reader: Any) -> Any:
    if header["kind"] == "classification":
        return model
    made = LabelWords if header["kind"] == "label_words" else ClassNamePrompts
    return made(model, reader, header["classes"], **header["settings"])
