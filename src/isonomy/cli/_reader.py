"""How a command reads its file: at once where it is small, in batches where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isonomy.cli._batches import BATCH_ROWS, BatchFile, open_batches, wants_batches
from isonomy.cli.exits import complain
from isonomy.cli.tables import DataTable, read_table

__all__ = ["Reader"]


@dataclass(frozen=True)
class Reader:
    """The options of reading: ``batch_rows`` is None to go by the file's size, 0 for never."""

    path: Path
    encoding: str = "utf-8"
    delimiter: str | None = None
    batch_rows: int | None = None
    resume: bool = False

    @property
    def size(self) -> int:
        """Rows of a batch."""
        return self.batch_rows or BATCH_ROWS

    def in_batches(self) -> bool:
        """Whether to read in batches: as asked, or because the file is large."""
        return wants_batches(self.path, self.batch_rows)

    def at_once(self) -> DataTable:
        """Return all rows; nothing is kept of a run that is over so soon."""
        if self.resume:
            complain("--resume: this file is read at once, so there is nothing to go on with.")
        return read_table(self.path, encoding=self.encoding, delimiter=self.delimiter)

    def batches(self) -> BatchFile:
        """Return the file with its rows still on disk."""
        return open_batches(self.path, encoding=self.encoding, delimiter=self.delimiter)
