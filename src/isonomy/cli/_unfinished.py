"""The hidden folder of a run that may be stopped, and what it takes to go on from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isonomy._version import __version__
from isonomy.artefact import write_text_atomic
from isonomy.cli._batches import BatchFile
from isonomy.cli.exits import complain
from isonomy.errors import DataFileError, IsonomyError, OutputError

__all__ = [
    "BATCHES_A_STATE",
    "Unfinished",
    "check_not_unfinished",
    "identity_of",
    "unfinished",
    "unfinished_folder",
]

STATE = "state.json"

BATCHES_A_STATE = 16
"""Batches between two states on disk: what a kill costs at most."""


class Unfinished:
    """A run's folder, with the last state that it can go on from."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        self.folder = folder
        self._identity = dict(identity)
        self._state = dict(state)

    def get(self, name: str, default: Any = None) -> Any:
        """Return one entry of the state."""
        return self._state.get(name, default)

    def save(self, **entries: Any) -> None:
        """Change entries of the state: from now on a run goes on from here."""
        self._state |= entries
        whole = {"identity": self._identity, "state": self._state}
        write_text_atomic(self.folder / STATE, json.dumps(whole, indent=1))

    def keep_only(self, pattern: str, wanted: Path) -> None:
        """Delete the files of ``pattern`` that the state no longer needs."""
        for file in self.folder.glob(pattern):
            if file != wanted:
                file.unlink()


def identity_of(file: BatchFile, **options: Any) -> dict[str, Any]:
    """Return what must be the same when a run goes on: the file, the options, the version."""
    found = file.path.stat()
    schema = file.schema.to_string(show_schema_metadata=False)
    return {
        "isonomy version": __version__,
        "file name": file.path.name,
        "file size": found.st_size,
        "file modification time": found.st_mtime_ns,
        "columns of the file": hashlib.sha256(schema.encode("utf-8")).hexdigest(),
        **{name: value for name, value in options.items()},
    }


def unfinished_folder(output: Path) -> Path:
    """Return where a run that writes to ``output`` keeps what it needs to go on."""
    target = Path(os.path.realpath(output))
    return target.with_name(f".{target.name}.unfinished")


@contextmanager
def unfinished(output: Path, identity: Mapping[str, Any], *, resume: bool) -> Iterator[Unfinished]:
    """Yield the folder of this run; it goes when the block succeeds or cannot succeed.

    Ctrl-C, a kill and a full disk leave it, for ``--resume``.

    Raises
    ------
    DataFileError
        If there is an unfinished run and ``resume`` is off, or what it was about changed.
    OutputError
        If ``output`` or the folder cannot be written.
    """
    check_not_unfinished(output, resume=resume)
    folder = unfinished_folder(output)
    with _writable(output, folder):
        work = _enter(folder, dict(identity), resume=resume)
        try:
            yield work
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {_kept_in(folder)}") from None
        except SystemExit:  # what SIGTERM becomes
            complain(f"stopped; {_kept_in(folder)}")
            raise
        except IsonomyError as error:
            passing = isinstance(error, OutputError) or isinstance(error.__cause__, OSError)
            if not passing:  # the same rows would fail again
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _kept_in(folder: Path) -> str:
    return f"what was done is kept in {folder}: add --resume to go on."


@contextmanager
def _writable(output: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The output folder {output} cannot be written: {error.strerror or error}. What was "
            f"done is kept in {folder}: free space or permissions, and add --resume."
        ) from error


def check_not_unfinished(output: Path, *, resume: bool) -> None:
    """Raise if there is an unfinished run that nobody asked to go on with.

    Raises
    ------
    DataFileError
        Naming its folder.
    """
    folder = unfinished_folder(output)
    if folder.exists() and not resume:
        raise DataFileError(
            f"An earlier run was stopped before its end (or is still running) and keeps its "
            f"state in {folder}: add --resume to go on with it, or delete that folder."
        )


def _enter(folder: Path, identity: dict[str, Any], *, resume: bool) -> Unfinished:
    if not folder.exists():
        if resume:
            complain("--resume: there is no unfinished run, so this one begins anew.")
        folder.mkdir(parents=True)
        return _begin(folder, identity)
    if not (folder / STATE).exists():  # stopped before there was anything to keep
        return _begin(folder, identity)
    found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    changed = [n for n in identity if found["identity"].get(n) != identity[n]]
    if changed:
        raise DataFileError(
            f"--resume cannot go on with the run in {folder}, because this changed since: "
            f"{', '.join(changed)}. Run it as before, or delete that folder to begin anew."
        )
    return Unfinished(folder, identity, found["state"])


def _begin(folder: Path, identity: dict[str, Any]) -> Unfinished:
    work = Unfinished(folder, identity, {})
    work.save()
    return work
