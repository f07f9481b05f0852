"""``audit``: everything that can honestly be said about predictions, by group."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_real
from isonomy._version import __version__
from isonomy.auditing._class_gaps import class_gaps_section, rare_section
from isonomy.auditing._disparities import Settings, decide, disparities_section
from isonomy.auditing._inputs import Inputs, read_inputs
from isonomy.auditing._rates import overall_section, rates_section, withheld_reason
from isonomy.auditing._scores import scores_section
from isonomy.auditing._small_groups import SMALL_GROUPS, Shown, show_groups
from isonomy.auditing.result import SCHEMA, AuditResult
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, MissingValues
from isonomy.metrics._choices import class_rows, reference_code
from isonomy.metrics._counts import LabelledRows

__all__ = ["audit", "check_numbers", "judge_inputs"]

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
        Replicates of the intervals and of the permutation tests, at least 100. Equalized odds
        over very many (true, predicted) pairs, and scores of very many rows, draw fewer.
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
    check_numbers(n_boot, min_cell, confidence, where=WHERE)
    inputs = read_inputs(
        y_true,
        y_pred,
        sensitive_features=sensitive_features,
        y_score=y_score,
        control_features=control_features,
        sample_weight=sample_weight,
        missing_groups=missing_groups,
        min_cell=int(min_cell),
        where=WHERE,
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


def judge_inputs(
    inputs: Inputs,
    *,
    reference_group: Hashable | None,
    n_boot: int,
    min_cell: int,
    random_state: RandomState,
    pos_label: Hashable | None,
    confidence: float,
    progress: Progress | None,
) -> AuditResult:
    """Return the audit of rows that were read and checked."""
    counts = inputs.shown.rows.count()
    reference_code(counts, reference_group, where=WHERE)
    settings = Settings(
        picked=class_rows(counts, pos_label, where=WHERE),
        reference_group=reference_group,
        min_cell=int(min_cell),
        n_boot=int(n_boot),
        confidence=float(confidence),
        rng=_generator(random_state),
    )
    seed = random_state if isinstance(random_state, int) else None
    return AuditResult(_assemble(inputs, settings, seed, progress))


def _assemble(
    inputs: Inputs, settings: Settings, seed: int | None, progress: Progress | None
) -> dict[str, Any]:
    """Return everything, in the order of the schema."""
    shown, counts = inputs.shown, inputs.shown.rows.count()
    tick = _Ticks(progress, 2 + len(inputs.marginals) + len(inputs.controls))
    tick("rates and differences of all groups")
    main = _sections(shown, settings)
    overall = overall_section(
        counts, n_boot=settings.n_boot, confidence=settings.confidence, rng=settings.rng
    )
    not_computed = [*main.pop("not_computed"), *_about_withheld(shown, settings.min_cell)]
    marginals = []
    for name, codes in inputs.marginals:
        tick(f"{name} alone")
        alone = show_groups(_regroup(shown.rows, codes), settings.min_cell)
        if len(alone.rows.groups) > 1:
            part = _sections(alone, replace(settings, reference_group=None))
            part.pop("not_computed")
            marginals.append({"column": name, **part})
        else:
            what = f"differences by {name} alone"
            not_computed.append({"what": what, "why": "fewer than two groups to show"})
    levels = []
    for name, codes in inputs.controls:
        tick(f"levels of {name}")
        levels += _control_levels(name, codes, shown.rows, settings)
    tick("scores")
    scores, unscored = _scores(inputs.score, shown.rows, settings)
    tick("done")
    one_class = str(counts.classes[settings.picked[0]]) if len(settings.picked) == 1 else None
    return {
        "schema": SCHEMA,
        "kind": "audit",
        "isonomy_version": __version__,
        "n_samples": shown.rows.n_rows,
        "weighted": counts.is_weighted,
        "classes": [str(c) for c in counts.classes],
        "pos_label": one_class,
        "groups": main.pop("groups"),
        "reference_group": main.pop("reference_group"),
        "min_cell": settings.min_cell,
        "n_boot": settings.n_boot,
        "confidence": settings.confidence,
        "random_state": seed,
        "overall": overall,
        **main,
        "marginals": marginals,
        "controls": levels,
        "scores": scores,
        "not_computed": [*not_computed, *unscored],
        "notes": _notes(shown, settings, counts.is_weighted),
    }


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
    name: str, codes: GroupCodes, rows: LabelledRows, settings: Settings
) -> list[dict[str, Any]]:
    """Return the disparities among the rows of each level; small levels are withheld."""
    entries = []
    for i, label in enumerate(codes.labels):
        mask = codes.codes == i
        n = int(mask.sum()) if rows.copies is None else int(rows.copies[mask].sum())
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
    score: NDArray[np.float64] | None, rows: LabelledRows, settings: Settings
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    if score is None:
        return None, []
    unscored = []
    if score.min() < 0 or score.max() > 1:
        why = f"scores lie outside [0, 1] (from {score.min():g} to {score.max():g})"
        unscored.append({"what": "calibration and log loss", "why": why})
    found = scores_section(
        rows,
        score,
        min_cell=settings.min_cell,
        n_boot=settings.n_boot,
        confidence=settings.confidence,
        rng=settings.rng,
    )
    return found, unscored


def _regroup(rows: LabelledRows, codes: GroupCodes) -> LabelledRows:
    regrouped = replace(rows, groups=codes.labels, group=codes.codes)
    return regrouped.take(np.ones(len(codes.codes), dtype=bool))


def _group_entries(shown: Shown) -> list[dict[str, Any]]:
    sizes = shown.rows.group_sizes
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


def check_numbers(n_boot: int, min_cell: int, confidence: float, *, where: str) -> None:
    """Raise unless the numbers an audit is told lie in their ranges."""
    check_real("n_boot", n_boot, where=where, low=100)
    check_real("min_cell", min_cell, where=where, low=0)
    check_real("confidence", confidence, where=where, low=0, high=1)
    if confidence in (0, 1):
        raise InvalidInputError(
            f"`confidence` of `{where}` must lie strictly between 0 and 1, got {confidence}."
        )


def _generator(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)
