"""Results on disk, one JSON file each: whole or absent, and recomputed when in doubt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isonomy._atomic import write_text_atomic

__all__ = ["digest_of", "read_record", "remembered", "write_record"]


def digest_of(value: Any) -> str:
    """Return a short hash of anything JSON can hold; order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def read_record(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what `write_record` stored under the same key, else None.

    A file that is missing, cut short, altered or made under another key counts as absent.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        value = stored["value"]
        intact = stored["digest"] == digest_of(value)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = stored.get("key") == json.loads(json.dumps(key))
    return value if intact and same and isinstance(value, dict) else None


def write_record(path: Path, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    """Store ``value`` with its key and a hash by which damage is noticed."""
    record = {"key": key, "value": value, "digest": digest_of(value)}
    write_text_atomic(path, json.dumps(record, separators=(",", ":")) + "\n")


def remembered(
    path: Path, key: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the stored value, or compute and store it."""
    found = read_record(path, key)
    if found is None:
        found = compute()
        write_record(path, key, found)
    return found
