"""Write several files wholly or not at all: a folder under a temporary name, then a rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isonomy.errors import OutputError

__all__ = ["LAST", "check_folder", "whole_folder"]

LAST = "report.json"
"""The file that is put in place last: where it is, the others are complete."""


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes ``path`` if the block succeeds.

    A folder that exists keeps its other files: ours replace their namesakes one by one,
    each by a rename, ``report.json`` last. An error or Ctrl-C leaves nothing behind.

    Raises
    ------
    OutputError
        If ``path`` is a file, or it or its parent cannot be written. Where nothing can be
        written this is raised before the block runs.
    """
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    created: list[Path] = []
    try:
        check_folder(path)
        _make_parents(target.parent, created)
        temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
        temporary.mkdir()
        yield temporary
        _put_in_place(temporary, target)
        created.clear()
    except OSError as error:
        raise OutputError(
            f"The output folder {path} cannot be written: {error.strerror or error}. Nothing "
            "was left half-written; choose another with -o."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in reversed(created):
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()


def check_folder(path: Path) -> None:
    """Raise unless ``path`` is absent, or a folder that can be written."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise OutputError(f"The output {path} must be a folder, but a file has that name.")
    if target.is_dir() and not os.access(target, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder {path} cannot be written: permission denied.")


def _make_parents(folder: Path, created: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        created.append(new)


def _put_in_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    files = sorted(temporary.iterdir(), key=lambda file: (file.name == LAST, file.name))
    for file in files:
        _replace(file, target / file.name)


def _replace(new: Path, old: Path) -> None:
    """Put a file or a folder in the place of its namesake."""
    if not (new.is_dir() and old.is_dir()):
        new.replace(old)
        return
    aside = old.with_name(f".{secrets.token_hex(6)}-{old.name}")
    old.rename(aside)  # a folder that is not empty cannot be replaced at once
    new.rename(old)
    shutil.rmtree(aside)
