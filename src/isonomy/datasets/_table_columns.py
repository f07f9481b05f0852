"""From the text of a published table to labels, groups and features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice
from isonomy.datasets._table_files import TextTable
from isonomy.datasets._table_specs import Attribute, TableSpec
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["attribute_of", "feature_columns", "kept_rows", "spelled_groups", "target_of"]

MISSING = "missing"
"""The category of an empty cell or a question mark."""


def attribute_of(spec: TableSpec, sensitive: str | None, where: str) -> Attribute:
    """Return the attribute that serves as groups."""
    if sensitive is None:
        return spec.attributes[0]
    known = {attribute.column: attribute for attribute in spec.attributes}
    check_choice("sensitive", sensitive, tuple(known), where=where)
    return known[sensitive]


def _column(table: TextTable, name: str, where: str) -> NDArray[np.object_]:
    if name not in table.columns:
        raise DataFileError(
            f"{where} needs the column {name!r}, but {str(table.path)!r} has "
            f"{', '.join(list(table.columns)[:20])}. Is it the published file?"
        )
    return table.columns[name]


def spelled_groups(values: NDArray[np.object_], attribute: Attribute) -> NDArray[np.str_]:
    """Return the groups in words, missing ones as a group of their own."""
    spelled = [attribute.names.get(v, v) for v in values.tolist()]
    return np.array([v if v not in ("", "?") else MISSING for v in spelled])


def kept_rows(
    table: TextTable,
    spec: TableSpec,
    attribute: Attribute,
    groups: Sequence[str] | None,
    where: str,
) -> NDArray[np.intp]:
    """Return the rows that pass the filter of the table and are of the wanted groups."""
    for name in spec.filter_columns:
        _column(table, name, where)
    try:
        keep = np.ones(table.n_rows, dtype=bool) if spec.keep is None else spec.keep(table.columns)
    except ValueError as error:
        raise DataFileError(
            f"{where} needs numbers in the columns that it filters {str(table.path)!r} by "
            f"({', '.join(spec.filter_columns)}): {error}. Is it the published file?"
        ) from error
    people = spelled_groups(_column(table, attribute.column, where), attribute)
    if groups is not None:
        known = np.unique(people[keep]).tolist()
        strangers = [g for g in groups if g not in known]
        if isinstance(groups, str) or strangers or not len(groups):
            raise InvalidInputError(
                f"`groups` passed to `{where}` must list groups of {attribute.column!r} among "
                f"{', '.join(known)}, got {groups!r}."
            )
        keep = keep & np.isin(people, list(groups))
    return np.flatnonzero(keep)


def target_of(
    table: TextTable, spec: TableSpec, kept: NDArray[np.intp], where: str
) -> NDArray[np.intp]:
    """Return labels of 0 and 1 for the kept rows."""
    names = [name for name in spec.label_columns if name in table.columns]
    texts = _column(table, (names or list(spec.label_columns))[0], where)[kept]
    strangers = sorted(set(texts.tolist()) - set(spec.label))
    if strangers:
        raise DataFileError(
            f"{where} knows the labels {', '.join(spec.label)}, but {str(table.path)!r} also has "
            f"{strangers[0]!r}. Is it the published file?"
        )
    return np.array([spec.label[text] for text in texts.tolist()], dtype=np.intp)


def feature_columns(
    table: TextTable,
    spec: TableSpec,
    kept: NDArray[np.intp],
    hidden: Sequence[str],
    where: str,
) -> dict[str, NDArray[Any]]:
    """Return the features of the kept rows before encoding, less the hidden columns."""
    numeric = spec.numeric
    if numeric is None:
        others = {*spec.label_columns, *spec.left_out, *spec.categorical}
        numeric = tuple(name for name in table.columns if name not in others)
    chosen = [name for name in (*numeric, *spec.categorical) if name not in hidden]
    columns: dict[str, NDArray[Any]] = {}
    for name in chosen:
        texts = _column(table, name, where)[kept]
        if name in spec.categorical:
            columns[name] = np.where(np.isin(texts, ["", "?"]), MISSING, texts).astype(str)
        else:
            columns[name] = _numbers(texts, name, table, where)
    return columns


def _numbers(
    texts: NDArray[np.object_], name: str, table: TextTable, where: str
) -> NDArray[np.float64]:
    try:
        values = texts.astype(np.float64)
    except ValueError as error:
        raise DataFileError(
            f"{where} needs numbers in the column {name!r} of {str(table.path)!r}: {error}. Is it "
            "the published file?"
        ) from error
    if not np.isfinite(values).all():
        raise DataFileError(
            f"{where} needs finite numbers in the column {name!r} of {str(table.path)!r}."
        )
    return values
