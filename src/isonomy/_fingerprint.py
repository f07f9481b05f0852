"""Say whether data are the same as before without keeping any of them.

A plain hash of few rows can be found again by trying, so the fingerprint is keyed: with
a key of yours, or with a random salt. The salt is stored beside the digest: it stops
tables made in advance, not somebody who holds the artefact and guesses your rows.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from isonomy.errors import InvalidInputError

__all__ = ["KEY_VARIABLE", "data_fingerprint", "matches_fingerprint"]

KEY_VARIABLE = "ISONOMY_FINGERPRINT_KEY"
"""The environment variable that holds the key when none is passed."""

_ALGORITHM = "blake2b-256"
_KEY_MARK = b"isonomy fingerprint key"


def data_fingerprint(*arrays: Any, key: str | bytes | None = None) -> dict[str, str]:
    """Return a keyed BLAKE2b digest of shapes, dtypes and values.

    Parameters
    ----------
    *arrays : array, series, data frame or list
        The data, in order. Numbers count with dtype and shape; strings and objects count
        by value, so that a fixed-width and an object array of equal strings agree; a
        frame counts with its column names.
    key : str or bytes, optional
        A secret of at least one character. Without it the environment variable
        ``ISONOMY_FINGERPRINT_KEY`` is used, and without that a random salt.

    Returns
    -------
    dict of str
        ``algorithm``, ``digest`` (hexadecimal) and either ``key_check`` (tells a wrong
        key from other data) or ``salt``. It can go into JSON.

    Raises
    ------
    InvalidInputError
        If there is no array, one is sparse, or the key is empty.

    Notes
    -----
    With a key, equal data give equal fingerprints, which nobody without the key can
    check. With a salt, the fingerprint differs each time and anybody can check it.

    Examples
    --------
    >>> first = data_fingerprint([1.0, 2.0], ["a", "b"], key="our secret")
    >>> first == data_fingerprint([1.0, 2.0], ["a", "b"], key="our secret")
    True
    """
    secret = _secret(key, where="data_fingerprint")
    if secret is None:
        salt = secrets.token_bytes(16)
        digest = _digest(arrays, salt, where="data_fingerprint")
        return {"algorithm": _ALGORITHM, "digest": digest, "salt": salt.hex()}
    digest = _digest(arrays, secret, where="data_fingerprint")
    return {"algorithm": _ALGORITHM, "digest": digest, "key_check": _key_check(secret)}


def matches_fingerprint(
    fingerprint: Mapping[str, str], *arrays: Any, key: str | bytes | None = None
) -> bool:
    """Return whether ``arrays`` are the data that ``fingerprint`` was taken of.

    Parameters
    ----------
    fingerprint : mapping
        What `data_fingerprint` returned.
    *arrays : array, series, data frame or list
        The data, in the same order.
    key : str or bytes, optional
        The key used then; by default ``ISONOMY_FINGERPRINT_KEY``. Not needed for a
        salted fingerprint.

    Returns
    -------
    bool
        True if every shape, dtype and value agrees.

    Raises
    ------
    InvalidInputError
        If the fingerprint needs a key and there is none or another one, or if it is not
        a fingerprint.

    Examples
    --------
    >>> matches_fingerprint(data_fingerprint([1, 2, 3]), [1, 2, 4])
    False
    """
    where = "matches_fingerprint"
    if fingerprint.get("algorithm") != _ALGORITHM or "digest" not in fingerprint:
        raise InvalidInputError(
            f"`fingerprint` passed to `{where}` must come from `data_fingerprint` "
            f"({_ALGORITHM}), got keys {sorted(fingerprint)}."
        )
    if "salt" in fingerprint:
        secret = bytes.fromhex(fingerprint["salt"])
    else:
        secret = _matching_secret(fingerprint, key, where=where)
    return hmac.compare_digest(_digest(arrays, secret, where=where), fingerprint["digest"])


def _matching_secret(
    fingerprint: Mapping[str, str], key: str | bytes | None, *, where: str
) -> bytes:
    secret = _secret(key, where=where)
    if secret is None or _key_check(secret) != fingerprint.get("key_check"):
        got = "none" if secret is None else "another one"
        raise InvalidInputError(
            f"`key` passed to `{where}` must be the key that this fingerprint was made with, "
            f"got {got}. Pass `key=` or set {KEY_VARIABLE}."
        )
    return secret


def _secret(key: str | bytes | None, *, where: str) -> bytes | None:
    given = os.environ.get(KEY_VARIABLE) if key is None else key
    if given is None:
        return None
    if not given:
        raise InvalidInputError(
            f"`key` passed to `{where}` (or {KEY_VARIABLE}) must not be empty. Give a long "
            "random text, or leave it out for a random salt."
        )
    raw = given.encode("utf-8") if isinstance(given, str) else given
    return hashlib.blake2b(raw, digest_size=32).digest()  # BLAKE2b takes at most 64 bytes


def _key_check(secret: bytes) -> str:
    return hashlib.blake2b(_KEY_MARK, key=secret, digest_size=8).hexdigest()


def _digest(arrays: Iterable[Any], secret: bytes, *, where: str) -> str:
    parts = tuple(arrays)
    if not parts:
        raise InvalidInputError(f"`{where}` must get at least one array, got none.")
    state = hashlib.blake2b(key=secret, digest_size=32)
    for part in parts:
        for chunk in _chunks(part, where=where):
            # the length first: "ab", "c" must differ from "a", "bc"
            state.update(len(chunk).to_bytes(8, "little"))
            state.update(chunk)
    return state.hexdigest()


def _chunks(data: Any, *, where: str) -> Iterable[Any]:
    if sparse.issparse(data):
        raise InvalidInputError(
            f"`arrays` passed to `{where}` must be dense, got a sparse matrix. Pass its "
            "`data`, `indices` and `indptr`."
        )
    native = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.DataFrame):
        yield b"frame"
        for name in native.columns:
            yield str(name).encode("utf-8")
            yield from _array_chunks(native[name].to_numpy())
        return
    yield b"array"
    yield from _array_chunks(
        native.to_numpy() if isinstance(native, nw.Series) else np.asarray(data)
    )


def _array_chunks(array: NDArray[Any]) -> Iterable[Any]:
    yield repr(array.shape).encode("ascii")
    if array.dtype.kind in "biufcmM":
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        yield little.dtype.str.encode("ascii")
        yield little.reshape(-1).view(np.uint8).data
        return
    yield b"objects"
    for value in array.reshape(-1).tolist():
        yield _object_bytes(value)


def _object_bytes(value: Any) -> bytes:
    # None, NaN, NaT and pandas.NA all say "missing"; comparing NA gives NA, not a truth value
    if value is None or type(value).__name__ in {"NAType", "NaTType"} or value != value:
        return b"missing"
    return f"{type(value).__name__}:{value}".encode()
