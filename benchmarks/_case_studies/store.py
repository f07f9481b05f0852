"""Results on disk, one JSON file a study, from which pages and figures can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _real_data.store import read_record, write_record

from _case_studies.study import Asked, Results, Study

__all__ = ["keep", "kept"]

FORM = 1
"""Raised when what the pages read from results changes: older files then count as absent."""


def keep(work: Path, study: Study, asked: Asked, results: Results) -> Path:
    """Store results whole or not at all; return where."""
    path = _place(work, study, asked)
    write_record(path, _key(study, asked), results)
    return path


def kept(work: Path, study: Study, asked: Asked) -> Results | None:
    """Return the results stored for this study and seed, or None."""
    return read_record(_place(work, study, asked), _key(study, asked))


def _place(work: Path, study: Study, asked: Asked) -> Path:
    return work / ("quick" if asked.quick else "full") / f"{study.name}.json"


def _key(study: Study, asked: Asked) -> dict[str, Any]:
    return {"study": study.name, "form": FORM, "seed": asked.seed, "quick": asked.quick}
