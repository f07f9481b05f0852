"""Checkpoints that exist wholly or not at all, and folders that hold no other run's.

A checkpoint is written into a hidden folder beside its place and then renamed. Whoever looks
for ``checkpoint-*``, this trainer or any other program, never meets half of one.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

from isonomy.adapters._train._statistics_file import STATISTICS
from isonomy.errors import IncompleteCheckpointWarning, InvalidInputError, OutputError

__all__ = [
    "STAGING",
    "check_checkpoint",
    "check_free",
    "flush_files",
    "last_checkpoint",
    "publish",
    "remove_checkpoints",
    "remove_old",
]

STAGING = ".saving"
"""Where a checkpoint grows; what a killed run left there is removed by the next one."""

_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# what stands in an output folder before a run that is no run's result
_HARMLESS = frozenset({"runs", "logs", "isonomy_start.json", "isonomy_finish.json"})


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of all checkpoints, the oldest first."""
    found = [
        (int(match[1]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
    ]
    return sorted(found)


def check_free(folder: Path) -> None:
    """Raise if ``folder`` holds what a new run would mix with its own."""
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    there = [name for name in there if not name.startswith(".") and name not in _HARMLESS]
    if there:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise InvalidInputError(
            f"`output_dir` of `BiasAwareArguments` must be empty for a new run, but "
            f"{str(folder)!r} holds {', '.join(there[:3])}{more}. Choose another folder, continue "
            "with `train(resume_from_checkpoint=True)`, or set `overwrite_output_dir=True`."
        )


def remove_checkpoints(folder: Path) -> None:
    """Delete all checkpoints of earlier runs, the newest first.

    A kill in between then leaves older ones, none of which is taken for the newest.
    """
    for _, path in reversed(_checkpoints(folder)):
        _delete(path)


def _missing(checkpoint: Path) -> list[str]:
    return [name for name in (_STATE, STATISTICS) if not (checkpoint / name).is_file()]


def check_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as the folder of a whole checkpoint."""
    folder = Path(path)
    if not folder.is_dir():
        raise InvalidInputError(
            f"`resume_from_checkpoint` of `BiasAwareTrainer.train` must be the folder of a "
            f"checkpoint, but {str(path)!r} is none. Pass True for the newest one."
        )
    missing = _missing(folder)
    if missing:
        raise InvalidInputError(
            f"`resume_from_checkpoint` of `BiasAwareTrainer.train` must be a whole checkpoint of "
            f"`BiasAwareTrainer`, but {str(path)!r} has no {missing[0]}: it is half-written or "
            "another trainer's. Choose an earlier checkpoint."
        )
    return folder


def last_checkpoint(folder: Path) -> Path:
    """Return the newest whole checkpoint in ``folder``."""
    found = [path for _, path in _checkpoints(folder)]
    for path in reversed(found):
        if not _missing(path):
            return path
        warnings.warn(
            f"{str(path)!r} is no whole checkpoint of `BiasAwareTrainer` (it has no "
            f"{_missing(path)[0]}) and is passed over; delete it.",
            IncompleteCheckpointWarning,
            stacklevel=2,
        )
    raise InvalidInputError(
        f"`resume_from_checkpoint=True` of `BiasAwareTrainer.train` needs a checkpoint in "
        f"`output_dir`, but {str(folder)!r} has {'no whole one' if found else 'none'}. Train "
        "without it, or pass the folder of a checkpoint."
    )


def flush_files(folder: Path) -> None:
    """Bring every file of ``folder`` to the disk, so that the rename survives a power cut."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def publish(staged: Path, target: Path) -> None:
    """Give ``staged`` its name; a folder that has it already steps aside first.

    Raises
    ------
    OutputError
        If the rename fails; the folder that was there is back then.
    """
    old = target.with_name(f".old-{target.name}")
    try:
        flush_files(staged)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        staged.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            with suppress(OSError):
                old.rename(target)
        raise OutputError(
            f"`output_dir` of `BiasAwareArguments` must be a folder that can be written, but "
            f"{str(target)!r} could not be: {error.strerror or error}. Earlier checkpoints are "
            "as they were; free space or permissions and resume."
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def remove_old(folder: Path, limit: int | None, best: str | None) -> None:
    """Delete the oldest checkpoints beyond ``limit``; the newest and ``best`` always stay."""
    found = [path for _, path in _checkpoints(folder)]
    if limit is None or limit <= 0 or len(found) <= limit:
        return
    kept = {found[-1], *([Path(best)] if best is not None else [])}
    for path in reversed(found):
        if len(kept) >= limit:
            break
        kept.add(path)
    for path in found:
        if path not in kept:
            _delete(path)


def _delete(checkpoint: Path) -> None:
    # renamed first: a kill while files vanish must not leave half of a checkpoint
    doomed = checkpoint.with_name(f".old-{checkpoint.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    checkpoint.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
