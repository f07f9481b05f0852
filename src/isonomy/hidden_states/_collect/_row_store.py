"""Keep rows beside their moments: in memory, or as shards of bounded size on disk.

A shard holds the rows of all layers as they came, with the place of each row in the data,
so that the original order can be had back. A shard is written whole or not at all, and
the index last: a reader never meets half a row.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._atomic import write_text_atomic
from isonomy.errors import CorruptArtefactError, InvalidInputError
from isonomy.hidden_states._collect._row_shards import FORMATS, read_shard, write_shard

__all__ = ["INDEX_NAME", "ROW_KINDS", "RowKind", "RowStore", "Rows", "column_name"]

RowKind = Literal["none", "memory", "safetensors", "parquet"]
ROW_KINDS: tuple[RowKind, ...] = ("none", "memory", "safetensors", "parquet")
INDEX_NAME = "_rows.json"
"""Readers of a folder of Parquet files skip names that begin so."""

SHARD_BYTES = 128 << 20
"""A shard is closed when its rows fill so much."""

_SCHEMA = 1
_CODES = ("row", "label", "group")

Arrays = dict[str, NDArray[Any]]


def column_name(layer: int | None) -> str:
    """Return the name of a layer's rows in a shard."""
    return "head_input" if layer is None else f"layer_{layer}"


@dataclass
class RowStore:
    """Gather rows batch by batch; what is not in a shard yet is part of the state."""

    kind: RowKind
    layers: Sequence[int | None]
    folder: Path | None = None
    shard_bytes: int = field(default_factory=lambda: SHARD_BYTES)
    shards: list[dict[str, Any]] = field(default_factory=list)
    pending: list[Arrays] = field(default_factory=list)

    def add(
        self,
        rows: NDArray[np.intp],
        y_codes: NDArray[np.intp],
        group_codes: NDArray[np.intp],
        hidden: Sequence[NDArray[Any]],
        labels: tuple[Sequence[Hashable], Sequence[Hashable]],
    ) -> None:
        """Add a batch: places in the data, codes, and one (n, d) array a layer."""
        if self.kind == "none":
            return
        columns = dict(zip(map(column_name, self.layers), hidden, strict=True))
        codes = (rows, y_codes, group_codes)
        self.pending.append(
            {n: np.asarray(c, dtype=np.int64) for n, c in zip(_CODES, codes, strict=True)}
            | {n: np.ascontiguousarray(c) for n, c in columns.items()}
        )
        if self.kind != "memory" and self._pending_bytes() >= self.shard_bytes:
            self._close_shard(labels)

    def _pending_bytes(self) -> int:
        return sum(array.nbytes for part in self.pending for array in part.values())

    def _close_shard(self, labels: tuple[Sequence[Hashable], Sequence[Hashable]]) -> None:
        assert self.folder is not None
        joined = _joined(self.pending)
        name = f"rows-{len(self.shards):05d}{FORMATS[self.kind]}"
        size, digest = write_shard(self.folder / name, joined, labels)
        self.shards.append(
            {"file": name, "rows": len(joined["row"]), "bytes": size, "sha256": digest}
        )
        self.pending.clear()

    def state(self) -> tuple[list[dict[str, Any]], Arrays]:
        """Return the shards written so far and the rows in none of them yet."""
        return list(self.shards), _joined(self.pending) if self.pending else {}

    def load_state(self, shards: Sequence[dict[str, Any]], pending: Arrays) -> None:
        """Continue from a `state`.

        Raises
        ------
        CorruptArtefactError
            If a shard has gone or changed its size.
        """
        for shard in shards:
            assert self.folder is not None
            path = self.folder / shard["file"]
            if not path.is_file() or path.stat().st_size != shard["bytes"]:
                raise CorruptArtefactError(
                    f"The shard {str(path)!r} of the stopped run is missing or has another size: "
                    "the run cannot be resumed. Start again in another folder."
                )
        self.shards = list(shards)
        self.pending = [pending] if pending else []

    def finish(
        self, classes: Sequence[Hashable] | None, groups: Sequence[Hashable] | None
    ) -> Rows | None:
        """Close the last shard, write the index and return the rows; None if none are kept."""
        if self.kind == "none":
            return None
        labels = (classes or (), groups or ())
        if self.kind == "memory":
            return Rows(tuple(classes or ()), tuple(groups or ()), memory=_joined(self.pending))
        assert self.folder is not None
        if self.pending:
            self._close_shard(labels)
        index = {
            "schema": _SCHEMA,
            "kind": "rows",
            "format": self.kind,
            "n_rows": sum(shard["rows"] for shard in self.shards),
            "columns": [column_name(layer) for layer in self.layers],
            "classes": list(labels[0]),
            "groups": list(labels[1]),
            "shards": self.shards,
        }
        write_text_atomic(self.folder / INDEX_NAME, json.dumps(index, indent=1) + "\n")
        self._drop_others(self.folder)
        return Rows.open(self.folder)

    def _drop_others(self, folder: Path) -> None:
        """Remove shards of a run that was killed before its first state, and not resumed."""
        known = {shard["file"] for shard in self.shards}
        for path in folder.glob(f"rows-{'[0-9]' * 5}.*"):
            if path.suffix in FORMATS.values() and path.name not in known:
                path.unlink()


@dataclass(frozen=True)
class Rows:
    """Rows that were kept, read layer by layer in the order of the data.

    ``classes`` and ``groups`` are in the order of their codes; empty where the data had
    no labels or groups.
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    folder: Path | None = None
    shards: tuple[dict[str, Any], ...] = ()
    memory: Arrays | None = field(default=None, repr=False)

    @classmethod
    def open(cls, folder: Path) -> Rows:
        """Open the index in ``folder``.

        Raises
        ------
        CorruptArtefactError
            If it is not one.
        """
        path = folder / INDEX_NAME
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            classes, groups = tuple(index["classes"]), tuple(index["groups"])
            return cls(classes, groups, folder, tuple(index["shards"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtefactError(
                f"The file {str(path)!r} is not an index of rows: {error}. Collect them again."
            ) from error

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if self.memory is not None:
            return len(self.memory["row"])
        return sum(shard["rows"] for shard in self.shards)

    def read(
        self, layer: int | None
    ) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
        """Return (X, y, groups) of one layer in the order of the data.

        Raises
        ------
        CorruptArtefactError
            If a shard is missing or was altered.
        """
        name, n = column_name(layer), self.n_rows
        X: NDArray[Any] = np.empty((0, 0))
        codes = np.zeros((2, n), dtype=np.intp)
        for part in self._parts(name):
            if X.size == 0:
                X = np.empty((n, part[name].shape[1]), dtype=part[name].dtype)
            X[part["row"]] = part[name]
            codes[0, part["row"]], codes[1, part["row"]] = part["label"], part["group"]
        y, groups = (
            _decoded(t, c) for t, c in zip((self.classes, self.groups), codes, strict=True)
        )
        return X, y, groups

    def _parts(self, name: str) -> Any:
        if self.memory is not None:
            yield self.memory
            return
        for shard in self.shards:
            assert self.folder is not None
            yield read_shard(self.folder / shard["file"], name, shard, (self.classes, self.groups))

    def copy_to(self, folder: Path, layers: Sequence[int | None]) -> None:
        """Write the same rows and their index to another folder."""
        if self.folder is not None and self.folder.resolve() == folder.resolve():
            return
        kind: RowKind = "safetensors"
        if self.shards and self.shards[0]["file"].endswith(FORMATS["parquet"]):
            kind = "parquet"
        store = RowStore(kind, layers, folder)
        names = [column_name(layer) for layer in layers]
        for part in self._parts_of_all(names):
            store.pending.append(part)
            store._close_shard((self.classes, self.groups))
        store.finish(self.classes, self.groups)

    def _parts_of_all(self, names: Sequence[str]) -> Any:
        if self.memory is not None:
            yield self.memory
            return
        for shard in self.shards:
            assert self.folder is not None
            path, labels = self.folder / shard["file"], (self.classes, self.groups)
            parts = [read_shard(path, name, shard, labels) for name in names]
            yield {key: value for part in parts for key, value in part.items()}


def _joined(parts: Sequence[Arrays]) -> Arrays:
    if not parts:
        raise InvalidInputError("`RowStore.finish` needs at least one row.")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _decoded(labels: Sequence[Hashable], codes: NDArray[np.intp]) -> NDArray[Any] | None:
    """Return labels of one kind as an array of their own type, others as objects."""
    if not labels:
        return None
    uniform = len({type(label) for label in labels}) == 1
    # numpy cuts the NULs off the end of a string: two labels would become one
    uniform &= not any(isinstance(label, str) and label.endswith("\0") for label in labels)
    table = np.empty(len(labels), dtype=object)
    table[:] = labels
    return (np.array(table.tolist()) if uniform else table)[codes]
