"""Judge the stored decisions of each method: seed by seed, and over all seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from _real_data.sources import source_fingerprint
from _real_data.store import digest_of, remembered
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from _biographies.entries import BASE, ENTRIES
from _biographies.features import Rows, rows_of
from _biographies.resampling import Draws, Persons, Pooled, pooled_gap
from _biographies.running import Tell, Unit, chosen_c, read_fold
from _biographies.texts import N_FOLDS, Settings, load_texts, split_in_folds
from isonomy import audit
from isonomy.errors import UndefinedRateWarning
from isonomy.metrics import rms_tpr_gap

__all__ = ["Judged", "SeedGap", "judge_kind"]

STATES = ("probe", "probe_chance", "within", "within_chance", "neighbours", "neighbours_chance")


@dataclass(frozen=True)
class SeedGap:
    """One seed's four folds judged together by `isonomy.audit`; precision weights unless named."""

    accuracy: float
    macro_f1: float
    equal: float
    equal_corrected: float
    plain: float
    corrected: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Row:
    """What is known of one method in one kind of features.

    ``seeds`` is one :class:`SeedGap` a seed; ``each`` and ``together`` are over all seeds;
    ``states`` are means over folds and seeds; ``loss`` is of accuracy against untouched, with
    the standard error of persons; seconds are CPU-seconds a fold.
    """

    name: str
    label: str
    family: str
    use: str
    seeds: tuple[SeedGap, ...]
    each: Pooled
    together: Pooled
    each_by_seed: tuple[float, ...]
    states: dict[str, float]
    fit_seconds: float
    predict_seconds: float
    loss: float
    loss_error: float

    def mean(self, field: str) -> float:
        """Return the mean over seeds; of corrected gaps, the signed root of the mean square."""
        values = np.array([getattr(seed, field) for seed in self.seeds])
        if "corrected" not in field:
            return float(values.mean())
        square = float((np.sign(values) * values**2).mean())
        return float(np.sign(square) * np.sqrt(abs(square)))

    def spread(self, field: str) -> float:
        """Return the standard deviation over seeds."""
        values = [getattr(seed, field) for seed in self.seeds]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Judged:
    """All rows of one kind's tables, and what was not computed and why."""

    kind: str
    n_rows: int
    seeds: tuple[int, ...]
    C: float
    C_accuracy: dict[str, float]
    rows: tuple[Row, ...]
    missing: tuple[tuple[str, str], ...]

    def row(self, name: str) -> Row | None:
        """Return a method's row, or None."""
        return next((row for row in self.rows if row.name == name), None)


def judge_kind(
    kind: str, seeds: Sequence[int], entries: Sequence[str], settings: Settings, *, n_boot: int,
    tell: Tell,
) -> Judged:  # fmt: skip
    """Read what is stored for each method, and judge it; say what is missing and why."""
    dealt = [rows_of(kind, seed, settings) for seed in seeds]
    persons = _persons(dealt, seeds, settings)
    draws = Draws(persons, n_boot)
    rows, missing, lost = [], [], {}
    for done, name in enumerate(entries):
        tell(f"{kind}: judging {name}", done, len(entries))
        try:
            records = _records(kind, name, seeds, dealt, settings)
        except LookupError as error:
            missing.append((name, str(error).strip('"')))
            continue
        right, accuracy = _right(persons, records, dealt, seeds)
        lost[name] = accuracy
        base = lost.get(BASE, accuracy)
        rows.append(_row(name, records, dealt, draws, right, accuracy - base, settings, kind))
    c = chosen_c(kind, settings)
    return Judged(
        kind, len(dealt[0].y), tuple(seeds), c["C"], c["accuracy"], tuple(rows), tuple(missing)
    )


def _persons(dealt: Sequence[Rows], seeds: Sequence[int], settings: Settings) -> Persons:
    texts = load_texts(settings.folder, settings.size)
    group = np.unique(texts.groups, return_inverse=True)[1]
    member = np.zeros((len(texts.y), len(seeds) * N_FOLDS), dtype=bool)
    for i, (rows, seed) in enumerate(zip(dealt, seeds, strict=True)):
        for fold, (_, test) in enumerate(split_in_folds(rows.y, rows.groups, seed)):
            member[rows.index[test], i * N_FOLDS + fold] = True
    y = np.unique(texts.y, return_inverse=True)[1]
    return Persons(y, group, member, np.repeat(np.asarray(seeds), N_FOLDS))


def _records(
    kind: str, name: str, seeds: Sequence[int], dealt: Sequence[Rows], settings: Settings
) -> list[list[dict[str, Any]]]:
    found = []
    for seed, rows in zip(seeds, dealt, strict=True):
        own = []
        for fold in range(N_FOLDS):
            record = read_fold(Unit(kind, seed, fold, (name,), settings), name, rows)
            if record is None:
                raise LookupError(f"seed {seed}, fold {fold} has not been run")
            if record.get("failed"):
                raise LookupError(f"seed {seed}, fold {fold}: {record['failed']}")
            own.append(record)
        found.append(own)
    return found


def _pooled(rows: Rows, seed: int, records: Sequence[dict[str, Any]]) -> NDArray[np.intp]:
    predicted = np.empty(len(rows.y), dtype=np.intp)
    for (_, test), record in zip(split_in_folds(rows.y, rows.groups, seed), records, strict=True):
        predicted[test] = record["predictions"]
    return predicted


def _right(
    persons: Persons, records: Any, dealt: Sequence[Rows], seeds: Sequence[int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which decisions are right ``(n, n_units)``, and each person's share over seeds."""
    right = np.zeros_like(persons.member)
    for i, (rows, seed, own) in enumerate(zip(dealt, seeds, records, strict=True)):
        codes = np.unique(rows.y, return_inverse=True)[1]
        hit = np.zeros(len(persons.y), dtype=bool)
        hit[rows.index] = _pooled(rows, seed, own) == codes
        units = slice(i * N_FOLDS, (i + 1) * N_FOLDS)
        right[:, units] = persons.member[:, units] & hit[:, None]
    times = persons.member.sum(axis=1)
    share = np.divide(right.sum(axis=1), times, out=np.full(len(times), np.nan), where=times > 0)
    return right, share


def _row(
    name: str, records: Any, dealt: Sequence[Rows], draws: Draws, right: Any,
    gain: NDArray[np.float64], settings: Settings, kind: str,
) -> Row:  # fmt: skip
    entry = ENTRIES[name]
    flat = [record for own in records for record in own]
    seeds = tuple(int(s) for s in np.unique(draws.persons.seed_of))
    key = {
        "predictions": digest_of([record["predictions"] for record in flat]),
        "rows": [rows.fingerprint for rows in dealt],
        "seeds": seeds,
        "n_boot": draws.n_boot,
        "source": source_fingerprint(["isonomy.auditing._audit"]),
    }
    path = settings.work / "judged" / kind / f"{name.replace(':', '--')}.json"

    def compute() -> dict[str, Any]:
        own = [
            asdict(_seed_gap(rows, _pooled(rows, seed, mine), draws.n_boot))
            for rows, seed, mine in zip(dealt, seeds, records, strict=True)
        ]
        return {"seeds": own, **{n: asdict(p) for n, p in pooled_gap(draws, right).items()}}

    found = remembered(path, key, compute)
    each = Pooled(**found["each"])
    return Row(
        name,
        entry.label,
        entry.family,
        entry.use,
        tuple(SeedGap(**seed) for seed in found["seeds"]),
        each,
        Pooled(**found["together"]),
        _by_seed(each.by_part),
        {part: float(np.nanmean([r["states"][part] for r in flat])) for part in STATES},
        float(np.mean([record["fit_seconds"] for record in flat])),
        float(np.mean([record["predict_seconds"] for record in flat])),
        0.0 - float(np.nanmean(gain)),
        float(np.nanstd(gain) / np.sqrt(np.isfinite(gain).sum())),
    )


def _by_seed(squares: Sequence[float]) -> tuple[float, ...]:
    means = np.nanmean(np.reshape(squares, (-1, N_FOLDS)), axis=1)
    return tuple((np.sign(means) * np.sqrt(np.abs(means))).tolist())


def _seed_gap(rows: Rows, predicted: NDArray[np.intp], n_boot: int) -> SeedGap:
    codes = np.unique(rows.y, return_inverse=True)[1]
    shared = {"sensitive_features": rows.groups}
    with warnings.catch_warnings():
        # a class without rows of one group has no gap
        warnings.simplefilter("ignore", UndefinedRateWarning)
        found = audit(codes, predicted, n_boot=n_boot, random_state=0, **shared).to_dict()
        equal = rms_tpr_gap(codes, predicted, corrected=True, **shared)
    gap = {d["metric"]: d for d in found["disparities"]}
    precise = gap["rms_tpr_gap_precision"]
    return SeedGap(
        float((predicted == codes).mean()),
        float(f1_score(codes, predicted, average="macro")),
        gap["rms_tpr_gap"]["value"],
        equal,
        precise["value"],
        precise["corrected"],
        precise["low"],
        precise["high"],
        precise["p_value"],
    )
