"""The texts to train on: which files of the data folder, under which licence, split in two."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SOURCES", "Corpus", "Source", "read_corpus"]

HELD_OUT_TEXTS = 2_000
HELD_OUT_EVERY = 20
"""Where a file has no split, every so many-th text is held out."""


@dataclass(frozen=True)
class Source:
    """One folder of the data: files by pattern, the column of the text, the licence."""

    folder: str
    pattern: str
    licence: str
    column: str = "text"
    is_open: bool = True


# Sets that measure a model's stereotypes (crows_pairs, stereoset, winobias and their like)
# are left out whatever their licence: a model must not have read what it is tested with.
SOURCES = (
    Source("banking77", "banking77.csv*", "CC BY 4.0"),
    Source("clinc150", "clinc150_full.csv*", "CC BY 3.0"),
    Source("hwu64", "hwu64*.csv*", "CC BY 4.0"),
    Source("goemotions", "goemotions.csv*", "Apache-2.0"),
    Source("stackoverflow20", "stackoverflow20.csv*", "CC BY-SA"),
    Source("bias_in_bios", "bios.csv*", "none stated", is_open=False),
    Source("tweeteval", "*.csv*", "terms of the original sets", is_open=False),
    Source("trec", "trec.csv*", "none stated", is_open=False),
    Source("sst5", "sst5.csv*", "none stated", is_open=False),
)


@dataclass(frozen=True)
class Corpus:
    """Texts to train on and texts held out; ``licences`` by folder."""

    train: list[str]
    held_out: list[str]
    licences: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Return a short hash of all texts in their order."""
        state = hashlib.blake2b(digest_size=8)
        for text in (*self.train, "\0", *self.held_out):
            state.update(text.encode() + b"\0")
        return state.hexdigest()


def read_corpus(folder: Path, *, also_closed: bool = False, texts: Sequence[Path] = ()) -> Corpus:
    """Read every source that is there; ``texts`` are further files, one text a line.

    Held out are texts of the sources' own test and validation rows, 2,000 at most, that are no
    training text as well.

    Raises
    ------
    FileNotFoundError
        If no source is there.
    """
    train: list[str] = []
    held: list[str] = []
    licences = {}
    for source in SOURCES:
        if not (source.is_open or also_closed):
            continue
        for path in sorted((folder / source.folder).glob(source.pattern)):
            licences[source.folder] = source.licence
            for is_train, text in _rows(path, source.column):
                (train if is_train else held).append(text)
    for path in texts:
        licences[path.name] = "given by the user"
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for i, line in enumerate(filter(None, lines)):
            (held if i % HELD_OUT_EVERY == 0 else train).append(line)
    if not train:
        known = ", ".join(s.folder for s in SOURCES if s.is_open)
        raise FileNotFoundError(
            f"`--folder` of pretrain must hold one of {known}, found none in {str(folder)!r}. "
            "Give files of your own with --texts."
        )
    return Corpus(train, _thinned(held, set(train)), licences)


def _rows(path: Path, column: str) -> Iterator[tuple[bool, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        for i, row in enumerate(csv.DictReader(file)):
            text = row[column].strip()
            if text:
                usual = "test" if i % HELD_OUT_EVERY == 0 else "train"
                yield row.get("split", usual) == "train", text


def _thinned(held: list[str], train: set[str]) -> list[str]:
    fresh = [text for text in dict.fromkeys(held) if text not in train]
    step = max(1, -(-len(fresh) // HELD_OUT_TEXTS))
    return fresh[::step]
