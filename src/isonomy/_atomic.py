"""Write a file wholly or not at all: a temporary name in the same folder, then a rename.

Whoever reads the path sees the old file or the new one, never half of either; an error,
a full disk or Ctrl-C leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from isonomy.errors import OutputError

__all__ = ["atomic_path", "write_bytes_atomic", "write_text_atomic"]

PathLike = str | os.PathLike[str]


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` that becomes ``path`` if the block succeeds.

    The temporary name keeps the ending of ``path`` because many writers choose their
    format by it. Folders that are missing are created, and taken away again if the block
    fails. A link is followed, and an existing file keeps its permissions.

    Parameters
    ----------
    path : str or path-like
        The file to write. It must not be a folder or a device.

    Yields
    ------
    Path
        An empty file in the same folder; write to it and close it inside the block.

    Raises
    ------
    OutputError
        If the file or its folder cannot be written, also when writing fails half-way.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "rates.csv") as temporary:
    ...     _ = temporary.write_text("group,rate")
    >>> [file.name for file in folder.iterdir()]
    ['rates.csv']
    """
    target = _checked_target(path)
    created: list[Path] = []
    temporary: Path | None = None
    done = False
    try:
        _make_parents(target.parent, created)
        temporary = _new_file_beside(target)
        yield temporary
        _flush_to_disk(temporary)
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
        done = True
        _flush_folder(target.parent)
    except OSError as error:
        raise OutputError(
            f"`path` must be a place that can be written, but {str(path)!r} could not be: "
            f"{error.strerror or error}. Nothing was left there; choose another path, or "
            "free space or permissions."
        ) from error
    finally:
        if not done:
            _clean_up(temporary, created)


def write_bytes_atomic(path: PathLike, data: bytes) -> Path:
    """Write ``data`` to ``path``, wholly or not at all, and return the path.

    Parameters
    ----------
    path : str or path-like
        The file to write; missing folders are created.
    data : bytes
        Its whole content.

    Returns
    -------
    Path
        ``path``, as given.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text_atomic(path: PathLike, text: str) -> Path:
    r"""Write ``text`` in UTF-8 to ``path``, wholly or not at all, and return the path.

    Line ends are written as they are (``\n`` stays ``\n`` on every system), so that the
    same text gives the same bytes everywhere.

    Parameters
    ----------
    path : str or path-like
        The file to write; missing folders are created.
    text : str
        Its whole content.

    Returns
    -------
    Path
        ``path``, as given.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    return write_bytes_atomic(path, text.encode("utf-8"))


def _checked_target(path: PathLike) -> Path:
    # a rename would replace a link by a file, and /dev/null by a file for everybody
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(
            f"`path` must be a file to write, but {str(path)!r} is a folder. Add a file name."
        )
    if target.exists() and not target.is_file():
        raise OutputError(
            f"`path` must be a regular file, but {str(path)!r} is a device or a pipe, which "
            "cannot be written under a temporary name and renamed. Choose a file."
        )
    return target


def _make_parents(folder: Path, created: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        created.append(new)


def _new_file_beside(target: Path) -> Path:
    # os.open applies the user's umask; tempfile would make the file private for good
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    # makes the rename itself survive a power cut; some systems cannot open a folder
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clean_up(temporary: Path | None, created: list[Path]) -> None:
    with suppress(OSError):
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    for folder in reversed(created):
        with suppress(OSError):  # somebody else has written there meanwhile
            folder.rmdir()
