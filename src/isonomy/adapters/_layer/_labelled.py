"""Texts with the classes they carry, as codes: one class a text, or a list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import is_missing
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._sources import Source, open_source
from isonomy.hidden_states._collect._text_data import Example

__all__ = ["Labelled", "LabelledTexts", "checked_text", "membership", "read_labelled"]


class Labelled(NamedTuple):
    """One row: the text as `Example` (so that batchers read it) and the codes it carries."""

    example: Example
    codes: tuple[int, ...]


@dataclass(frozen=True)
class LabelledTexts:
    """Rows in the order of the data; iterating again starts again where the data can."""

    source: Source
    text: str
    label: str
    classes: tuple[str, ...]
    where: str

    @property
    def n_rows(self) -> int | None:
        """Number of rows, or None where only reading tells."""
        return self.source.n_rows

    def __iter__(self) -> Iterator[Labelled]:
        code_of = {name: i for i, name in enumerate(self.classes)}
        # what a data set calls its whole-number labels wins over their order
        names = self.source.names.get(self.label)
        wanted = list(dict.fromkeys((self.text, self.label)))
        for index, values in enumerate(self.source.read(wanted)):
            text, label = values[0], values[-1]
            if _is_missing_text(text):
                raise InvalidInputError(
                    f"Row {index} of `data` passed to `{self.where}` (counted from 0) has no text "
                    f"in {self.text!r}: got {text!r}. Drop the rows without text first."
                )
            codes = tuple(sorted({self._code(v, index, code_of, names) for v in _all(label)}))
            yield Labelled(Example(index, text, None, None), codes)

    def _code(
        self, value: Any, index: int, code_of: Mapping[str, int], names: tuple[str, ...] | None
    ) -> int:
        plain = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(plain, str):
            found = code_of.get(plain, -1)
        elif isinstance(plain, int | float) and not isinstance(plain, bool) and plain == plain // 1:
            found = int(plain)
            if names is not None and 0 <= found < len(names):
                found = code_of.get(names[found], -1)
        else:
            found = -1
        if not 0 <= found < len(self.classes):
            shown = ", ".join(map(repr, self.classes[:8])) + (", ..." * (len(self.classes) > 8))
            raise InvalidInputError(
                f"Row {index} of `data` passed to `{self.where}` (counted from 0) has the label "
                f"{plain!r} in {self.label!r}, which must be one of the classes ({shown}) or a "
                f"code from 0 to {len(self.classes) - 1}, or a list of such. Add it to `classes`, "
                "or drop the row."
            )
        return found


def read_labelled(
    data: Any, *, text: str, label: str, classes: tuple[str, ...], where: str
) -> LabelledTexts:
    """Open data of any kind that `read_examples` knows; labels may also be lists.

    Raises
    ------
    InvalidInputError
        If the data is of no such kind or a column is missing; while reading, if a row has no
        text or a label that is not among the classes: its number is named, counted from 0.
    """
    for name, column in (("text", text), ("label", label)):
        if not isinstance(column, str):
            raise InvalidInputError(
                f"`{name}` of `{where}` must be the name of a column, got {column!r}."
            )
    if isinstance(data, dict) and text in data and label in data:
        data = {text: data[text], label: data[label]}  # a Bunch holds more than its columns
    source = open_source(data, text=text, labels=(label,), split=None, where=where)
    missing = [name for name in (text, label) if name not in source.columns]
    if missing:
        raise InvalidInputError(
            f"`data` passed to `{where}` has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, source.columns)) or 'none'}."
        )
    return LabelledTexts(source, text, label, classes, where)


def membership(codes: Sequence[tuple[int, ...]], n_classes: int) -> NDArray[np.float64]:
    """Return 1 where a row carries a class and 0 elsewhere, ``(n, K)``."""
    carried = np.zeros((len(codes), n_classes))
    for row, own in enumerate(codes):
        carried[row, list(own)] = 1.0
    return carried


def _is_missing_text(text: Any) -> bool:
    """Whether a row has neither a text nor a picture."""
    if isinstance(text, str):
        return not text.strip()
    return text is None or (isinstance(text, float) and is_missing(text))


def checked_text(example: Example, *, where: str) -> str:
    """Return the text of a row that must be a string."""
    if isinstance(example.text, str):
        return example.text
    raise InvalidInputError(
        f"Row {example.row} of `data` passed to `{where}` (counted from 0) must hold a string as "
        f"its text, got {type(example.text).__name__}."
    )


def _all(label: Any) -> Iterable[Any]:
    """Return the labels of one row; an empty list is a text that carries none."""
    if isinstance(label, list | tuple | set | frozenset):
        return label
    if getattr(label, "ndim", 0) == 1:
        return list(label)
    return (label,)
