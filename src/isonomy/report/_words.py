"""Fixed wording: group use, legal notice, names of metrics, how to read the page."""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = [
    "GROUP_USE",
    "GROUP_USE_SHORT",
    "HOW_TO_READ",
    "LEGAL_NOTICE",
    "LEGAL_NOTICE_TITLE",
    "clean",
    "clean_result",
    "metric_name",
]

GROUP_USE_SHORT: dict[str, str] = {
    "none": "no",
    "blind": "no (blind)",
    "given": "yes (given)",
    "inferred": "guessed (inferred)",
}
"""Answers to "does the decision use the group?", for tables and charts."""

GROUP_USE: dict[str, str] = {
    "none": "No. The group is neither asked for nor guessed when a decision is made.",
    "blind": "No. Groups were used while fitting; when a decision is made the group is "
    "neither asked for nor guessed.",
    "given": "Yes. The group of every person must be given when a decision is made, and "
    "equal rows of two groups may be decided differently.",
    "inferred": "Yes, as a guess. The group is inferred from the features when a decision "
    "is made; guesses are never written per person.",
}

LEGAL_NOTICE_TITLE = "Deciding by group may be unlawful"
LEGAL_NOTICE = (
    "Maps, thresholds or score offsets that depend on a person's group may be unlawful in some "
    "places and uses. In the United States, the Civil Rights Act of 1991, section 106, forbids "
    "adjusting scores of employment tests by group, and the Equal Credit Opportunity Act with "
    "Regulation B restricts the use of protected traits in credit. In the European Union, GDPR "
    "Articles 9 and 22 restrict processing special categories of data and automated decisions, "
    "and Article 10(5) of the AI Act sets narrow conditions under which such data may be "
    "processed to detect and correct bias. This is not legal advice: ask counsel before using "
    "a method that uses or infers groups, and before collecting them."
)

HOW_TO_READ: tuple[tuple[str, str], ...] = (
    (
        "True positive rate (TPR).",
        "Of the rows that truly belong to a class, the share that the classifier finds. A TPR "
        "gap is one group's TPR minus the reference group's, in percentage points.",
    ),
    (
        "Typical gap (rms TPR gap).",
        "The root mean square of the TPR gaps over classes: 0 means every class is found "
        "equally often in both groups. With three or more groups it is that of the worst pair.",
    ),
    (
        "Precision-weighted.",
        "Classes count in proportion to how precisely their gap is measured, so the number "
        "speaks of the classes most people are in. Rare classes are listed apart.",
    ),
    (
        "Plain and corrected.",
        "The plain gap is biased upwards: with few rows it is positive even where groups are "
        "treated alike. The corrected gap subtracts that noise; a corrected value below 0 "
        "means less difference than chance alone would give.",
    ),
    (
        "Intervals.",
        "Bootstrap intervals of the corrected gap. They speak of these test rows, of this one "
        "fitted classifier and this one split.",
    ),
    (
        "No gap detected.",
        "When labels of groups were shuffled within classes, gaps at least as large came up in "
        "more than 5 % of shuffles. It is not a proof that there is none.",
    ),
)

_METRICS: dict[str, str] = {
    "accuracy": "Accuracy",
    "accuracy_difference": "Accuracy difference",
    "balanced_accuracy": "Balanced accuracy",
    "calibration_error": "Calibration error",
    "demographic_parity_difference": "Demographic parity difference",
    "demographic_parity_ratio": "Demographic parity ratio",
    "equal_opportunity_difference": "Equal opportunity difference",
    "equalized_odds_difference": "Equalized odds difference",
    "false_positive_rate": "False positive rate",
    "log_loss": "Log loss (nats)",
    "macro_f1": "Macro F1",
    "mean_score_minus_rate": "Mean score minus rate",
    "roc_auc": "Area under the ROC curve",
    "rms_tpr_gap": "Typical TPR gap, classes equal",
    "rms_tpr_gap_precision": "Typical TPR gap, precision-weighted",
    "selection_rate": "Selection rate",
    "tpr_gap": "TPR gap",
    "true_positive_rate": "True positive rate",
}


_CODE_KEYS = {"command", "python"}
_NAME_KEYS = {"class", "classes", "column", "group", "label", "level", "name"}


def metric_name(name: Any) -> str:
    """Return the words for a metric's key; unknown keys lose their underscores."""
    known = _METRICS.get(str(name))
    return known or clean(str(name).replace("_", " ")).capitalize()


def clean(value: Any) -> str:
    """Return a name as one line of printable text: no control or format characters.

    Zero-width joiners stay, for they build emoji and scripts; what reorders or
    hides text (bidirectional overrides, NUL, line breaks) does not. A text with right-to-left
    letters is isolated, so that what stands around it keeps its order.
    """
    text = "".join(_printable(c) for c in str(value))
    text = " ".join(text.split())
    if any(unicodedata.bidirectional(c) in {"R", "AL"} for c in text):
        return "\N{FIRST STRONG ISOLATE}" + text + "\N{POP DIRECTIONAL ISOLATE}"
    return text


def clean_result(value: Any, key: str = "") -> Any:
    """Return a result with every string cleaned; lines of code keep their indent."""
    if isinstance(value, dict):
        return {str(k): clean_result(item, str(k)) for k, item in value.items()}
    if isinstance(value, list):
        return [clean_result(item, key) for item in value]
    if isinstance(value, str):
        if key in _CODE_KEYS:
            return "".join(_printable(c) for c in value.replace("\t", "    ")).rstrip()
        return clean(value) or ("(empty)" if key in _NAME_KEYS else "")
    return value


def _printable(character: str) -> str:
    if character in "\u200c\u200d":
        return character
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    return "" if category in {"Cf", "Cs", "Cn", "Co"} else character
