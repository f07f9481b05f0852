"""Write a folder wholly or not at all: under a temporary name beside it, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from isonomy.errors import OutputError

__all__ = ["RECORD", "new_folder"]

RECORD = "isonomy_adapters.json"
"""The side file: only a folder that holds it is ours, and only ours is replaced."""


@contextmanager
def new_folder(path: str | os.PathLike[str], *, where: str) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` if the block succeeds.

    An earlier export at ``path`` is replaced; any other folder that is not empty, or a file,
    is refused. Nothing stays behind if the block or the rename fails.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    created: list[Path] = []
    done = False
    try:
        _check(target, path, where)
        _make(temporary, created)
        yield temporary
        _swap(temporary, target)
        done = True
    except (OSError, SafetensorError) as error:  # safetensors has a class of its own for both
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"`path` passed to `{where}` must be a place that can be written, but {str(path)!r} "
            f"could not be: {reason}. Nothing was left there; choose another path, or free space "
            "or permissions."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in reversed([] if done else created):
            with suppress(OSError):  # somebody else has written there meanwhile
                folder.rmdir()


def _make(folder: Path, created: list[Path]) -> None:
    """Make ``folder`` and what is missing above it, which is noted in ``created``."""
    missing = [above for above in folder.parents if not above.exists()]
    for above in reversed(missing):
        above.mkdir(exist_ok=True)
        created.append(above)
    folder.mkdir()


def _check(target: Path, path: str | os.PathLike[str], where: str) -> None:
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_free and not (target.is_dir() and (target / RECORD).is_file()):
        raise OutputError(
            f"`path` passed to `{where}` must be a new or empty folder or an earlier export, but "
            f"{str(path)!r} holds something else. Choose another path."
        )


def _swap(temporary: Path, target: Path) -> None:
    old = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    had_old = target.exists()
    if had_old:
        target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        if had_old:
            with suppress(OSError):
                old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
