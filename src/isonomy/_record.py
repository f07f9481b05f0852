"""The record inside an artefact: how it is written, and every check on reading it.

Inner functions of ``artefact.py``: each reads or checks one thing and raises one error.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import scipy
import sklearn
from numpy.typing import NDArray

from isonomy._atomic import PathLike
from isonomy._version import __version__
from isonomy.errors import (
    ArtefactError,
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    InvalidInputError,
)

__all__ = [
    "ESTIMATOR_PREFIX",
    "KNOWN_KEYS",
    "SCHEMA",
    "as_tensor",
    "check_digest",
    "check_kind",
    "check_schema",
    "digest",
    "library_versions",
    "read_bytes",
    "read_header",
    "read_record",
    "read_tensors",
    "to_bytes",
]

SCHEMA = 1
"""The number of the format. It rises when an older isonomy could misread the file."""

ESTIMATOR_PREFIX = "estimator/"
HEADER_KEY = "isonomy"
KNOWN_KEYS = (
    "schema",
    "isonomy_version",
    "kind",
    "created_with",
    "config",
    "fingerprint",
    "certificate",
    "left_out",
    "sha256",
)

_LENGTH = 8  # bytes that hold the header's length, at the start of every safetensors file
_MAX_BYTES = 8  # long double has no safetensors type

# how our header begins: tells a file of ours that was cut off from something else
_HEADER_START = b'{"__metadata__":{"isonomy":'


def to_bytes(record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the whole file; the record gains its SHA-256."""
    sealed = {**record, "sha256": digest(record, tensors)}
    return bytes(safetensors.numpy.save(dict(tensors), metadata={HEADER_KEY: canonical(sealed)}))


def as_tensor(name: str, value: Any, *, where: str) -> NDArray[Any]:
    """Return ``value`` as a contiguous little-endian array that a file can hold."""
    # np.ascontiguousarray would turn a 0-d array into a 1-d one
    array = np.asarray(value, order="C")
    if name.startswith(ESTIMATOR_PREFIX):
        raise InvalidInputError(
            f"`tensors` passed to `{where}` must not use names starting with "
            f"{ESTIMATOR_PREFIX!r}, which are kept for estimators, got {name!r}."
        )
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > _MAX_BYTES:
        raise InvalidInputError(
            f"`tensors[{name!r}]` passed to `{where}` must be a numeric or boolean array of at "
            f"most 64 bits, got dtype {array.dtype}. Put words into `config`."
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def library_versions() -> dict[str, str]:
    """Return the versions under which a file is written, for its reader."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "safetensors": safetensors.__version__,
    }


def canonical(record: Mapping[str, Any]) -> str:
    """Return the one JSON text of ``record``: sorted keys, no spaces."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of record and tensors, the record's own ``sha256`` left out."""
    body = {key: value for key, value in record.items() if key != "sha256"}
    state = hashlib.sha256(canonical(body).encode("ascii"))
    for name in sorted(tensors):
        array = tensors[name]
        state.update(f"\n{name!r} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def read_bytes(path: PathLike) -> bytes:
    """Return the file's bytes, or raise one clear sentence."""
    file = Path(path)
    if not file.exists():
        raise ArtefactError(
            f"`path` passed to `load_artefact` must be a file saved by isonomy, but "
            f"{str(path)!r} does not exist. Check the spelling and the folder."
        )
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArtefactError(
            f"`path` passed to `load_artefact` must be a file that can be read, but "
            f"{str(path)!r} cannot: {error.strerror or error}."
        ) from error


def read_header(data: bytes, path: PathLike) -> dict[str, Any]:
    """Return the safetensors header of ``data``."""
    size = int.from_bytes(data[:_LENGTH], "little")
    start = data[_LENGTH : _LENGTH + len(_HEADER_START)]
    if not start or not _HEADER_START.startswith(start):
        raise ArtefactError(
            f"`path` passed to `load_artefact` must be a file saved by isonomy, but "
            f"{str(path)!r} is something else. Pass the file that `save` or "
            "`isonomy steer` wrote."
        )
    if len(data) < _LENGTH + size:
        raise _cut_off(path)
    return _json_object(data[_LENGTH : _LENGTH + size], path)


def read_record(header: Mapping[str, Any], path: PathLike) -> dict[str, Any]:
    """Return our own record out of the header."""
    try:
        text = header["__metadata__"][HEADER_KEY]
    except (KeyError, TypeError) as error:
        raise _altered(path) from error
    return _json_object(text, path)


def _json_object(text: str | bytes, path: PathLike) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, TypeError, RecursionError) as error:
        raise _altered(path) from error
    if not isinstance(value, dict):
        raise _altered(path)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_schema(record: Mapping[str, Any], path: PathLike) -> None:
    """Raise if the file was written by a newer isonomy."""
    schema = record.get("schema")
    if not isinstance(schema, int):
        raise _altered(path)
    if schema > SCHEMA:
        raise ArtefactVersionError(
            f"`path` passed to `load_artefact` must be an artefact of schema {SCHEMA} or "
            f"older, but {str(path)!r} has schema {schema}, written by isonomy "
            f"{record.get('isonomy_version', '(unknown)')}; this is isonomy {__version__}. "
            "Run: pip install -U isonomy"
        )


def read_tensors(data: bytes, header: Mapping[str, Any], path: PathLike) -> dict[str, NDArray[Any]]:
    """Return the tensors; tell a cut-off file from an altered one."""
    try:
        return dict(safetensors.numpy.load(data))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        size = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
        cut = len(data) < size + _end_of_tensors(header)
        raise (_cut_off(path) if cut else _altered(path)) from error


def _end_of_tensors(header: Mapping[str, Any]) -> int:
    end = 0
    for name, entry in header.items():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if name != "__metadata__" and isinstance(offsets, list):
            end = max([end, *(o for o in offsets if isinstance(o, int))])
    return end


def check_digest(
    record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], path: PathLike
) -> None:
    """Raise if record or tensors were altered after saving."""
    if record.get("sha256") != digest(record, tensors):
        raise _altered(path)
    if not set(KNOWN_KEYS) <= set(record):
        raise _altered(path)


def check_kind(found: str, kind: str | None, path: PathLike) -> None:
    """Raise if the artefact is of another kind than asked for."""
    if kind is not None and found != kind:
        raise ArtefactKindError(
            f"`path` passed to `load_artefact` must hold an artefact of kind {kind!r}, but "
            f"{str(path)!r} holds kind {found!r}. Load it with the class that saved it."
        )


def _cut_off(path: PathLike) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"`path` passed to `load_artefact` must be a whole artefact, but {str(path)!r} was cut "
        "off: its end is missing. Copy or download it again."
    )


def _altered(path: PathLike) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"`path` passed to `load_artefact` must be an artefact as it was saved, but "
        f"{str(path)!r} was altered: its content does not match its SHA-256. Copy it again "
        "from where it was saved."
    )
