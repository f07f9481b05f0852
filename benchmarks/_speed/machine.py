"""What the figures were measured on: processor, cores, threads, versions; no names of hosts."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe_machine"]

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "concept-erasure", "POT", "fairlearn")


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe_machine(threads: int) -> str:
    """Return one sentence on the machine, one on the libraries."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%d %B %Y}; {_processor()}, {os.cpu_count()} cores, {threads} "
        f"thread(s) for BLAS and torch, load average at the end {load:.1f}; Python "
        f"{platform.python_version()}, {versions}."
    )
