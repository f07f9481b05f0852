"""What a reader of the results must know about the data: each finding with its count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import numpy as np

from isonomy.adapters._finetune._rows import LabelledRows, some_of
from isonomy.adapters._finetune._split import Parts, input_key

__all__ = ["data_checks"]

Finding = dict[str, Any]
_SEVERE = 10.0
"""Above this ratio the method is claimed to help most."""


def data_checks(rows: LabelledRows, parts: Parts) -> list[Finding]:
    """Return findings ``{"what", "level", "n", "sentence"}``, warnings first.

    Parameters
    ----------
    rows : LabelledRows
    parts : Parts
    """
    found = [*_repeats(rows, parts), *_rare(rows, parts), *_counts(rows, parts)]
    if rows.unreadable:
        listed = [f"{bad.path} ({bad.reason})" for bad in rows.unreadable]
        n = len(listed)
        does = "does not open and was" if n == 1 else "do not open and were"
        said = f"{_n(n, 'picture')} {does} left out: {some_of(listed)}."
        found.append(_finding("pictures that do not open", "warning", n, said))
    if rows.n_dropped:
        were = "was" if rows.n_dropped == 1 else "were"
        said = f"{_n(rows.n_dropped, 'row')} with something missing {were} left out."
        found.append(_finding("dropped rows", "note", rows.n_dropped, said))
    return sorted(found, key=lambda f: f["level"] != "warning")


def _finding(what: str, level: Literal["warning", "note"], n: int, sentence: str) -> Finding:
    return {"what": what, "level": level, "n": int(n), "sentence": sentence}


def _repeats(rows: LabelledRows, parts: Parts) -> list[Finding]:
    places: dict[Any, list[int]] = defaultdict(list)
    for i, value in enumerate(rows.inputs):
        places[input_key(value)].append(i)
    part = np.empty(len(rows), dtype=object)
    for name in ("train", "validation", "test"):
        part[parts.of(name)] = name
    shared = {name: 0 for name in ("validation", "test")}
    n_repeated = n_disputed = 0
    for members in places.values():
        if len(members) < 2:
            continue
        n_repeated += len(members) - 1
        n_disputed += len(members) * (len({int(rows.labels[i]) for i in members}) > 1)
        if any(part[i] == "train" for i in members):
            for name in shared:
                shared[name] += sum(part[i] == name for i in members)
    found = [
        _finding(
            f"{name} rows seen in training",
            "warning",
            n,
            f"{_n(n, rows.kind)} of the {len(parts.of(name))} {name} rows also "
            f"{'stands' if n == 1 else 'stand'} in the training rows: what is measured on them "
            "flatters the model. Drop them, or let isonomy split by class.",
        )
        for name, n in shared.items()
        if n
    ]
    if n_disputed:
        said = (
            f"{_n(n_disputed, 'row')} {'has' if n_disputed == 1 else 'have'} a {rows.kind} that "
            "stands in the data with another label too: no classifier gets all of them right."
        )
        found.append(_finding("one text, several labels", "warning", n_disputed, said))
    if n_repeated and not any(shared.values()):
        said = (
            f"{_n(n_repeated, 'row')} {'repeats' if n_repeated == 1 else 'repeat'} the {rows.kind} "
            "of an earlier row; equal rows stay in one part."
        )
        found.append(_finding("repeated rows", "note", n_repeated, said))
    return found


def _rare(rows: LabelledRows, parts: Parts) -> list[Finding]:
    train, test = rows.counts(parts.train), rows.counts(parts.test)
    single = [rows.classes[k] for k in np.flatnonzero(train == 1)]
    unjudged = [rows.classes[k] for k in np.flatnonzero(test == 0)]
    found = []
    if single:
        said = (
            f"{_n(len(single), 'class', 'classes')} {'has' if len(single) == 1 else 'have'} one "
            f"training row: {some_of(single)}. A class is hardly learnt from one row."
        )
        found.append(_finding("classes with one row", "warning", len(single), said))
    if unjudged:
        said = (
            f"{_n(len(unjudged), 'class', 'classes')} {'has' if len(unjudged) == 1 else 'have'} no "
            f"row to be judged on, and no figure speaks of {'it' if len(unjudged) == 1 else 'them'}"
            f": {some_of(unjudged)}."
        )
        found.append(_finding("classes that are not judged", "warning", len(unjudged), said))
    watched = rows.counts(parts.validation)
    unwatched = [rows.classes[k] for k in np.flatnonzero(watched == 0)]
    if unwatched and watched.any():
        said = (
            f"{_n(len(unwatched), 'class', 'classes')} {'has' if len(unwatched) == 1 else 'have'} "
            f"too few rows for one to watch the training by: {some_of(unwatched)}."
        )
        found.append(_finding("classes that are not watched", "note", len(unwatched), said))
    return found


def _counts(rows: LabelledRows, parts: Parts) -> list[Finding]:
    train = rows.counts(parts.train)
    if train.min() == train.max():
        said = (
            f"All {len(train)} classes have {int(train[0])} training rows: none is rare, so there "
            "is no head and no tail, and what serves rare classes has nothing to act on."
        )
        return [_finding("classes of equal count", "warning", len(train), said)]
    ratio = float(train.max() / train.min())
    said = (
        f"The most frequent class has {int(train.max())} training rows, the rarest "
        f"{int(train.min())}: {ratio:.3g} to 1."
    )
    if ratio < _SEVERE:
        said += " Bias-aware training matters most above 10 to 1."
    return [_finding("imbalance", "note", int(train.max()), said)]


def _n(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
