"""``audit``: everything that can honestly be said about predictions, by group."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice, check_real, check_sample_weight
from isonomy._version import __version__
from isonomy.auditing._class_gaps import class_gaps_section, rare_section
from isonomy.auditing._columns import encode_columns
from isonomy.auditing._disparities import Settings, decide, disparities_section
from isonomy.auditing._rates import overall_section, rates_section, withheld_reason
from isonomy.auditing._scores import scores_section
from isonomy.auditing._small_groups import SMALL_GROUPS, Shown, show_groups
from isonomy.auditing.result import SCHEMA, AuditResult
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, MissingValues
from isonomy.metrics._choices import class_rows, reference_code
from isonomy.metrics._counts import LabelledRows, read_rows
from isonomy.metrics.scores import check_scores

__all__ = ["audit"]

Progress = Callable[[str, int, int], None]
RandomState = int | np.random.Generator | np.random.RandomState | None

WHERE = "audit"


def audit(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    y_score: Any = None,
    control_features: Any = None,
    sample_weight: ArrayLike | None = None,
    reference_group: Hashable | None = None,
    n_boot: int = 10_000,
    min_cell: int = 10,
    random_state: RandomState = 0,
    pos_label: Hashable | None = None,
    missing_groups: MissingValues = "raise",
    confidence: float = 0.95,
    progress: Progress | None = None,
) -> AuditResult:
    """Judge predictions by group: rates, differences, gaps, each with n and interval.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind. A label that only ``y_pred`` holds becomes a class without true
        rows.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups. Several columns are audited crossed with each other, and each alone.
    y_score : (n_samples,) or (n_samples, n_classes), optional
        Probabilities, columns in sorted order of the classes; 1-D for two classes, of the
        one that sorts last.
    control_features : (n_samples,) or (n_samples, n_controls), optional
        The disparities are also measured among the rows of each level.
    sample_weight : (n_samples,), optional
        Non-negative weights. Rates are weighted; intervals and the correction use Kish's
        effective sizes, p-values at most 999 shuffles of the rows.
    reference_group : label, optional
        What signed gaps are measured from; by default the largest group. With three groups
        or more, giving it limits the rms gaps to pairs with it.
    n_boot : int
        Replicates of the intervals and of the permutation tests, at least 100.
    min_cell : int
        Smallest number of rows that a number may be about. Smaller groups are pooled into
        "(small groups)", or left out if even that is too small; smaller cells are withheld.
    random_state : int, Generator, RandomState or None
        Where randomness comes from.
    pos_label : label, optional
        The class that demographic parity and equal opportunity look at; by default the
        last of two sorted classes, and all of three or more.
    missing_groups : "raise" or "own_group"
        What to do with rows whose group or control is missing.
    confidence : float
        In (0, 1): that of every interval.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Returns
    -------
    AuditResult
        ``to_dict()`` follows the schema in :mod:`isonomy.auditing.result`.

    Raises
    ------
    InvalidInputError
        If lengths differ, scores are NaN, or fewer than two groups have ``min_cell`` rows.
    MissingGroupValuesError
        If groups are missing and ``missing_groups="raise"``.

    Notes
    -----
    Single rates have Wilson intervals; gaps of one class Newcombe's, and Clopper-Pearson
    bounds that hold for all classes at once; largest differences a simultaneous bootstrap
    band; the rms gap its corrected bootstrap interval. The audit does not promise that an
    attacker with other data learns nothing about a person; it withholds small cells.

    Examples
    --------
    >>> y = [0, 1] * 40
    >>> found = audit(y, y, sensitive_features=["a", "a", "b", "b"] * 20, n_boot=200)
    >>> found.overall["accuracy"]["value"], found.decision["gap_detected"]
    (1.0, False)
    """
    check_choice("missing_groups", missing_groups, ("raise", "own_group"), where=WHERE)
    check_real("n_boot", n_boot, where=WHERE, low=100)
    check_real("min_cell", min_cell, where=WHERE, low=0)
    _check_confidence(confidence)
    rows = read_rows(
        y_true, y_pred, sensitive_features, None, where=WHERE, min_groups=2, missing=missing_groups
    )
    n = len(rows.true)
    columns = encode_columns(
        sensitive_features, n, name="sensitive_features", missing=missing_groups, where=WHERE
    )
    controls = (
        []
        if control_features is None
        else encode_columns(
            control_features, n, name="control_features", missing=missing_groups, where=WHERE
        )
    )
    score = None
    if y_score is not None:
        score = check_scores(y_score, n, len(rows.classes), where=WHERE)
    rows, kept = _weigh(rows, sample_weight)
    shown = show_groups(rows, int(min_cell))
    _check_two_groups(shown, min_cell)
    kept = kept[shown.kept]
    counts = shown.rows.count()
    settings = Settings(
        picked=class_rows(counts, pos_label, where=WHERE),
        reference_group=reference_group,
        min_cell=int(min_cell),
        n_boot=int(n_boot),
        confidence=float(confidence),
        rng=_generator(random_state),
    )
    reference_code(counts, reference_group, where=WHERE)
    tick = _Ticks(progress, 2 + len(columns) * (len(columns) > 1) + len(controls) + 1)
    tick("rates and differences of all groups")
    main = _sections(shown, settings)
    overall = overall_section(
        counts, n_boot=settings.n_boot, confidence=confidence, rng=settings.rng
    )
    marginals = []
    for name, codes in columns if len(columns) > 1 else []:
        tick(f"{name} alone")
        alone = show_groups(_regroup(shown.rows, codes, kept), settings.min_cell)
        if len(alone.rows.groups) > 1:
            part = replace(settings, reference_group=None)
            marginals.append({"column": name, **_sections(alone, part)})
        else:
            main["not_computed"].append(
                {"what": f"differences by {name} alone", "why": "fewer than two groups to show"}
            )
    levels = []
    for name, codes in controls:
        tick(f"levels of {name}")
        levels += _control_levels(name, codes.labels, codes.codes[kept], shown.rows, settings)
    tick("scores")
    scores, unscored = _scores(score, kept, shown.rows, settings)
    tick("done")
    binary = len(settings.picked) == 1
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "audit",
        "isonomy_version": __version__,
        "n_samples": len(shown.rows.true),
        "weighted": counts.is_weighted,
        "classes": [str(c) for c in counts.classes],
        "pos_label": str(counts.classes[settings.picked[0]]) if binary else None,
        "groups": main["groups"],
        "reference_group": main["reference_group"],
        "min_cell": settings.min_cell,
        "n_boot": settings.n_boot,
        "confidence": settings.confidence,
        "random_state": random_state if isinstance(random_state, int) else None,
        "overall": overall,
        "by_group": main["by_group"],
        "disparities": main["disparities"],
        "decision": main["decision"],
        "class_gaps": main["class_gaps"],
        "rare_classes": main["rare_classes"],
        "marginals": [_without(m, "not_computed") for m in marginals],
        "controls": levels,
        "scores": scores,
        "not_computed": [*main["not_computed"], *_about_withheld(shown, min_cell), *unscored],
        "notes": _notes(shown, settings, counts.is_weighted),
    }
    return AuditResult(found)


class _Ticks:
    """Count the steps of one audit for its progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text, self.done, self.total)
        self.done += 1


def _sections(shown: Shown, settings: Settings) -> dict[str, Any]:
    """Return the sections that an audit and each of its marginals have."""
    counts = shown.rows.count()
    reference = reference_code(counts, settings.reference_group, where=WHERE)
    disparities = disparities_section(shown.rows, settings)
    left_out = disparities[2]["classes_left_out"]
    not_computed = []
    if left_out:
        why = f"fewer than {settings.min_cell} people in some group"
        what = f"part of the largest differences for {', '.join(left_out)}"
        not_computed.append({"what": what, "why": why})
    return {
        "groups": _group_entries(shown),
        "reference_group": str(counts.groups[reference]),
        "by_group": rates_section(counts, settings.min_cell, settings.confidence),
        "disparities": disparities,
        "decision": decide(disparities),
        "class_gaps": class_gaps_section(counts, reference, settings.min_cell, settings.confidence),
        "rare_classes": rare_section(counts, settings.min_cell),
        "not_computed": not_computed,
    }


def _control_levels(
    name: str,
    labels: tuple[Hashable, ...],
    codes: NDArray[np.intp],
    rows: LabelledRows,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Return the disparities among the rows of each level; small levels are withheld."""
    entries = []
    for i, label in enumerate(labels):
        mask = codes == i
        n = int(mask.sum())
        if n == 0:
            continue
        entry: dict[str, Any] = {
            "column": name,
            "level": str(label),
            "n": n,
            "disparities": [],
            "reason": None,
        }
        if n < settings.min_cell:
            entry.update(n=None, reason=withheld_reason(settings.min_cell))
        else:
            level = show_groups(rows.take(mask), settings.min_cell)
            if len(level.rows.groups) > 1:
                entry["disparities"] = disparities_section(level.rows, settings)
            else:
                entry["reason"] = (
                    f"fewer than two groups with {settings.min_cell} people at this level"
                )
        entries.append(entry)
    return entries


def _scores(
    score: NDArray[np.float64] | None,
    kept: NDArray[np.intp],
    rows: LabelledRows,
    settings: Settings,
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    if score is None:
        return None, []
    unscored = []
    used = score[kept]
    if used.ndim == 2 and used.shape[1] == 2:
        used = used[:, 1]
    if used.min() < 0 or used.max() > 1:
        why = f"scores lie outside [0, 1] (from {used.min():g} to {used.max():g})"
        unscored.append({"what": "calibration and log loss", "why": why})
    found = scores_section(
        rows,
        used,
        min_cell=settings.min_cell,
        n_boot=settings.n_boot,
        confidence=settings.confidence,
        rng=settings.rng,
    )
    return found, unscored


def _weigh(
    rows: LabelledRows, sample_weight: ArrayLike | None
) -> tuple[LabelledRows, NDArray[np.intp]]:
    """Return the rows with a weight above 0, and their numbers among all rows."""
    weight = check_sample_weight(sample_weight, len(rows.true), where=WHERE)
    if weight is None:
        return rows, np.arange(len(rows.true))
    kept = weight > 0
    return replace(rows, weight=weight).take(kept), np.flatnonzero(kept)


def _regroup(rows: LabelledRows, codes: GroupCodes, kept: NDArray[np.intp]) -> LabelledRows:
    regrouped = replace(rows, groups=codes.labels, group=codes.codes[kept])
    return regrouped.take(np.ones(len(kept), dtype=bool))


def _group_entries(shown: Shown) -> list[dict[str, Any]]:
    sizes = np.bincount(shown.rows.group, minlength=len(shown.rows.groups))
    entries: list[dict[str, Any]] = [
        {
            "name": str(g),
            "n": int(n),
            "share": float(n / sizes.sum()),
            "withheld": False,
            "pooled": list(shown.pooled) if g == SMALL_GROUPS else [],
        }
        for g, n in zip(shown.rows.groups, sizes, strict=True)
    ]
    for name in shown.withheld:
        entries.append({"name": name, "n": None, "share": None, "withheld": True, "pooled": []})
    return entries


def _about_withheld(shown: Shown, min_cell: int) -> list[dict[str, str]]:
    return [
        {"what": f"everything about group {name}", "why": withheld_reason(min_cell)}
        for name in shown.withheld
    ]


def _notes(shown: Shown, settings: Settings, weighted: bool) -> list[str]:
    share = f"{100 * settings.confidence:g} %"
    notes = [
        f"Intervals have a confidence of {share}. They cover sampling of the rows, not wrong "
        "labels, missing people or a changed population.",
        "The corrected gap is meaningful for predictions that were not fitted on these rows.",
    ]
    if shown.pooled:
        notes.append(f"Groups under {settings.min_cell} people are pooled as {SMALL_GROUPS}.")
    if shown.withheld:
        notes.append("The rows of withheld groups are left out of every number.")
    if weighted:
        notes.append("Rates are weighted; intervals use effective sample sizes.")
    return notes


def _check_two_groups(shown: Shown, min_cell: int) -> None:
    if len(shown.rows.groups) < 2:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{WHERE}` must hold at least 2 groups of "
            f"`min_cell` ({min_cell}) rows, got {len(shown.rows.groups)}. Lower `min_cell` if "
            "that discloses nobody, or pool groups."
        )


def _check_confidence(confidence: float) -> None:
    check_real("confidence", confidence, where=WHERE, low=0, high=1)
    if confidence in (0, 1):
        raise InvalidInputError(
            f"`confidence` of `{WHERE}` must lie strictly between 0 and 1, got {confidence}."
        )


def _generator(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)


def _without(entry: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k != key}
