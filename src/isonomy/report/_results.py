"""Check, read and write result dictionaries: the JSON that every report is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from isonomy.errors import (
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    DataFileError,
)

__all__ = ["SCHEMA", "as_plain", "check_result", "dump_result", "load_result"]

SCHEMA = 1
"""The newest schema of result dictionaries that this version reads."""

_REQUIRED: dict[str, dict[str, type]] = {
    "audit": {"classes": list, "groups": list, "overall": dict, "by_group": list},
    "comparison": {"data": dict, "methods": list},
    "finetuning": {"data": dict, "model": dict, "training": dict, "judgements": list},
}


def load_result(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a result that a command wrote as JSON: ``demo``, ``audit``, ``steer``, ``finetune``.

    Parameters
    ----------
    path : str or path
        A UTF-8 JSON file.

    Returns
    -------
    dict
        The result, with the keys in the order of the file.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    CorruptArtefactError
        If it is not JSON, or lacks what its kind must hold.
    ArtefactKindError
        If it holds something other than an audit, a comparison or a fine-tuning.
    ArtefactVersionError
        If a newer isonomy wrote it.
    """
    where = f"`{path}` passed to `load_result`"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataFileError(
            f"{where} must be a readable file, got: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise CorruptArtefactError(
            f"{where} must be UTF-8 text, got bytes that are not (at {error.start}). "
            "Write the result again."
        ) from error
    try:
        result = json.loads(text, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorruptArtefactError(
            f"{where} must be JSON, got something else: {error}. The file may be truncated; "
            "write the result again."
        ) from error
    return check_result(result, where=where)


def check_result(result: Any, *, where: str = "`result` passed to `render`") -> dict[str, Any]:
    """Return ``result`` if it is a result that this version can show, else raise.

    Raises
    ------
    CorruptArtefactError
        If it is no dictionary or lacks what its kind must hold.
    ArtefactKindError
        If its ``kind`` is not "audit", "comparison" or "finetuning".
    ArtefactVersionError
        If its ``schema`` is newer than :data:`SCHEMA`.
    """
    if not isinstance(result, dict):
        raise CorruptArtefactError(
            f"{where} must be a JSON object (a dictionary), got {type(result).__name__}. "
            "Pass what `AuditResult.to_dict()` or `compare_methods` returned."
        )
    schema = result.get("schema")
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise CorruptArtefactError(
            f"{where} must have a whole number from 1 on under `schema`, got {schema!r}. "
            "It may not be a result of isonomy."
        )
    if schema > SCHEMA:
        raise ArtefactVersionError(
            f"{where} must have schema {SCHEMA} or older, got {schema}, written by isonomy "
            f"{result.get('isonomy_version', 'of an unknown version')}. Install that version "
            "or a newer one."
        )
    kind = result.get("kind")
    if not isinstance(kind, str) or kind not in _REQUIRED:
        known = ", ".join(map(repr, _REQUIRED))
        raise ArtefactKindError(f"{where} must be of kind {known}, got {kind!r}.")
    _check_keys(result, kind, where=where)
    return result


def _check_keys(result: Mapping[str, Any], kind: str, *, where: str) -> None:
    for key, expected in _REQUIRED[kind].items():
        if not isinstance(result.get(key), expected):
            raise CorruptArtefactError(
                f"{where} must hold a {expected.__name__} under `{key}` because it is of kind "
                f"{kind!r}, got {type(result.get(key)).__name__}. The file may be truncated or "
                "edited; write the result again."
            )
    counted = {"comparison": ("methods", "method"), "finetuning": ("judgements", "judgement")}
    key, one = counted.get(kind, ("", ""))
    if key and not result[key]:
        raise CorruptArtefactError(
            f"{where} must hold at least one {one}, got none. See its `not_computed`."
        )


def dump_result(result: Mapping[str, Any]) -> str:
    """Return ``result`` as JSON: keys in their order, two spaces, never NaN.

    NaN and infinities become ``null``; NumPy numbers and arrays become plain ones. The
    same result always gives the same text.

    Parameters
    ----------
    result : dict
        Plain values, NumPy numbers and arrays.

    Returns
    -------
    str
        JSON with a final line end.

    Examples
    --------
    >>> print(dump_result({"value": float("nan"), "n": 3}), end="")
    {
      "value": null,
      "n": 3
    }
    """
    return json.dumps(as_plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_plain(value: Any) -> Any:
    """Return ``value`` as JSON would hold it: plain numbers, lists, None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # a lone surrogate cannot be written as UTF-8
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)
