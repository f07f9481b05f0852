"""What ``isonomy finetune --fail-if`` may compare: measures over classes, and between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isonomy.cli._criteria import Criterion
from isonomy.errors import InvalidInputError

__all__ = ["check_criteria", "failed_criteria"]

_OF_CLASSES = (
    "head_tail_gap", "head_accuracy", "medium_accuracy", "tail_accuracy", "worst_class_recall",
    "accuracy", "balanced_accuracy", "macro_f1", "cobias", "recall_rsd", "bias_score",
)  # fmt: skip
_OF_GROUPS = (
    "rms_tpr_gap", "rms_tpr_gap_precision", "accuracy_difference", "equalized_odds_difference",
    "demographic_parity_difference", "equal_opportunity_difference",
)  # fmt: skip


def check_criteria(criteria: Sequence[Criterion], *, has_groups: bool) -> None:
    """Raise before any training if a criterion names what no result will have.

    Raises
    ------
    InvalidInputError
        Naming what there will be.
    """
    known = [*_OF_CLASSES, *(_OF_GROUPS if has_groups else ())]
    for criterion in criteria:
        if criterion.metric in known:
            continue
        needs_groups = criterion.metric in _OF_GROUPS
        hint = " That one needs --group." if needs_groups else ""
        raise InvalidInputError(
            f"--fail-if names {criterion.metric!r}, which this run will not have; it will have: "
            f"{', '.join(known)}.{hint}"
        )


def failed_criteria(result: Mapping[str, Any], criteria: Sequence[Criterion]) -> list[str]:
    """Return one sentence for every criterion that holds, or that nothing was measured for."""
    judged = result["judgements"][-1]
    rows = [*judged["measures"]]
    rows += [{"metric": name, **judged[name]} for name in _OF_CLASSES if name in judged]
    rows += [{"metric": f"{t['group']}_accuracy", **t} for t in judged["class_groups"]]
    why = judged["audit_reason"]
    found = (judged["audit"] or {}).get("disparities")
    rows += found or [{"metric": name, "value": None, "reason": why} for name in _OF_GROUPS]
    return [s for c in criteria if (s := c.judge({"disparities": rows}))]
