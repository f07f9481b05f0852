"""A classifier in a folder: PEFT's adapter (or the whole model), its reader, and a side file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peft
from safetensors import SafetensorError

from isonomy._version import __version__
from isonomy.adapters._head._parts import is_classifier
from isonomy.adapters._head._sequence import classes_of
from isonomy.adapters._head._wrapped import WrappedHead
from isonomy.errors import InvalidInputError, OutputError
from isonomy.hidden_states._export._adapter import base_name
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["HEAD_FILE", "save_classifier"]

HEAD_FILE = "isonomy_head.json"
"""The side file: kind of head, classes and settings. PEFT's own files stay PEFT's own."""

_WHERE = "save_classifier"


def save_classifier(model: Any, folder: str | os.PathLike[str], *, tokenizer: Any = None) -> Path:
    """Write a classifier to a folder, from which ``load_classifier`` reads it back.

    Parameters
    ----------
    model : Module
        A classification model, `LabelWords` or `ClassNamePrompts`. Of a model with PEFT's
        adapters only these are saved (with their ``modules_to_save``), as PEFT writes them;
        of any other all weights.
    folder : str or path-like
        It may exist; files of the same names are replaced.
    tokenizer : tokenizer, optional
        What reads the inputs of a classification model; the other heads have their own.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If the folder cannot be written; the files that were there before are as they were.
    InvalidInputError
        If the model has no head.

    Notes
    -----
    Everything is written beside the folder first and moved into it at the end, the side
    file last. Names of classes and settings are in ``isonomy_head.json``; the adapter's
    own files are what PEFT writes, and load with PEFT alone.

    Examples
    --------
    >>> import tempfile, transformers
    >>> sizes = dict(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    >>> config = transformers.BertConfig(**sizes, num_attention_heads=2)
    >>> model = transformers.BertForSequenceClassification(config)
    >>> folder = save_classifier(model, tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['config.json', 'isonomy_head.json', 'model.safetensors']
    """
    header = _header(model)
    inner = model.model if isinstance(model, WrappedHead) else model
    reader = model.reader if isinstance(model, WrappedHead) else tokenizer
    with _files_into(folder) as temporary:
        # "auto" would ask the hub whether the vocabulary has grown
        options = {"save_embedding_layers": False} if _has_adapters(inner) else {}
        saved: Any = inner if _has_adapters(inner) else unwrap(inner)
        saved.save_pretrained(temporary, **options)
        if reader is not None:
            reader.save_pretrained(temporary)
        text = json.dumps(header, indent=2, ensure_ascii=False) + "\n"
        (temporary / HEAD_FILE).write_text(text, encoding="utf-8")
    return Path(folder)


def _has_adapters(model: Any) -> bool:
    return isinstance(model, peft.PeftModel)


def _header(model: Any) -> dict[str, Any]:
    inner = model.model if isinstance(model, WrappedHead) else model
    if not isinstance(model, WrappedHead) and not is_classifier(inner):
        raise InvalidInputError(
            f"`model` passed to `{_WHERE}` must be a classifier: a model with a classification "
            f"head, `LabelWords` or `ClassNamePrompts`, got a {type(unwrap(inner)).__name__}."
        )
    base: Any = unwrap(inner)
    return {
        "schema": 1,
        "kind": model.kind if isinstance(model, WrappedHead) else "classification",
        "isonomy_version": __version__,
        "classes": list(classes_of(model)),
        "settings": model.settings if isinstance(model, WrappedHead) else {},
        "problem_type": getattr(base.config, "problem_type", None),
        "adapter": _has_adapters(inner),
        "base_model": base_name(base),
        "dtype": str(base.dtype).removeprefix("torch."),
    }


@contextmanager
def _files_into(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder whose files replace those of ``folder`` if the block succeeds."""
    target = Path(folder)
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        files = [file for file in temporary.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file.name == HEAD_FILE, str(file))):
            place = target / file.relative_to(temporary)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    except (OSError, SafetensorError) as error:  # safetensors has a class of its own for both
        raise OutputError(
            f"`folder` passed to `{_WHERE}` must be a folder that can be written, but "
            f"{str(folder)!r} could not be: {getattr(error, 'strerror', None) or error}. Choose "
            "another one, or free space or permissions."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
