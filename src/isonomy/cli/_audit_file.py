"""Audit the predictions in a file: its columns to arrays, then one call of ``audit``.

A table of distinct rows with their copies, which is what is kept of a large file, goes to
``audit_counts``, whose result is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.auditing import AuditResult, audit
from isonomy.auditing._counted import audit_counts
from isonomy.cli.columns import (
    count_missing,
    read_groups,
    read_labels,
    read_numbers,
    require_column,
)
from isonomy.cli.tables import DataTable
from isonomy.errors import DataFileError

__all__ = ["audit_table", "require_audited"]


def audit_table(
    table: DataTable,
    *,
    label: str,
    prediction: str,
    groups: Sequence[str],
    score: str | None = None,
    control: Sequence[str] = (),
    pos_label: str | None = None,
    missing_groups: Literal["raise", "own_group"] = "raise",
    min_cell: int = 10,
    random_state: int = 0,
) -> AuditResult:
    """Audit ``prediction`` against ``label`` by the groups that ``groups`` cross.

    Raises
    ------
    DataFileError
        If a column is missing or cannot be read as what it must be.
    """
    require_audited(
        table, label=label, prediction=prediction, groups=groups, score=score, control=control
    )
    y_true, y_pred = read_labels(table, [label, prediction])
    _check_overlap(y_true, y_pred, label=label, prediction=prediction, table=table)
    if pos_label is not None:
        y_true, y_pred = _one_against_rest(y_true, y_pred, pos_label, label=label, table=table)
    found = read_groups(table, groups, missing=missing_groups)
    controls = read_groups(table, control, missing=missing_groups) if control else None
    if table.copies is not None:
        return audit_counts(
            y_true,
            y_pred,
            table.copies,
            sensitive_features=found,
            control_features=controls,
            min_cell=min_cell,
            random_state=random_state,
        )
    return audit(
        y_true,
        y_pred,
        sensitive_features=found,
        y_score=_read_score(table, score, y_true) if score else None,
        control_features=controls,
        min_cell=min_cell,
        random_state=random_state,
    )


def require_audited(
    table: DataTable,
    *,
    label: str,
    prediction: str,
    groups: Sequence[str],
    score: str | None,
    control: Sequence[str],
) -> None:
    """Raise unless the table has every column that an audit was told of.

    Raises
    ------
    DataFileError
        Naming the first one that is not there.
    """
    asked = {"--label": [label], "--prediction": [prediction], "--group": groups}
    asked |= {"--score": [score] if score else [], "--control": control}
    for option, names in asked.items():
        for name in names:
            require_column(table, name, option=option)


def _read_score(table: DataTable, name: str, y_true: NDArray[Any]) -> NDArray[np.float64]:
    n_classes = len(set(y_true.tolist()))
    if n_classes > 2:
        raise DataFileError(
            f"--score is one column, so it needs 2 classes, but the label has {n_classes}. Add "
            "--pos-label with the class whose score it is."
        )
    column = read_numbers(table, name)
    n_missing = count_missing(column)
    if n_missing:
        raise DataFileError(
            f"The score column {name!r} of {table.path} must have a finite number in every row, "
            f"got {n_missing} missing of {len(column)}. Drop those rows."
        )
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _one_against_rest(
    y_true: NDArray[Any], y_pred: NDArray[Any], pos_label: str, *, label: str, table: DataTable
) -> tuple[NDArray[Any], NDArray[Any]]:
    names = {str(v) for v in y_true.tolist()}
    if pos_label not in names:
        raise DataFileError(
            f"--pos-label names {pos_label!r}, which the label {label!r} of {table.path} never "
            f"is; its values are {_some(names)}."
        )
    # the positive class of a binary audit is the one that sorts last
    rest = f"(not {pos_label})"
    rest = rest if rest < pos_label else f" {rest}"
    binary = [
        np.array([pos_label if str(v) == pos_label else rest for v in y], dtype=object)
        for y in (y_true.tolist(), y_pred.tolist())
    ]
    return binary[0], binary[1]


def _check_overlap(
    y_true: NDArray[Any], y_pred: NDArray[Any], *, label: str, prediction: str, table: DataTable
) -> None:
    truths, guesses = set(y_true.tolist()), set(y_pred.tolist())
    if truths & guesses:
        return
    raise DataFileError(
        f"The columns {label!r} and {prediction!r} of {table.path} share no value: labels are "
        f"{_some(truths)}, predictions are {_some(guesses)}. Predictions must be labels; a "
        "probability goes to --score."
    )


def _some(values: set[Any]) -> str:
    shown = sorted(map(str, values))
    return ", ".join(shown[:4]) + (", ..." if len(shown) > 4 else "")
