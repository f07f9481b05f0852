"""Every method on hidden states of real biographies: utility, gaps, leakage, seconds.

Run from the repository root, with the biographies in ``../shared/data`` (or ``--folder``, or the
environment variable ``ISONOMY_DATA``) and a model in ``../shared/models/small_llama`` (or
``--model``; where there is none, ``pretrain.py`` trains one)::

    python benchmarks/biographies.py --jobs 2 --report
    python benchmarks/biographies.py --kind frozen --methods 'untouched,leace,ideal_*' --seeds 2
    python benchmarks/biographies.py --quick

Hidden states are kept under ``--work``, and each (kind, seed, fold, method) is one file there: an
interrupted run goes on where it stopped, and a method whose code or settings changed is fitted
again. Progress goes to stderr, tables to stdout; ``--report`` writes
docs/hidden-states-measured.md, its figure and a section of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from _biographies.entries import ENTRIES
from _biographies.features import KINDS
from _biographies.figure import TITLES
from _biographies.goals import goal_lines
from _biographies.judging import Judged, judge_kind
from _biographies.report import write_report
from _biographies.running import Tell, run_missing
from _biographies.tables import gap_table, missing_lines, states_table
from _biographies.texts import Settings
from _real_data.running import telling

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_KINDS = "frozen,finetuned,tfidf"
QUICK = {"seeds": 1, "n_boot": 500, "size": 4_200, "epochs": 1, "kind": "frozen,tfidf"}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = ROOT.parent / "shared"
    data = os.environ.get("ISONOMY_DATA", str(shared / "data"))
    parser.add_argument("--folder", default=data, help="where the biographies lie")
    model = shared / "models" / "small_llama"
    parser.add_argument("--model", type=Path, default=model, help="a local model's folder")
    work = ROOT / ".benchmarks" / "biographies"
    parser.add_argument("--work", type=Path, default=work, help="where results are kept")
    parser.add_argument("--kind", help=f"by comma, of {', '.join(KINDS)}; tfidf:2 takes 2 seeds")
    parser.add_argument("--methods", default="*", help="names by comma; may hold *")
    parser.add_argument("--seeds", type=int, help="how many (5)")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of the network")
    parser.add_argument("--epochs", type=int, help="of fine-tuning (2)")
    parser.add_argument("--size", type=int, help="a stratified sample of so many rows")
    parser.add_argument("--n-boot", type=int, help="replicates of intervals and tests (2000)")
    parser.add_argument("--quick", action="store_true", help="a small sample, one seed")
    parser.add_argument("--states", action="store_true", help="compute the states and stop")
    parser.add_argument("--judge", action="store_true", help="fit nothing, judge what is there")
    parser.add_argument("--fresh", action="store_true", help="forget fits; states are kept")
    parser.add_argument("--report", action="store_true", help="write the page and the figure")
    parser.add_argument("--root", type=Path, default=ROOT, help="whose docs --report writes")
    parser.add_argument("--list", action="store_true", help="list the methods")
    asked = parser.parse_args(arguments)
    usual = {"seeds": 5, "n_boot": 2_000, "size": None, "epochs": 2, "kind": DEFAULT_KINDS}
    for name, value in (QUICK if asked.quick else usual).items():
        setattr(asked, name, value if getattr(asked, name) is None else getattr(asked, name))
    asked.kinds = {}
    for part in filter(None, asked.kind.split(",")):
        name, _, n = part.partition(":")
        for kind in _among(name, KINDS, "--kind", parser):
            asked.kinds[kind] = range(int(n) if n else asked.seeds)
    asked.entries = _among(asked.methods, tuple(ENTRIES), "--methods", parser)
    return asked


def _among(
    patterns: str, known: Sequence[str], option: str, parser: argparse.ArgumentParser
) -> list[str]:
    found: set[str] = set()
    for pattern in filter(None, patterns.split(",")):
        named = {name for name in known if fnmatch(name, pattern)}
        if not named:
            parser.error(f"{option} names {pattern!r}, which is none of {', '.join(known)}")
        found |= named
    return [name for name in known if name in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the tables."""
    asked = parse(arguments)
    if asked.list:
        print("\n".join(f"{name}: {entry.label}" for name, entry in ENTRIES.items()))
        return 0
    if asked.fresh:
        for part in ("folds", "judged", "heads", "penalty"):
            shutil.rmtree(asked.work / part, ignore_errors=True)
    start = time.perf_counter()
    with telling() as tell:
        settings = _settings(asked, tell)
        n_run = 0 if asked.judge else _run(asked, settings, tell)
        all_judged = [] if asked.states else _judge(asked, settings, tell)
    for judged in all_judged:
        print_tables(judged)
    if asked.report and all_judged:
        words = {"model": asked.model.name, "max_tokens": settings.max_tokens}
        for path in write_report(asked.root, all_judged, epochs=settings.epochs, **words):
            print(f"wrote {path}", file=sys.stderr)
    spent = time.perf_counter() - start
    print(f"{n_run} fits in this run; {spent:.0f} s on the clock", file=sys.stderr)
    return 0


def _settings(asked: argparse.Namespace, tell: Tell) -> Settings:
    model = asked.model
    needs_model = any(not kind.startswith("tfidf") for kind in asked.kinds)
    if needs_model and not (model / "config.json").exists():
        import pretrain

        model = pretrain.ensure_model(asked.folder, asked.work.parent / "pretrain", tell)
        asked.model = model
    return Settings(
        asked.folder, str(model), asked.work, asked.size, asked.epochs, threads=asked.threads
    )


def _run(asked: argparse.Namespace, settings: Settings, tell: Tell) -> int:
    entries = [] if asked.states else asked.entries
    return run_missing(asked.kinds, entries, settings, jobs=asked.jobs, tell=tell)


def _judge(asked: argparse.Namespace, settings: Settings, tell: Tell) -> list[Judged]:
    found = [
        judge_kind(kind, seeds, asked.entries, settings, n_boot=asked.n_boot, tell=tell)
        for kind, seeds in asked.kinds.items()
    ]
    return [judged for judged in found if judged.rows]


def print_tables(judged: Judged) -> None:
    """Print one kind's tables to stdout."""
    print(f"\n## {TITLES[judged.kind]} (C = {judged.C:g})\n\n{gap_table(judged)}")
    print(f"\n{states_table(judged)}\n")
    print("\n".join(f"- {line}" for line in goal_lines(judged)))
    print(missing_lines(judged))


if __name__ == "__main__":
    raise SystemExit(main())
