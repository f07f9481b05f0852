"""Six case studies of ideal distributions: numbers, figures and pages, from scratch.

Run from the repository root::

    python benchmarks/case_studies.py all
    python benchmarks/case_studies.py normals risk
    python benchmarks/case_studies.py all --quick --out somewhere

A study computes, keeps its numbers as JSON under ``--work``, and writes its page
docs/case_studies/NAME.md, its figures docs/images/case-*.png and the index anew; ``--pages``
only writes, from the numbers that are kept. ``--quick`` takes coarse grids, and writes under
``--work`` unless ``--out`` says where, so that no page is replaced by a coarse one. The same
seed gives the same numbers, seconds apart. Progress goes to stderr. A study of real tables of
which none is found says so and leaves its page as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from _case_studies.store import keep, kept
from _case_studies.studies import STUDIES
from _case_studies.study import Asked, Study, Tell
from _case_studies.writing import write_index, write_study
from _real_data.running import telling

ROOT = Path(__file__).resolve().parents[1]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = (*STUDIES, "all")
    parser.add_argument("studies", nargs="+", choices=names, help="which studies")
    parser.add_argument("--quick", action="store_true", help="coarse grids, in seconds")
    parser.add_argument("--pages", action="store_true", help="write from kept numbers alone")
    parser.add_argument("--seed", type=int, default=0)
    shared = os.environ.get("ISONOMY_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--folder", type=Path, default=Path(shared), help="where the data lie")
    work = ROOT / ".benchmarks" / "case_studies"
    parser.add_argument("--work", type=Path, default=work, help="where numbers are kept")
    parser.add_argument("--out", type=Path, help="whose docs/ is written; by default this one's")
    asked = parser.parse_args(arguments)
    chosen = STUDIES if "all" in asked.studies else dict.fromkeys(asked.studies)
    asked.studies = [STUDIES[name] for name in chosen]
    if asked.out is None:
        asked.out = asked.work / "quick" if asked.quick else ROOT
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 if ``--pages`` found no numbers of a study."""
    asked = parse(arguments)
    settings = Asked(asked.quick, asked.seed, asked.folder)
    costs, missing = [], []
    with telling() as tell:
        for study in asked.studies:
            start = time.perf_counter(), time.process_time()
            done = _run(study, settings, asked, tell)
            spent = time.perf_counter() - start[0], time.process_time() - start[1]
            costs.append((study.name, *spent))
            missing += [] if done else [study.name]
    print(f"wrote {write_index(asked.out, list(STUDIES.values()))}", file=sys.stderr)
    for name, wall, cpu in costs:
        print(f"{name}: {wall:.1f} s on the clock, {cpu:.1f} s of CPU", file=sys.stderr)
    for name in missing:
        print(f"{name}: no numbers kept; run it without --pages", file=sys.stderr)
    return 1 if missing else 0


def _run(study: Study, settings: Asked, asked: argparse.Namespace, tell: Tell) -> bool:
    if asked.pages:
        results = kept(asked.work, study, settings)
        if results is None:
            return False
    else:
        keep(asked.work, study, settings, study.compute(settings, tell))
        # what is drawn is what was kept: a page made again later is the same to the byte
        results = kept(asked.work, study, settings)
        assert results is not None
    if results.get("missing") and not results["tables"]:
        for why in results["missing"].values():
            print(f"{study.name}: nothing written. {why}", file=sys.stderr)
        return True
    for path in write_study(asked.out, study, results):
        print(f"wrote {path}", file=sys.stderr)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
