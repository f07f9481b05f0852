"""Judge the out-of-fold predictions of a method, all folds together and rule by rule.

Together, the folds flatter a rule that was fitted to close a gap. Let ``g_f`` be the gap
that fold f would show untouched. A shift fitted on the other folds takes away their mean
gap, and what is left, ``g_f`` less the mean of the others, sums to 0 over the folds by
construction, however wrong each shift is. The mean over folds of the corrected mean
square is free of that: it speaks of one fitted rule on rows that it has not seen.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _real_data.cases import N_FOLDS, Case, load_case
from _real_data.entries import BASE, ENTRIES, Entry
from _real_data.fitting import Unavailable, fold_key, record_path
from _real_data.sources import source_fingerprint
from _real_data.store import digest_of, read_record, remembered
from isonomy import audit
from isonomy.errors import UndefinedRateWarning
from isonomy.metrics import rms_tpr_gap

__all__ = ["GAPS", "Judged", "judge_case"]

GAPS = (
    "demographic_parity_difference",
    "equalized_odds_difference",
    "equal_opportunity_difference",
    "rms_tpr_gap",
    "rms_tpr_gap_precision",
)


@dataclass(frozen=True)
class Judged:
    """All rows of one data set's tables.

    ``rows`` are dictionaries: ``name``, ``family``, ``use``, ``criterion``, ``accuracy``,
    ``balanced_accuracy``, ``gap`` (by metric: value, corrected, low, high, p_value),
    ``loss`` and ``loss_error`` (of accuracy against untouched, and its standard error),
    ``fit_seconds``, ``predict_seconds``, ``same_share``, ``warnings``, and ``each_rule``:
    the signed root of the mean over folds of the corrected mean square gap, precision weights.
    """

    case: Case
    rows: list[dict[str, Any]]
    not_computed: list[tuple[str, str]]

    def row(self, name: str) -> dict[str, Any] | None:
        """Return a method's row, or None."""
        return next((row for row in self.rows if row["name"] == name), None)


def judge_case(name: str, entries: list[str], *, folder: str, work: Path, n_boot: int) -> Judged:
    """Read what is stored for each method and audit it; say what is missing and why."""
    case = load_case(name, folder)
    rows, missing, right = [], [], {}
    for entry in (ENTRIES[e] for e in entries):
        try:
            folds = _folds(case, entry, work)
            found = _judge(case, entry, folds, work, n_boot)
        except Unavailable as error:
            missing.append((entry.name, str(error)))
            continue
        rows.append(found)
        right[entry.name] = _pooled(case, folds) == case.y
    if BASE in right:
        for row in rows:
            lost = right[BASE].astype(float) - right[row["name"]]
            row["loss"] = float(lost.mean())
            row["loss_error"] = float(lost.std() / np.sqrt(len(lost)))
    return Judged(case, rows, missing)


def _folds(case: Case, entry: Entry, work: Path) -> list[dict[str, Any]]:
    found = []
    for fold in range(N_FOLDS):
        key = fold_key(case, entry, fold)
        record = read_record(record_path(work, case.name, entry.name, fold), key)
        if record is None:
            raise Unavailable(f"fold {fold} has not been run")
        if record.get("failed"):
            raise Unavailable(f"fold {fold}: {record['failed']}")
        found.append(record)
    return found


def _pooled(case: Case, folds: list[dict[str, Any]]) -> NDArray[Any]:
    classes = np.unique(case.y)
    predicted = np.empty(len(case.y), dtype=classes.dtype)
    for (_, test), record in zip(case.folds(), folds, strict=True):
        predicted[test] = classes[record["predictions"]]
    return predicted


def _judge(
    case: Case, entry: Entry, folds: list[dict[str, Any]], work: Path, n_boot: int
) -> dict[str, Any]:
    predicted = _pooled(case, folds)
    key = {
        "predictions": digest_of([record["predictions"] for record in folds]),
        "rows": case.fingerprint,
        "n_boot": n_boot,
        "source": source_fingerprint(["isonomy.auditing._audit"]),
    }
    path = work / "judged" / case.name / f"{entry.name.replace(':', '--')}.json"
    figures = remembered(path, key, lambda: _figures(case, predicted, n_boot))
    return {
        "name": entry.name,
        "family": entry.family,
        "criterion": entry.criterion,
        "use": _use(case, entry, folds),
        **figures,
        "each_rule": _each_rule(case, predicted),
        "fit_seconds": sum(record["fit_seconds"] for record in folds),
        "predict_seconds": sum(record["predict_seconds"] for record in folds),
        "same_share": min(record["same_share"] for record in folds),
        "warnings": sorted({w for record in folds for w in record["warnings"]}),
    }


def _use(case: Case, entry: Entry, folds: list[dict[str, Any]]) -> str:
    """Return what a decision does with the group; the defaults guess it from 3 classes on."""
    if entry.name == "default" and len(np.unique(case.y)) < 3:
        return "blind"
    return str(folds[0]["use"])


def _each_rule(case: Case, predicted: NDArray[Any]) -> float:
    squares = []
    for _, test in case.folds():
        with warnings.catch_warnings():
            # a class without rows of one group in this fold has no gap there
            warnings.simplefilter("ignore", UndefinedRateWarning)
            gap = rms_tpr_gap(
                case.y[test],
                predicted[test],
                sensitive_features=case.groups[test],
                corrected=True,
                weighting="precision",
            )
        squares.append(np.sign(gap) * gap**2)
    mean = float(np.mean(squares))
    return float(np.sign(mean) * np.sqrt(abs(mean)))


def _figures(case: Case, predicted: NDArray[Any], n_boot: int) -> dict[str, Any]:
    found = audit(
        case.y, predicted, sensitive_features=case.groups, n_boot=n_boot, random_state=0
    ).to_dict()
    columns = ("value", "corrected", "low", "high", "p_value")
    gaps = {
        d["metric"]: {column: d[column] for column in columns}
        for d in found["disparities"]
        if d["metric"] in GAPS
    }
    overall = {name: found["overall"][name] for name in ("accuracy", "balanced_accuracy")}
    return {**{k: v["value"] for k, v in overall.items()}, "gap": gaps}
