"""The hidden folder of a run that may be stopped, and the finished folder that takes its place."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from isonomy._atomic import write_text_atomic
from isonomy.adapters._finetune._options import WHERE
from isonomy.errors import DataFileError, InvalidInputError, OutputError

__all__ = ["LAST", "Work", "check_output", "finished_folder", "work_folder", "working"]

LAST = "report.json"
"""Only a folder that holds this is ours, and only ours is replaced."""

_STATE, _CHECKPOINTS = "state.json", "checkpoints"


class Work:
    """What a stopped run keeps: named JSON files, and the folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / _CHECKPOINTS

    def get(self, name: str) -> Any:
        """Return what was kept under a name; None if nothing was."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def keep(self, name: str, value: Any) -> Any:
        """Keep a JSON-able value and return it as JSON gives it back."""
        text = json.dumps(value, indent=1, allow_nan=False)
        write_text_atomic(self.folder / f"{name}.json", text)
        return json.loads(text)


def work_folder(output: str | os.PathLike[str]) -> Path:
    """Return where a run that writes to ``output`` keeps what it needs to go on."""
    target = Path(os.path.realpath(output))
    return target.with_name(f".{target.name}.unfinished")


def check_output(output: str | os.PathLike[str], *, resume: bool) -> None:
    """Raise before any work if ``output`` cannot be written, or another run is unfinished.

    Raises
    ------
    OutputError
        If it is a file, holds something that is not ours, or cannot be written.
    DataFileError
        If there is an unfinished run and ``resume`` is off.
    """
    target = Path(os.path.realpath(output))
    if target.exists() and not target.is_dir():
        raise OutputError(f"The output {output} must be a folder, but a file has that name.")
    if target.is_dir() and any(target.iterdir()) and not (target / LAST).is_file():
        raise OutputError(
            f"The output folder {output} is not empty and holds no earlier result of `{WHERE}`: "
            "choose another folder, or empty it."
        )
    above = next(p for p in (target, *target.parents) if p.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"The output folder {output} cannot be written: permission denied.")
    folder = work_folder(output)
    if folder.exists() and not resume:
        raise DataFileError(
            "An earlier run was stopped before its end (or is still running) and keeps its "
            f"checkpoints in {folder}: resume it (--resume) or delete that folder."
        )


@contextmanager
def working(
    output: str | os.PathLike[str], identity: Mapping[str, Any], *, resume: bool
) -> Iterator[Work]:
    """Yield the folder of this run; it goes when the block succeeds or cannot succeed.

    Whatever ends the block otherwise leaves it for ``resume`` once there is a checkpoint.

    Raises
    ------
    DataFileError
        If there is an unfinished run and ``resume`` is off, or what it was about changed.
    OutputError
        If the folder cannot be written.
    """
    check_output(output, resume=resume)
    folder = work_folder(output)
    done = False
    try:
        yield _enter(folder, dict(identity))
        done = True
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {_left_in(folder)}") from None
    except OSError as error:
        said = _left_in(folder)
        raise OutputError(
            f"The output folder {output} cannot be written: {error.strerror or error}. "
            f"{said[:1].upper()}{said[1:]}"
        ) from error
    finally:
        # what a checkpoint holds is worth keeping, whatever came after it
        if done or not _has_checkpoint(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _has_checkpoint(folder: Path) -> bool:
    return any((folder / _CHECKPOINTS).glob("checkpoint-*"))


def _left_in(folder: Path) -> str:
    if not _has_checkpoint(folder):
        return "nothing was left half-written."
    return f"what was done is kept in {folder}: resume it (--resume), or delete that folder."


def _enter(folder: Path, identity: dict[str, Any]) -> Work:
    work = Work(folder)
    found = work.get("state") if (folder / _STATE).is_file() else None
    if found is None:  # new, or stopped before there was anything to keep
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        work.keep("state", identity)
        return work
    wanted = json.loads(json.dumps(identity))
    changed = [name for name in wanted if found.get(name) != wanted[name]]
    if changed:
        raise DataFileError(
            f"The run in {folder} cannot go on, because this changed since: {', '.join(changed)}. "
            "Run it as before, or delete that folder to begin anew."
        )
    return work


@contextmanager
def finished_folder(output: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty folder that becomes ``output``, in the place of an earlier result of ours.

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left half-written then.
    """
    target = Path(os.path.realpath(output))
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if not (temporary / LAST).is_file():
            raise InvalidInputError(f"A finished folder of `{WHERE}` must hold {LAST}.")
        _swap(temporary, target)
    except OSError as error:
        raise OutputError(
            f"The output folder {output} cannot be written: {error.strerror or error}. Nothing "
            "was left half-written."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    old = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        with suppress(OSError):
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
