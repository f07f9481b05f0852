"""``audit_counts``: the audit of a table of counts, without the rows behind it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import as_column, check_same_length
from isonomy.auditing._audit import Progress, RandomState, check_numbers, judge_inputs
from isonomy.auditing._inputs import read_inputs
from isonomy.auditing.result import AuditResult
from isonomy.errors import InvalidInputError
from isonomy.groups import MissingValues

__all__ = ["audit_counts"]

WHERE = "audit_counts"


def audit_counts(
    y_true: Any,
    y_pred: Any,
    counts: ArrayLike,
    *,
    sensitive_features: Any,
    control_features: Any = None,
    reference_group: Hashable | None = None,
    n_boot: int = 10_000,
    min_cell: int = 10,
    random_state: RandomState = 0,
    pos_label: Hashable | None = None,
    missing_groups: MissingValues = "raise",
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> AuditResult:
    """Judge predictions by group, from how often each combination of values occurred.

    Parameters
    ----------
    y_true, y_pred : (n_combinations,)
        Labels. A combination may occur more than once; its counts are added.
    counts : (n_combinations,)
        Rows of every combination: whole numbers, at least 1.
    sensitive_features : (n_combinations,) or (n_combinations, n_attributes)
        Groups.
    control_features : (n_combinations,) or (n_combinations, n_controls), optional
        The disparities are also measured among the rows of each level.
    reference_group, n_boot, min_cell, random_state, pos_label, missing_groups, confidence
        As in :func:`isonomy.audit`; ``min_cell`` is a number of rows.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Returns
    -------
    AuditResult
        What ``audit`` returns for the rows themselves at the same ``random_state``, number
        for number: without scores and weights it looks at nothing but these counts.

    Raises
    ------
    InvalidInputError
        If lengths differ, a count is below 1 or fractional, or fewer than two groups have
        ``min_cell`` rows.
    MissingGroupValuesError
        If groups are missing and ``missing_groups="raise"``.

    Examples
    --------
    >>> found = audit_counts(
    ...     [0, 1, 0, 1], [0, 1, 0, 1], [20, 20, 30, 10],
    ...     sensitive_features=["a", "a", "b", "b"], n_boot=200,
    ... )
    >>> found.to_dict()["n_samples"], found.overall["accuracy"]["value"]
    (80, 1.0)
    """
    check_numbers(n_boot, min_cell, confidence, where=WHERE)
    copies = _whole_counts(counts, len(as_column(y_true)))
    inputs = read_inputs(
        y_true,
        y_pred,
        sensitive_features=sensitive_features,
        y_score=None,
        control_features=control_features,
        sample_weight=None,
        missing_groups=missing_groups,
        min_cell=int(min_cell),
        where=WHERE,
        copies=copies,
    )
    return judge_inputs(
        inputs,
        reference_group=reference_group,
        n_boot=n_boot,
        min_cell=min_cell,
        random_state=random_state,
        pos_label=pos_label,
        confidence=confidence,
        progress=progress,
    )


def _whole_counts(counts: ArrayLike, n: int) -> NDArray[np.intp]:
    numbers = np.asarray(as_column(counts))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise InvalidInputError(
            f"`counts` passed to `{WHERE}` must hold one whole number a combination, got "
            f"{numbers.dtype} of shape {numbers.shape}."
        )
    check_same_length("counts", len(numbers), n, where=WHERE, of="y_true")
    whole = np.asarray(numbers, dtype=np.float64)
    if not (np.isfinite(whole).all() and (whole >= 1).all() and (whole == np.rint(whole)).all()):
        raise InvalidInputError(
            f"`counts` passed to `{WHERE}` must be whole numbers of at least 1, got values from "
            f"{whole.min()} to {whole.max()}. Leave out combinations that did not occur; "
            "weighted rows go to `audit` itself."
        )
    return numbers.astype(np.intp)
