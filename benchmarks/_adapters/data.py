"""The rows of a cell: training rows with an injected imbalance, validation and test rows.

Test and validation rows of a data set are the same for every seed and ratio; a seed draws which
training rows stay. Validation rows are taken class by class before the training rows are thinned,
so that they are balanced whatever the ratio.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _adapters.cells import Cell
from isonomy.datasets import load_text_set, long_tail
from isonomy.errors import DataFileError

__all__ = ["CellRows", "Rows", "Rule", "held_out_texts", "load_rows", "read_cell"]

MAX_TOKENS = 64
N_HELD_OUT = 100

Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Rule:
    """How a data set is dealt.

    ``pooled`` sets deal their published splits anew: of each class up to ``n_test`` rows, 40 % at
    most, are test rows. ``min_class``: smaller classes are left out.
    """

    pooled: bool = False
    min_class: int = 12
    n_val: int = 6
    n_test: int = 30
    title: str = ""


RULES = {
    "banking77": Rule(title="Banking77"),
    # 500 published test questions over 50 classes leave most rare classes with 0 to 3 of them
    "trec": Rule(pooled=True, min_class=20, title="TREC, fine"),
    "clinc150": Rule(title="CLINC150"),
    "hwu64": Rule(title="HWU64"),
    "goemotions": Rule(title="GoEmotions"),
    "stackoverflow20": Rule(n_val=20, title="StackOverflow-20"),
    "biographies": Rule(pooled=True, n_test=60, min_class=30, title="Biographies"),
}


@dataclass(frozen=True)
class Rows:
    """Inputs (texts, or images as an array), codes of the classes, and groups where known."""

    inputs: Any
    y: Codes
    group: NDArray[Any] | None = None

    def take(self, rows: Codes) -> Rows:
        """Return these rows."""
        if isinstance(self.inputs, list):
            inputs: Any = [self.inputs[i] for i in rows]
        else:
            inputs = self.inputs[rows]
        return Rows(inputs, self.y[rows], None if self.group is None else self.group[rows])


@dataclass(frozen=True)
class CellRows:
    """All rows of a cell; ``counts`` are the training rows of each class."""

    cell: Cell
    title: str
    classes: tuple[str, ...]
    train: Rows
    val: Rows
    test: Rows
    fingerprint: str

    @property
    def counts(self) -> Codes:
        """Return the training rows of each class, (K,)."""
        return np.bincount(self.train.y, minlength=len(self.classes))


@lru_cache(maxsize=4)
def load_rows(data: str, folder: str) -> tuple[Rows, tuple[str, ...], NDArray[Any]]:
    """Return all rows of a text set, readable class names, and the published splits."""
    found = load_text_set(data, folder)
    rows = Rows(list(found.text), np.asarray(found.code), found.get("group"))
    return rows, tuple(found.class_names), np.asarray(found.split)


def read_cell(cell: Cell, folder: str) -> CellRows:
    """Deal the rows of a cell."""
    if cell.data in RULES:
        rows, names, split = load_rows(cell.data, folder)
        return deal(cell, rows, names, split, RULES[cell.data])
    from _adapters.images import IMAGE_SETS, load_image_rows

    rows, names, split = load_image_rows(cell.data, folder)
    return deal(cell, rows, names, split, IMAGE_SETS[cell.data])


def deal(
    cell: Cell, rows: Rows, names: tuple[str, ...], split: NDArray[Any], rule: Rule
) -> CellRows:
    """Return training, validation and test rows of one cell."""
    parts = _parts(rows, split, rule)
    kept = [k for k in range(len(names)) if _is_large(k, rows.y, parts, rule)]
    code = np.full(len(names), -1)
    code[kept] = np.arange(len(kept))
    train, val, test = (p[code[rows.y[p]] >= 0] for p in parts)
    if cell.ratio:
        pair = (train, code[rows.y[train]])
        train = np.asarray(long_tail(pair, cell.ratio, random_state=cell.seed)[0])
    recoded = Rows(rows.inputs, code[rows.y], rows.group)
    return CellRows(
        cell,
        rule.title,
        tuple(names[k] for k in kept),
        *(recoded.take(part) for part in (train, val, test)),
        _fingerprint(train, val, test, code, recoded.take(train).inputs),
    )


def _parts(rows: Rows, split: NDArray[Any], rule: Rule) -> tuple[Codes, Codes, Codes]:
    """Return (train, validation, test) row numbers; the same for every seed."""
    rng = np.random.default_rng(0)
    pool = np.flatnonzero(np.isin(split, ["train", "validation"]))
    test = np.flatnonzero(split == "test")
    if rule.pooled:
        pool = np.arange(len(rows.y))
    dealt: dict[str, list[Codes]] = {"train": [], "val": [], "test": []}
    for k in range(int(rows.y.max()) + 1):
        own = rng.permutation(pool[rows.y[pool] == k])
        n_test = min(rule.n_test, int(0.4 * len(own))) if rule.pooled else 0
        n_val = min(rule.n_val, int(0.25 * (len(own) - n_test)))
        dealt["test"].append(own[:n_test])
        dealt["val"].append(own[n_test : n_test + n_val])
        dealt["train"].append(own[n_test + n_val :])
    train, val, drawn = (np.sort(np.concatenate(dealt[part])) for part in dealt)
    return train, val, drawn if rule.pooled else test


def _is_large(k: int, y: Codes, parts: tuple[Codes, Codes, Codes], rule: Rule) -> bool:
    of_class = [int((y[part] == k).sum()) for part in parts]
    return sum(of_class) >= rule.min_class and min(of_class) > 0


def _fingerprint(*arrays: Any) -> str:
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        plain = "\0".join(array).encode() if isinstance(array, list) else array.tobytes()
        state.update(len(plain).to_bytes(8, "little") + plain)
    return state.hexdigest()


@lru_cache(maxsize=1)
def held_out_texts(folder: str) -> list[str]:
    """Return test texts of several sets, of which the language model saw none."""
    found: list[str] = []
    for name in ("stackoverflow20", "goemotions", "clinc150"):
        try:
            data = load_text_set(name, folder)
        except DataFileError:
            continue
        own = np.flatnonzero(np.asarray(data.split) == "test")
        drawn = np.random.default_rng(0).permutation(own)[:N_HELD_OUT]
        found += [data.text[i] for i in np.sort(drawn)]
    return found


def tokenize(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Return the token numbers of each text, cut at ``MAX_TOKENS``."""
    return tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"] if texts else []


def model_path(folder: Path) -> str | None:
    """Say why there is no model in ``folder``; None where there is one."""
    if (folder / "config.json").exists():
        return None
    return f"no model in {folder.name!r} beside the repository; pass --model, see pretrain.py"
