"""The one file format: a safetensors file whose header carries a JSON record.

A single file is written under a temporary name and renamed, so a saved artefact is
whole or absent. The record holds the schema, the library version, the kind, plain
settings and a SHA-256 over record and tensors; loading runs no code from the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._atomic import PathLike, atomic_path, write_bytes_atomic, write_text_atomic
from isonomy._estimators import dump_estimators, load_estimators
from isonomy._fingerprint import data_fingerprint, matches_fingerprint
from isonomy._plain import plain_json
from isonomy._record import (
    ESTIMATOR_PREFIX,
    KNOWN_KEYS,
    SCHEMA,
    as_tensor,
    check_digest,
    check_kind,
    check_schema,
    library_versions,
    read_bytes,
    read_header,
    read_record,
    read_tensors,
    to_bytes,
)
from isonomy._version import __version__
from isonomy.errors import UnknownKeyWarning

__all__ = [
    "SCHEMA",
    "Artefact",
    "atomic_path",
    "data_fingerprint",
    "load_artefact",
    "matches_fingerprint",
    "save_artefact",
    "warn_unknown_keys",
    "write_bytes_atomic",
    "write_text_atomic",
]


@dataclass(frozen=True)
class Artefact:
    """What a file held, checked.

    Parameters
    ----------
    kind : str
        What was saved, for instance ``"steered_classifier"``.
    schema : int
        The format's number at the time of saving.
    isonomy_version : str
        The version that saved it.
    created_with : dict of str
        Versions of Python and of the libraries at the time of saving.
    config : dict
        Plain settings: strings, numbers, booleans, None, lists and dicts.
    tensors : dict of arrays
        Arrays by name, with the dtype and shape they were saved with.
    fingerprint : dict or None
        What `data_fingerprint` said of the training data.
    certificate : dict or None
        The certificate of the fitted distribution.
    estimators : dict
        scikit-learn estimators by name, loaded through skops.
    left_out : tuple of str
        Names of estimators that could not be saved.
    """

    kind: str
    schema: int
    isonomy_version: str
    created_with: dict[str, str]
    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    fingerprint: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    estimators: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def save_artefact(
    path: PathLike,
    *,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    fingerprint: Mapping[str, Any] | None = None,
    certificate: Mapping[str, Any] | None = None,
    estimators: Mapping[str, Any] | None = None,
) -> Path:
    """Save settings, arrays and estimators in one file, wholly or not at all.

    Parameters
    ----------
    path : str or path-like
        The file to write, by custom ending in ``.safetensors``. Missing folders are made.
    kind : str
        What this is; `load_artefact` can insist on it.
    config : mapping
        Plain settings: strings, finite numbers, booleans, None, lists and dicts with
        string keys; NumPy scalars become Python's.
    tensors : mapping of arrays
        Numeric or boolean arrays by name.
    fingerprint : mapping, optional
        From `data_fingerprint`.
    certificate : mapping, optional
        From ``Certificate.to_dict()``.
    estimators : mapping, optional
        scikit-learn estimators by name. They go through skops; those that cannot (or
        all, where skops is not installed) are left out, listed in the file and named in
        a warning.

    Returns
    -------
    Path
        ``path``, as given.

    Raises
    ------
    InvalidInputError
        If a setting is not plain or a tensor is not numeric.
    OutputError
        If the file cannot be written; nothing is left behind.

    Notes
    -----
    The same arguments and library versions give the same bytes (without estimators).

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "maps.safetensors"
    >>> saved = save_artefact(path, kind="maps", config={"d": 2}, tensors={"m": np.eye(2)})
    >>> load_artefact(saved, kind="maps").config
    {'d': 2}
    """
    where = "save_artefact"
    arrays = {name: as_tensor(name, value, where=where) for name, value in tensors.items()}
    dumped, left_out = dump_estimators(estimators or {}, where=where)
    for name, data in dumped.items():
        arrays[ESTIMATOR_PREFIX + name] = np.frombuffer(data, dtype=np.uint8)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "isonomy_version": __version__,
        "kind": kind,
        "created_with": library_versions(),
        "config": plain_json(config, name="config", where=where),
        "fingerprint": plain_json(fingerprint, name="fingerprint", where=where),
        "certificate": plain_json(certificate, name="certificate", where=where),
        "left_out": list(left_out),
    }
    return write_bytes_atomic(path, to_bytes(record, arrays))


def load_artefact(
    path: PathLike, *, kind: str | None = None, trusted: Sequence[str] = ()
) -> Artefact:
    """Load and check what `save_artefact` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    kind : str, optional
        Insist on this kind.
    trusted : sequence of str
        Types beyond scikit-learn's and NumPy's that may be built from the file, such as
        ``"mypackage.MyEstimator"``. Building a type runs its code: list only what you know.

    Returns
    -------
    Artefact
        Settings, arrays and estimators.

    Raises
    ------
    ArtefactError
        If there is no such file, it is no artefact of isonomy, or it holds types that are
        not trusted.
    CorruptArtefactError
        If the file was cut off or altered.
    ArtefactVersionError
        If a newer isonomy wrote it in a newer format.
    ArtefactKindError
        If it holds another kind.
    MissingExtraError
        If it holds estimators and skops is not installed.

    Notes
    -----
    The SHA-256 inside finds accidents. It is no signature: somebody who alters the file
    on purpose can compute it anew.

    Examples
    --------
    >>> load_artefact("nowhere.safetensors")
    Traceback (most recent call last):
        ...
    isonomy.errors.ArtefactError: `path` passed to `load_artefact` must be a file saved by \
isonomy, but 'nowhere.safetensors' does not exist. Check the spelling and the folder.
    """
    data = read_bytes(path)
    header = read_header(data, path)
    record = read_record(header, path)
    check_schema(record, path)
    tensors = read_tensors(data, header, path)
    check_digest(record, tensors, path)
    check_kind(record["kind"], kind, path)
    warn_unknown_keys(record, KNOWN_KEYS, source=f"artefact {str(path)!r}")
    dumped = {
        name.removeprefix(ESTIMATOR_PREFIX): tensors.pop(name).tobytes()
        for name in sorted(tensors)
        if name.startswith(ESTIMATOR_PREFIX)
    }
    return Artefact(
        kind=record["kind"],
        schema=record["schema"],
        isonomy_version=record["isonomy_version"],
        created_with=record["created_with"],
        config=record["config"],
        tensors=tensors,
        fingerprint=record["fingerprint"],
        certificate=record["certificate"],
        estimators=load_estimators(dumped, trusted=trusted, path=path),
        left_out=tuple(record["left_out"]),
    )


def warn_unknown_keys(found: Iterable[str], known: Iterable[str], *, source: str) -> None:
    """Warn, naming them, of keys that this version does not know and will not use.

    Parameters
    ----------
    found : iterable of str
        The keys that are there.
    known : iterable of str
        The keys that this version uses.
    source : str
        What holds them, for the message.

    Warns
    -----
    UnknownKeyWarning
        If there is any unknown key.
    """
    unknown = sorted(set(found) - set(known))
    if unknown:
        warnings.warn(
            f"The {source} holds keys that isonomy {__version__} does not know and ignores: "
            f"{', '.join(unknown)}. A newer version may use them: pip install -U isonomy",
            UnknownKeyWarning,
            stacklevel=3,
        )
