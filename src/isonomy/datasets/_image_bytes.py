"""The bytes of a picture, from a file or from inside a zip archive; nothing is decoded."""

from __future__ import annotations

import functools
import os
import zipfile
import zlib
from pathlib import Path

__all__ = ["INSIDE", "image_bytes", "open_archive"]

INSIDE = "!/"
"""Between the path of an archive and the name of a member: ``images.zip!/a/b.png``."""


def image_bytes(path: str) -> bytes:
    """Return the content of a file, or of a member of an archive.

    Raises
    ------
    OSError
        If it is not there or cannot be read.
    """
    archive, inside, member = path.partition(INSIDE)
    if not inside:
        return Path(path).read_bytes()
    try:
        return open_archive(archive, os.getpid()).read(member)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as error:
        raise OSError(f"{path!r} cannot be read: {error}") from error


@functools.lru_cache(maxsize=8)
def open_archive(path: str, process: int) -> zipfile.ZipFile:
    """Return an open archive, one for each process: two must not share a file's position."""
    return zipfile.ZipFile(path)
