"""Find a picture set's folder, and read the lists of numbers and names beside the pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isonomy.datasets._table_files import FOLDER_VARIABLE
from isonomy.errors import DataFileError

__all__ = ["Annotations", "find_folder"]


def find_folder(
    folder: str | os.PathLike[str] | None,
    *,
    inside: Sequence[str],
    mark: Sequence[str],
    source: str,
    where: str,
) -> Path:
    """Return the first of ``folder`` and ``folder/inside[i]`` that holds a file of ``mark``.

    Raises
    ------
    DataFileError
        If no folder is named, it is not there, or none of them does.
    """
    named = os.environ.get(FOLDER_VARIABLE) if folder is None else folder
    advice = f"Nothing is downloaded: get it from {source}."
    wanted = f"a folder that holds {' or '.join(mark)}, directly or in {' or '.join(inside)}"
    if not named:
        raise DataFileError(
            f"`folder` passed to `{where}` must be {wanted}, got None (and {FOLDER_VARIABLE} is "
            f"not set). {advice}"
        )
    root = Path(named)
    if root.name in mark and root.is_dir():  # one part of a set of several
        return root
    places = [root, *(root / name for name in inside)]
    for place in places:
        if any((place / name).exists() for name in mark):
            return place
    what = "holds neither" if root.is_dir() else "is not a folder"
    raise DataFileError(
        f"`folder` passed to `{where}` must be {wanted}, but {str(root)!r} {what}. {advice}"
    )


class Annotations:
    """The files of one published folder; every failure names the file and the line."""

    def __init__(self, root: Path, *, source: str, where: str) -> None:
        self.root = root
        self.source = source
        self.where = where

    def has(self, name: str) -> bool:
        """Whether the folder holds a file or folder of that name."""
        return (self.root / name).exists()

    def lines(self, name: str) -> list[str]:
        """Return the lines that are not empty."""
        try:
            text = self._path(name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(name, f"could not be read: {error}") from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def by_id(self, name: str, n_fields: int = 1) -> dict[str, list[str]]:
        """Return ``{first field: the others}`` of lines of 1 + ``n_fields`` fields."""
        found: dict[str, list[str]] = {}
        for number, line in enumerate(self.lines(name), 1):
            key, *fields = line.split(maxsplit=n_fields)
            if len(fields) != n_fields:
                raise self.error(name, f"must have {1 + n_fields} fields in line {number}: {line}")
            if key in found:
                raise self.error(name, f"names {key} twice, again in line {number}")
            found[key] = fields
        return found

    def json(self, name: str) -> Any:
        """Return the content of a JSON file."""
        try:
            return json.loads(self._path(name).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise self.error(name, f"could not be read as JSON: {error}") from error

    def _path(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise self.error(name, "is missing")
        return path

    def error(self, name: str, what: str) -> DataFileError:
        """Return the error that a file of the set ``what``: "is missing", for instance."""
        return DataFileError(
            f"{self.where} needs the official files, but {name!r} in {str(self.root)!r} {what}. "
            f"Get it from {self.source}."
        )
