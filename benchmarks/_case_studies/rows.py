"""Real tables for the studies that judge on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from _case_studies.numeric import continuous_columns, drawn_apart
from isonomy import audit
from isonomy.datasets import load_table
from isonomy.errors import DataFileError

__all__ = ["GROUPS", "Halves", "halves", "judge_rows"]

Floats = NDArray[np.float64]

# four of the races in COMPAS have 11 to 509 rows: too few for cells of their own
GROUPS: dict[str, list[str]] = {"compas": ["African-American", "Caucasian"]}

GAPS = {"dp": "demographic_parity_difference", "eodds": "equalized_odds_difference"}


@dataclass(frozen=True)
class Halves:
    """A table in two halves of equal composition."""

    name: str
    title: str
    columns: tuple[str, ...]
    X: Floats
    y: NDArray[Any]
    groups: NDArray[Any]
    X_test: Floats
    y_test: NDArray[Any]
    groups_test: NDArray[Any]


def halves(
    name: str, folder: Path, seed: int, n_rows: int | None = None, *, continuous: bool = False
) -> Halves | str:
    """Return one half to fit on and one to judge on, or why the table cannot be read.

    Rows are dealt within (label, group) cells; ``n_rows`` keeps only so many of them.
    ``continuous`` keeps the columns to which a density can be fitted, in their own units,
    ties drawn apart; otherwise all columns, one-hot and standardised on the first half.
    """
    try:
        table = load_table(name, folder, min_frequency=0.01, groups=GROUPS.get(name))
    except DataFileError as error:
        return " ".join(str(error).split())
    cells = np.char.add(table.target.astype(str), table.sensitive_features)
    kept = np.arange(len(cells))
    if n_rows is not None and n_rows < len(cells):
        kept, _ = train_test_split(
            kept, train_size=n_rows, stratify=cells, random_state=seed, shuffle=True
        )
    first, second = train_test_split(
        kept, test_size=0.5, stratify=cells[kept], random_state=seed, shuffle=True
    )
    if continuous:
        columns = continuous_columns(table.columns)
        values = [drawn_apart(table.columns[c], seed + i) for i, c in enumerate(columns)]
        rows = np.column_stack(values)
        X, X_test = rows[first], rows[second]
    else:
        columns = list(table.feature_names)
        X, X_test = _standardised(table.data, first, second)
    y, groups = table.target, table.sensitive_features
    title = f"{table.description.splitlines()[0].rstrip('?')} ({table.sensitive_name})?"
    dealt = X, y[first], groups[first], X_test, y[second], groups[second]
    return Halves(name, title, tuple(columns), *dealt)


def _standardised(data: Floats, first: Any, second: Any) -> tuple[Floats, Floats]:
    # a column that happens to be constant in the first half tells nothing and has no scale
    varies = data[first].std(axis=0) > 0
    scaler = StandardScaler().fit(data[first][:, varies])
    return scaler.transform(data[first][:, varies]), scaler.transform(data[second][:, varies])


def judge_rows(y: Any, predicted: Any, groups: Any, n_boot: int) -> dict[str, Any]:
    """Return accuracy and gaps on rows, each with its 95 % interval."""
    found = audit(y, predicted, sensitive_features=groups, n_boot=n_boot, random_state=0).to_dict()
    accuracy = found["overall"]["accuracy"]
    told = {"accuracy": [accuracy["value"], accuracy["low"], accuracy["high"]]}
    for short, metric in GAPS.items():
        gap = next(d for d in found["disparities"] if d["metric"] == metric)
        told[short] = [gap["value"], gap["low"], gap["high"]]
    return told
