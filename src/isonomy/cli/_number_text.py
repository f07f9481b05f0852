"""Find the columns of text that hold only numbers, in a file too large for memory."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from isonomy.cli._batches import BatchFile
from isonomy.cli.columns import is_number_text, is_text
from isonomy.cli.tables import DataTable

__all__ = ["as_read"]


def as_read(file: BatchFile, features: str, *, exclude: Sequence[str], size: int) -> DataTable:
    """Return the file's columns without rows, text that holds only numbers as numbers.

    Only ``--features numeric`` asks what text holds; a column of words is known for one
    after its first batch.
    """
    schema = file.schema
    if features.strip() != "numeric" or "numeric" in file.names:
        return file.table(schema.empty_table())
    left = [n for n in file.names if is_text(schema.field(n).type) and n not in exclude]
    known: set[str] = set()
    while left:
        words = _first_words(file, left, known, size=size)
        if not words:
            break
        left = [n for n in left if n not in words]
    for name in known.intersection(left):
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.float64()))
    return file.table(schema.empty_table())


def _first_words(file: BatchFile, names: Sequence[str], known: set[str], *, size: int) -> set[str]:
    """Return the columns that the first batch with words shows to be no numbers."""
    for batch in file.batches(names, size=size):
        found = {name: is_number_text(batch.columns.column(name)) for name in names}
        known.update(name for name, numbers in found.items() if numbers)
        words = {name for name, numbers in found.items() if numbers is False}
        if words:
            return words
    return set()
