"""Check what ``audit`` was given, and decide whose rows are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice, check_sample_weight
from isonomy.auditing._columns import encode_columns
from isonomy.auditing._small_groups import Shown, show_groups
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, MissingValues
from isonomy.metrics._counts import read_rows
from isonomy.metrics.scores import check_scores

__all__ = ["Inputs", "read_inputs"]

Columns = list[tuple[str, GroupCodes]]


@dataclass(frozen=True)
class Inputs:
    """Rows that are used, and for each of them its columns, controls and score.

    ``marginals`` are the sensitive columns, each alone, if there are several. ``score`` is
    1-D for two classes, else ``(n_rows, n_classes)``.
    """

    shown: Shown
    marginals: Columns
    controls: Columns
    score: NDArray[np.float64] | None


def read_inputs(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    y_score: Any,
    control_features: Any,
    sample_weight: ArrayLike | None,
    missing_groups: MissingValues,
    min_cell: int,
    where: str,
    copies: NDArray[np.intp] | None = None,
) -> Inputs:
    """Check everything; leave out rows of weight 0 and of groups too small to show.

    With ``copies`` every entry stands for so many rows, at least 1.

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value, or fewer than two groups are
        large enough.
    """
    check_choice("missing_groups", missing_groups, ("raise", "own_group"), where=where)
    rows = read_rows(
        y_true, y_pred, sensitive_features, None, where=where, min_groups=2, missing=missing_groups
    )
    n = len(rows.true)
    rows = replace(rows, copies=copies)
    marginals = encode_columns(
        sensitive_features, n, name="sensitive_features", missing=missing_groups, where=where
    )
    controls: Columns = []
    if control_features is not None:
        controls = encode_columns(
            control_features, n, name="control_features", missing=missing_groups, where=where
        )
    score = None
    if y_score is not None:
        score = check_scores(y_score, n, len(rows.classes), where=where)
        if score.ndim == 2 and score.shape[1] == 2:
            score = score[:, 1]
    weight = check_sample_weight(sample_weight, n, where=where)
    used = np.arange(n)
    if weight is not None:
        rows, used = replace(rows, weight=weight).take(weight > 0), np.flatnonzero(weight > 0)
    shown = show_groups(rows, min_cell)
    used = used[shown.kept]
    _check_two_groups(shown, min_cell, where=where)
    return Inputs(
        shown=shown,
        marginals=_take(marginals, used) if len(marginals) > 1 else [],
        controls=_take(controls, used),
        score=None if score is None else score[used],
    )


def _take(columns: Columns, used: NDArray[np.intp]) -> Columns:
    return [(name, GroupCodes(codes.labels, codes.codes[used])) for name, codes in columns]


def _check_two_groups(shown: Shown, min_cell: int, *, where: str) -> None:
    if len(shown.rows.groups) < 2:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` must hold at least 2 groups of "
            f"`min_cell` ({min_cell}) rows, got {len(shown.rows.groups)} once small groups were "
            "pooled. Lower `min_cell` if that discloses nobody, or pool groups yourself."
        )
