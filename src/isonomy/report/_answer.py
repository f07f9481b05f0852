"""The answer up front: a few tiles and three to five plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isonomy.report._document import Tile
from isonomy.report._numbers import (
    UNDEFINED,
    confidence,
    count,
    is_number,
    p_value,
    per_cent,
    points,
)

__all__ = [
    "ALPHA",
    "Method",
    "answer_sentences",
    "answer_tiles",
    "gap_interval",
    "gap_of",
    "gap_text",
    "noise_free",
]

Method = Mapping[str, Any]

ALPHA = 0.05
"""Above this p-value of the permutation test no gap is said to be detected."""

BELOW_NOISE = "below noise"
_NO_GROUP = {"none", "blind"}
_AT_PREDICTION = {
    "none": "does not look at groups at all when it decides",
    "blind": "used groups while it was fitted, but neither asks for nor guesses a group when it "
    "decides",
    "given": "needs the group of every person when it decides",
    "inferred": "guesses the group of every person when it decides",
}


def gap_of(method: Method) -> Mapping[str, Any]:
    """Return the precision-weighted rms TPR gap of a method, empty if there is none."""
    entry: Mapping[str, Any] = (method.get("gap") or {}).get("rms_tpr_gap_precision") or {}
    return entry


def noise_free(entry: Mapping[str, Any]) -> float | None:
    """Return the corrected gap, not below 0; the plain one where it is missing."""
    for key in ("corrected", "value"):
        if is_number(entry.get(key)):
            return max(0.0, float(entry[key]))
    return None


def gap_text(entry: Mapping[str, Any]) -> str:
    """Return the corrected gap in points; "below noise" when it is not above 0."""
    value = noise_free(entry)
    if value is None:
        return UNDEFINED
    return BELOW_NOISE if value == 0 else points(value)


def gap_interval(entry: Mapping[str, Any]) -> str:
    """Return "4.0 to 7.5" in points; no gap is below 0, so neither are the ends."""
    low, high = entry.get("low"), entry.get("high")
    if not is_number(low) or not is_number(high) or low is None or high is None:
        return UNDEFINED
    return BELOW_NOISE if high <= 0 else f"{points(max(0.0, low))} to {points(high)}"


def _accuracy(method: Method) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = (method.get("utility") or {}).get("accuracy") or {}
    return entry


def answer_tiles(before: Method | None, after: Method) -> tuple[Tile, ...]:
    """Return the typical gap, accuracy, and use of groups, before and after."""
    gap = gap_of(after)
    remark = _detected(gap)
    if gap_interval(gap) != UNDEFINED:
        remark += f"; {confidence(after.get('audit') or {})} interval {gap_interval(gap)}"
    tiles = [
        Tile(
            "Typical gap between groups, in points",
            gap_text(gap_of(before)) if before else None,
            gap_text(gap),
            remark,
        ),
        Tile(
            "Accuracy, in %",
            per_cent(_accuracy(before).get("value")) if before else None,
            per_cent(_accuracy(after).get("value")),
            _accuracy_remark(after),
        ),
    ]
    use = {"none": "no", "blind": "no", "given": "yes", "inferred": "guessed"}
    tiles.append(
        Tile(
            "Does a decision use the group?",
            use.get(str(before.get("group_use"))) if before else None,
            use.get(str(after.get("group_use")), UNDEFINED),
            {
                "none": "never looks at groups",
                "blind": "blind: groups only while fitting",
                "given": "given: needed for every decision",
                "inferred": "inferred from the features",
            }.get(str(after.get("group_use")), ""),
        )
    )
    return tuple(tiles)


def _detected(gap: Mapping[str, Any]) -> str:
    p = gap.get("p_value")
    if not is_number(p) or p is None:
        return "not tested"
    verdict = "no gap detected" if p > ALPHA else "a gap is detected"
    return f"{verdict} ({p_value(p)})"


def _accuracy_remark(method: Method) -> str:
    entry = _accuracy(method)
    if not is_number(entry.get("low")) or not is_number(entry.get("high")):
        return "of the test rows decided rightly"
    level = confidence(method.get("audit") or {})
    return f"{level} interval {per_cent(entry['low'])} to {per_cent(entry['high'])}"


def answer_sentences(
    before: Method | None,
    after: Method,
    others: Sequence[Method],
    *,
    n_test: Any,
    n_rare: int,
    n_missing: int,
    changes: str = "",
) -> list[tuple[str, str]]:
    """Return (head, sentence) pairs: before, after, accuracy, the group, the limits."""
    items = []
    if before is not None:
        items.append((f"Before ({before['label']}):", _gap_sentence(before)))
    head = f"After ({after['label']}):" if before is not None else f"{after['label']}:"
    items.append((head, _gap_sentence(after)))
    if before is not None and is_number(_accuracy(before).get("value")):
        items.append(("Accuracy:", _price(before, after)))
    items.append(("The group:", _group_sentence(after, others)))
    limits = f"{changes} {_limits_sentence(n_test, n_rare, n_missing)}".strip()
    items.append(("The limits:", limits))
    return items


def _gap_sentence(method: Method) -> str:
    gap, level = gap_of(method), confidence(method.get("audit") or {})
    value, p, span = noise_free(gap), gap.get("p_value"), gap_interval(gap)
    if value is None:
        return f"the gap between groups could not be estimated: {gap.get('reason') or 'see below'}."
    if is_number(p) and p is not None and p > ALPHA:
        high = gap.get("high")
        room = ""
        if is_number(high) and high is not None and high > 0:
            room = f" A typical gap of up to {points(high)} points would still fit the data."
        return f"no difference between groups was detected beyond chance ({p_value(p)}).{room}"
    size = "by less than its own noise" if value == 0 else f"typically by {points(value)} points"
    detail = [f"{level} interval {span}"] if span != UNDEFINED else []
    detail += [p_value(p)] if p_value(p) != UNDEFINED else []
    brackets = f" ({'; '.join(detail)})" if detail else ""
    return (
        "of the people who truly belong to a class, the share that is found differs between "
        f"groups, {size}{brackets}."
    )


def _price(before: Method, after: Method) -> str:
    old, new = _accuracy(before).get("value"), _accuracy(after).get("value")
    if not is_number(new) or new is None or old is None:
        return "it could not be estimated afterwards."
    change = 100 * (new - old)
    if abs(change) < 0.05:
        return f"it stays at {per_cent(new)}%."
    verb = "falls" if change < 0 else "rises"
    return f"it {verb} from {per_cent(old)}% to {per_cent(new)}%."


def _group_sentence(after: Method, others: Sequence[Method]) -> str:
    use = str(after.get("group_use"))
    label = str(after["label"])
    text = f"{label} {_AT_PREDICTION.get(use, 'does not say whether it uses groups')}."
    if use in _NO_GROUP:
        return text
    blind = [
        m for m in others if m.get("group_use") in _NO_GROUP and noise_free(gap_of(m)) is not None
    ]
    if not blind:
        return text
    best = min(blind, key=lambda m: (noise_free(gap_of(m)), gap_of(m).get("value") or 0.0))
    value, accuracy = gap_text(gap_of(best)), per_cent(_accuracy(best).get("value"))
    unit = " points" if value != BELOW_NOISE else ""
    return (
        f"{text} Among the methods that need no group for that, the smallest typical gap is "
        f"{value}{unit} ({best['label']}, accuracy {accuracy}%)."
    )


def _limits_sentence(n_test: Any, n_rare: int, n_missing: int) -> str:
    text = f"All this is measured on {count(n_test)} test rows of one split."
    if n_rare:
        classes = "1 class is" if n_rare == 1 else f"{n_rare} classes are"
        text += f" {classes} too rare to be judged alone and listed apart."
    if n_missing:
        things = "1 thing" if n_missing == 1 else f"{n_missing} things"
        text += f" {things} could not be estimated; the reasons are given below."
    return text
