"""Reports that lie beside an adapter, as JSON: plain PEFT loads the folder as before."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isonomy._atomic import write_text_atomic
from isonomy._version import __version__

__all__ = ["plain_report", "write_side_file"]


def plain_report(kind: str, report: Any) -> dict[str, Any]:
    """Return a report (a dataclass) as plain values, with its kind and our version."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(report)))
    return {"kind": kind, "isonomy_version": __version__, **plain}


def write_side_file(folder: str | os.PathLike[str], name: str, plain: dict[str, Any]) -> Path:
    """Write a plain report whole or not at all; return its path."""
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    return write_text_atomic(Path(folder) / name, text + "\n")
