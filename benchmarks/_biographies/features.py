"""The features of each kind, seed and fold; states and reduced texts are kept on disk."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.cases import _text_features
from _real_data.store import digest_of
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from _biographies.finetuning import Recipe, finetune
from _biographies.states import encode, pooled_states
from _biographies.texts import (
    N_FOLDS,
    TUNED_SHARE,
    Settings,
    fingerprint_of,
    load_texts,
    split_for_tuning,
    split_in_folds,
)
from isonomy._atomic import atomic_path

__all__ = ["KINDS", "FoldRows", "Rows", "fold_rows", "prepare", "rows_of"]

KINDS = ("frozen", "finetuned", "tfidf", "frozen_last", "finetuned_last")
"""``_last``: the state of the last token instead of the mean over all tokens."""

Tick = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Rows:
    """The rows that are dealt into folds: ``X`` ``(n, d)`` states, or None for texts.

    ``index`` are their places among all rows of the data set.
    """

    X: NDArray[np.float32] | None
    y: NDArray[Any]
    groups: NDArray[Any]
    index: NDArray[np.intp]
    fingerprint: str


@dataclass(frozen=True)
class FoldRows:
    """Features of one fold's two parts, and their places among the :class:`Rows`."""

    X_train: NDArray[np.float64]
    X_test: NDArray[np.float64]
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def rows_of(kind: str, seed: int, settings: Settings) -> Rows:
    """Return the rows of a seed: all of them, or those that no network was fine-tuned on."""
    return _rows(kind, seed if kind.startswith("finetuned") else 0, settings)


@lru_cache(maxsize=3)
def _rows(kind: str, seed: int, settings: Settings) -> Rows:
    texts = load_texts(settings.folder, settings.size)
    base, _, position = kind.partition("_")
    X = None
    index: NDArray[np.intp] = np.arange(len(texts.y))
    if base != "tfidf":
        X = states(base, seed, settings)[position or "mean"]
    if base == "finetuned":
        index = split_for_tuning(texts, seed)[1]
    y, groups = texts.y[index], texts.groups[index]
    print_of = fingerprint_of(y, groups, texts.text[index] if X is None else X)
    return Rows(X, y, groups, index, print_of)


def prepare(kind: str, seed: int, settings: Settings, tick: Tick) -> None:
    """Compute the states of a kind and seed, if they are not on disk."""
    base = kind.partition("_")[0]
    if base == "frozen":
        states(base, 0, settings, tick)
    elif base == "finetuned":
        states(base, seed, settings, tick)


def states(
    base: str, seed: int, settings: Settings, tick: Tick | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return ``{"mean", "last"}`` of the rows to be judged, computed once."""
    texts = load_texts(settings.folder, settings.size)
    recipe = Recipe(epochs=settings.epochs)
    key = {
        "rows": texts.fingerprint,
        "model": model_fingerprint(settings.model),
        "max_tokens": settings.max_tokens,
        "versions": [version(package) for package in ("torch", "transformers")],
    }
    name = base
    if base == "finetuned":
        key |= {"seed": seed, "recipe": asdict(recipe), "share": TUNED_SHARE}
        name = f"{base}-{seed}"
    path = settings.work / "states" / f"{name}-{digest_of(key)}.npz"

    def compute() -> dict[str, NDArray[Any]]:
        return _computed(base, seed, settings, recipe, tick or (lambda *_: None))

    return kept(path, ("mean", "last"), compute)


def _computed(
    base: str, seed: int, settings: Settings, recipe: Recipe, tick: Tick
) -> dict[str, NDArray[Any]]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(settings.threads)
    texts = load_texts(settings.folder, settings.size)
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    model = AutoModel.from_pretrained(settings.model, dtype=torch.float32)
    pad = _pad_id(tokenizer)
    ids = encode(tokenizer, texts.text, max_tokens=settings.max_tokens)
    judged, own = range(len(ids)), {}
    if base == "finetuned":
        seen, judged = split_for_tuning(texts, seed)
        labels = np.unique(texts.y, return_inverse=True)[1]
        tuned = [ids[row] for row in seen]

        def step(done: int, total: int) -> None:
            tick(f"fine-tuning, seed {seed}", done, total)

        weight, bias = finetune(
            model, tuned, labels[seen], pad=pad, recipe=recipe, seed=seed, tick=step
        )
        own = {"weight": weight, "bias": bias}
    told = f"states, {base}, seed {seed}"
    asked = [ids[row] for row in judged]
    return pooled_states(model, asked, pad=pad, tick=lambda n, of: tick(told, n, of)) | own


def _pad_id(tokenizer: Any) -> int:
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


@lru_cache(maxsize=4)
def model_fingerprint(folder: str) -> str:
    """Return a hash of a local model's weights, settings and tokenizer."""
    files = sorted(Path(folder).glob("*.safetensors"))
    files += [Path(folder) / name for name in ("config.json", "tokenizer.json")]
    return fingerprint_of(*(np.frombuffer(path.read_bytes(), np.uint8) for path in files))


def fold_rows(kind: str, seed: int, fold: int, settings: Settings) -> FoldRows:
    """Return the features of a fold: standardised states, or TF-IDF reduced on its own rows."""
    return _fold_rows(kind, seed, fold, settings)


@lru_cache(maxsize=2)
def _fold_rows(kind: str, seed: int, fold: int, settings: Settings) -> FoldRows:
    rows = rows_of(kind, seed, settings)
    train, test = split_in_folds(rows.y, rows.groups, seed)[fold]
    if rows.X is not None:
        scaler = StandardScaler().fit(rows.X[train].astype(np.float64))
        parts = (scaler.transform(rows.X[i].astype(np.float64)) for i in (train, test))
        return FoldRows(*parts, train, test)
    text = load_texts(settings.folder, settings.size).text

    def compute() -> dict[str, NDArray[Any]]:
        X, Z = _text_features(text[train], text[test])
        return {"train": X.astype(np.float32), "test": Z.astype(np.float32)}

    name = f"tfidf-{rows.fingerprint}-{seed}-{fold}-{N_FOLDS}.npz"
    found = kept(settings.work / "features" / name, ("train", "test"), compute)
    both = (found[part].astype(np.float64) for part in ("train", "test"))
    return FoldRows(*both, train, test)


def kept(
    path: Path, names: tuple[str, ...], compute: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Return arrays from a file, or compute and store them; a damaged file counts as absent."""
    try:
        # opened here: NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        found = compute()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **found)
    return found
