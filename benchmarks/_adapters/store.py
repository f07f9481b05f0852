"""What a run leaves on disk: a record in JSON and its logits, each whole or absent."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.store import digest_of, read_record, write_record

from _adapters.cells import Run
from _adapters.data import CellRows
from _adapters.derived import Logits
from isonomy._atomic import atomic_path

__all__ = ["Place", "library_state", "read_logits", "read_run", "write_run"]

CODE = 1
"""Raise it when the meaning of a record changes: all runs are then done again."""


LOOP = ("data", "images", "clip", "model", "training", "running", "zero_shot", "perplexity")
"""Files of this folder, beside the library's, on which a run depends."""


@lru_cache(maxsize=1)
def library_state() -> str:
    """Return a digest of the code that trains: the library's adapters and the loop's files.

    It is kept in the record, not in its key: a comment that changed makes no run anew, but the
    report says how many records come from another state.
    """
    from isonomy import adapters

    library = Path(adapters.__file__).parent
    files = {path.relative_to(library).as_posix(): path for path in library.rglob("*.py")}
    files |= {f"loop/{name}.py": Path(__file__).with_name(f"{name}.py") for name in LOOP}
    state = hashlib.blake2b(digest_size=8)
    for name, path in sorted(files.items()):
        state.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


class Place:
    """Where one run's files lie, and the key by which a stored record is known as its own."""

    def __init__(self, work: Path, run: Run, fingerprint: str, model: str) -> None:
        self.key: dict[str, Any] = {
            "code": CODE,
            "cell": run.cell.name,
            "rows": fingerprint,
            "model": model,
            "recipe": run.recipe.plain(),
            "zero_shot": run.method == "zero_shot",
            "versions": [version(name) for name in ("torch", "transformers", "peft")],
        }
        # by recipe, not by name: an ablation that is the method's twin is not trained twice
        stem = work / "runs" / run.cell.name / digest_of(self.key)
        self.record, self.logits = stem.with_suffix(".json"), stem.with_suffix(".safetensors")


def read_run(place: Place) -> dict[str, Any] | None:
    """Return a stored record if it and its logits are whole."""
    found = read_record(place.record, place.key)
    return found if found is not None and place.logits.exists() else None


def write_run(place: Place, found: dict[str, Any], logits: dict[str, Any], rows: CellRows) -> None:
    """Write the logits, then the record: a record without logits is never seen."""
    from safetensors.numpy import save_file

    arrays = {
        "val": logits["val"].astype(np.float16),
        "test": logits["test"].astype(np.float16),
        "y_val": rows.val.y.astype(np.int32),
        "y_test": rows.test.y.astype(np.int32),
        "counts": rows.counts.astype(np.int32),
    }
    with atomic_path(place.logits) as temporary:
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, temporary)
    write_record(place.record, place.key, {**found, "library": library_state()})


def read_logits(place: Place) -> Logits:
    """Return the logits of a stored run."""
    from safetensors.numpy import load_file

    found = load_file(place.logits)
    codes = {name: found[name].astype(np.intp) for name in ("y_val", "y_test", "counts")}
    val, test = (found[name].astype(np.float32) for name in ("val", "test"))
    return Logits(val, codes["y_val"], test, codes["y_test"], codes["counts"])
