"""One shard of rows: a safetensors or a Parquet file, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from isonomy._atomic import atomic_path, write_bytes_atomic
from isonomy.errors import CorruptArtefactError, MissingExtraError

__all__ = ["FORMATS", "read_shard", "write_shard"]

FORMATS = {"safetensors": ".safetensors", "parquet": ".parquet"}

_PIECE = 1 << 22

Arrays = dict[str, NDArray[Any]]
Labels = tuple[Sequence[Hashable], Sequence[Hashable]]


def write_shard(path: Path, arrays: Arrays, labels: Labels) -> tuple[int, str]:
    """Write the arrays of a shard; return the bytes and the SHA-256 of the file.

    safetensors keeps codes of labels and groups; Parquet the labels themselves, for other
    tools to read.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing is left of it.
    """
    if path.suffix == FORMATS["parquet"]:
        pa, pq = _pyarrow()
        table = pa.table(
            {
                "row": arrays["row"],
                **{
                    name: pa.array(known[i] for i in arrays[name])
                    for name, known in zip(("label", "group"), labels, strict=True)
                    if known
                },
                **{
                    name: pa.FixedSizeListArray.from_arrays(value.ravel(), value.shape[1])
                    for name, value in arrays.items()
                    if value.ndim == 2
                },
            }
        )
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    else:
        write_bytes_atomic(path, save(arrays))
    return path.stat().st_size, _digest(path)


def read_shard(path: Path, name: str, shard: Mapping[str, Any], labels: Labels) -> Arrays:
    """Return the rows called ``name`` of one shard, with ``row``, ``label`` and ``group``.

    Raises
    ------
    CorruptArtefactError
        If the file is missing or not the one that was written.
    """
    try:
        altered = _digest(path) != shard["sha256"]
        if not altered and path.suffix == FORMATS["parquet"]:
            return _read_parquet(path, name, labels)
        if not altered:
            with safe_open(path, framework="np") as file:
                return {n: file.get_tensor(n) for n in ("row", "label", "group", name)}
    except (OSError, SafetensorError) as error:
        raise CorruptArtefactError(
            f"The shard {str(path)!r} cannot be read: {error}. Collect the rows again."
        ) from error
    raise CorruptArtefactError(
        f"The shard {str(path)!r} is not the one that was written: its SHA-256 differs. Collect "
        "the rows again."
    )


def _read_parquet(path: Path, name: str, labels: Labels) -> Arrays:
    _, pq = _pyarrow()
    table = pq.read_table(path)
    values = table.column(name).combine_chunks()
    arrays = {"row": table.column("row").to_numpy(), name: values.flatten().to_numpy()}
    arrays[name] = arrays[name].reshape(len(values), -1)
    for column, known in zip(("label", "group"), labels, strict=True):
        codes = {label: i for i, label in enumerate(known)}
        arrays[column] = np.array(
            [codes[v] for v in table.column(column).to_pylist()] if known else [0] * len(values),
            dtype=np.int64,
        )
    return arrays


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            '`rows="parquet"` needs pyarrow. Install it with: pip install pyarrow'
        ) from error
    return pa, pq
