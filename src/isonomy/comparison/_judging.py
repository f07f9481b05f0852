"""One head on steered rows, and the numbers by which a set of predictions is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from isonomy._validation import as_column, check_labels
from isonomy._weighted_fit import fit_weighted
from isonomy.auditing import audit
from isonomy.errors import InvalidInputError
from isonomy.groups import kamiran_calders_weights
from isonomy.steering import IdealSteerer

__all__ = ["GAPS", "UTILITIES", "Judge", "fit_head", "new_steerer", "plain_or_none"]

GAPS = (
    "rms_tpr_gap_precision",
    "rms_tpr_gap",
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
)
UTILITIES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Judge:
    """How predictions are audited."""

    n_boot: int
    min_cell: int
    reference_group: Any
    random_state: int

    def audit(self, y_true: Any, predicted: Any, groups: Any, *, where: str) -> dict[str, Any]:
        """Return the audit as plain values."""
        return audit(
            check_labels(y_true, where=where, name="y_test"),
            as_column(predicted),
            sensitive_features=groups,
            reference_group=self.reference_group,
            n_boot=self.n_boot,
            min_cell=self.min_cell,
            random_state=self.random_state,
        ).to_dict()


def fit_head(
    estimator: Any, rows: Any, y: NDArray[Any], groups: Any, *, reweigh: bool, where: str
) -> Any:
    """Fit a clone of ``estimator``, on Kamiran-Calders weights if asked."""
    weight = kamiran_calders_weights(y, sensitive_features=groups) if reweigh else None
    return fit_weighted(clone(estimator), rows, y, weight, where=where)


def new_steerer(steerer: Any, random_state: int, *, where: str) -> Any:
    """Return an unfitted steerer that infers groups.

    Raises
    ------
    InvalidInputError
        If ``steerer`` is no ``IdealSteerer`` with ``groups="infer"``.
    """
    if steerer is None:
        return IdealSteerer(groups="infer", random_state=random_state)
    if not isinstance(steerer, IdealSteerer) or steerer.groups != "infer":
        got = f"groups={steerer.groups!r}" if isinstance(steerer, IdealSteerer) else repr(steerer)
        raise InvalidInputError(
            f"`steerer` passed to `{where}` must be an `IdealSteerer` with "
            f'`groups="infer"`, got {got}.'
        )
    if steerer.group_columns is not None:
        raise InvalidInputError(
            f"`steerer` passed to `{where}` must get its groups from `groups_train`, got "
            f"group_columns={steerer.group_columns!r}. Take the groups out of X first."
        )
    return clone(steerer)


def plain_or_none(value: Any) -> float | None:
    """Return a number for JSON; what is undefined becomes None."""
    return None if value is None or not np.isfinite(value) else float(value)
