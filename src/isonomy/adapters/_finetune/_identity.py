"""What tells one run from another: its data, its model's files, the libraries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from isonomy.adapters._finetune._rows import PARTS, LabelledRows
from isonomy.adapters._finetune._split import Parts

__all__ = ["data_digest", "files_of", "library_versions"]


def data_digest(rows: LabelledRows, parts: Parts) -> str:
    """Return a digest that another text, label, group or split changes."""
    state = hashlib.blake2b(digest_size=16)
    for name in PARTS:
        state.update(parts.of(name).astype("<i8").tobytes())
    state.update(rows.labels.astype("<i8").tobytes())
    for value in rows.inputs:
        state.update(_told_apart(value))
    for value in () if rows.groups is None else rows.groups.tolist():
        state.update(str(value).encode("utf-8", "surrogatepass"))
    return state.hexdigest()


def _told_apart(value: Any) -> bytes:
    """Return bytes that differ between inputs, and not between runs."""
    if hasattr(value, "tobytes"):  # a picture in memory: its repr holds an address
        size = getattr(value, "size", None)
        return repr((type(value).__name__, size)).encode() + bytes(value.tobytes())
    return repr(value).encode("utf-8", "surrogatepass")


def files_of(model: Any) -> list[list[Any]]:
    """Return name, size and time of every file of a local model; [] for others."""
    if not isinstance(model, str | Path) or not Path(model).is_dir():
        return []
    files = sorted(p for p in Path(model).iterdir() if p.is_file())
    return [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]


def library_versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    import peft
    import torch
    import transformers

    return {
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
        "peft": str(peft.__version__),
    }
