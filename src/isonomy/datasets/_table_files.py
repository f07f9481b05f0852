"""Find and read the published text files of a data set; the ``csv`` module alone does it."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import DataFileError

__all__ = ["FOLDER_VARIABLE", "TextFile", "TextTable", "find_file", "read_text_table"]

FOLDER_VARIABLE = "ISONOMY_DATA"
"""The environment variable that names the folder of data sets when none is passed."""


@dataclass(frozen=True)
class TextFile:
    """One layout in which a data set is published.

    ``header`` is None where the first line holds the column names. ``more`` are files of
    the same layout whose rows follow when they lie beside ``name``. Lines that start with
    ``comment`` are skipped.
    """

    name: str
    delimiter: str = ","
    header: tuple[str, ...] | None = None
    more: tuple[str, ...] = ()
    comment: str | None = None


@dataclass(frozen=True)
class TextTable:
    """Columns of str, ``(n_rows,)`` each, and where they came from."""

    columns: dict[str, NDArray[np.object_]]
    path: Path

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.columns.values())))


def find_file(
    folder: str | os.PathLike[str] | None,
    inside: str,
    layouts: Sequence[TextFile],
    *,
    source: str,
    where: str,
) -> tuple[Path, TextFile]:
    """Return the first file of ``layouts``, in ``folder/inside`` or in ``folder`` itself.

    Raises
    ------
    DataFileError
        If no folder is named, it is not there, or it holds none of the files.
    """
    named = os.environ.get(FOLDER_VARIABLE) if folder is None else folder
    wanted = " or ".join(f"{layout.name}[.gz]" for layout in layouts)
    advice = f"Nothing is downloaded: get it from {source}."
    if not named:
        raise DataFileError(
            f"`folder` passed to `{where}` must be a folder that holds {inside}/{wanted}, got None "
            f"(and {FOLDER_VARIABLE} is not set). {advice}"
        )
    root = Path(named)
    if not root.is_dir():
        raise DataFileError(
            f"`folder` passed to `{where}` must be a folder that holds {inside}/{wanted}, but "
            f"{str(root)!r} is not a folder. {advice}"
        )
    for layout in layouts:
        for place in (root / inside, root):
            found = _plain_or_gzipped(place, layout.name)
            if found is not None:
                return found, layout
    raise DataFileError(
        f"`folder` passed to `{where}` must hold {wanted}, in {inside}/ or directly, but "
        f"{str(root)!r} holds neither. {advice}"
    )


def _plain_or_gzipped(place: Path, name: str) -> Path | None:
    files = (place / name, place / f"{name}.gz")
    return next((file for file in files if file.is_file()), None)


def read_text_table(path: Path, layout: TextFile, *, where: str) -> TextTable:
    """Read ``path``, and the files that belong to it, as columns of text.

    Raises
    ------
    DataFileError
        If a file cannot be read, is not UTF-8, has no rows, or a line has another number
        of fields than there are columns.
    """
    others = [_plain_or_gzipped(path.parent, name) for name in layout.more]
    names: list[str] | None = None
    rows: list[list[str]] = []
    for file in [path, *(other for other in others if other is not None)]:
        try:
            names, found = _read_one(file, layout)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise DataFileError(
                f"{where} could not read {str(file)!r}, which must be a whole UTF-8 text file "
                f"(gzipped if it ends in .gz): {error}. Fetch it again."
            ) from error
        rows.extend(found)
    if names is None or not rows:
        raise DataFileError(f"{where} found no rows in {str(path)!r}. Fetch the file again.")
    # objects: texts of very different lengths would be padded to the longest
    columns = {
        name: np.array(values, dtype=object)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return TextTable(columns, path)


def _read_one(file: Path, layout: TextFile) -> tuple[list[str], list[list[str]]]:
    with _open_text(file) as text:
        lines = csv.reader(_wanted_lines(text, layout.comment), delimiter=layout.delimiter)
        header = next(lines, []) if layout.header is None else list(layout.header)
        names = _distinct([name.strip() for name in header])
        rows: list[list[str]] = []
        for fields in lines:
            if len(fields) != len(names):
                raise csv.Error(
                    f"record {len(rows) + 1} has {len(fields)} fields where there are "
                    f"{len(names)} columns"
                )
            rows.append([field.strip() for field in fields])
    return names, rows


def _open_text(file: Path) -> TextIOWrapper:
    # utf-8-sig: files that passed through a spreadsheet begin with a byte order mark
    if file.suffix == ".gz":
        return TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _wanted_lines(text: TextIOWrapper, comment: str | None) -> Iterator[str]:
    return (line for line in text if line.strip() and not (comment and line.startswith(comment)))


def _distinct(names: Sequence[str]) -> list[str]:
    """Mark repeated names: one published file has two columns of the same name twice."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        again = seen.get(name, 0)
        seen[name] = again + 1
        out.append(f"{name}.{again}" if again else name)
    return out
