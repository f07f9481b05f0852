"""Train what is missing, tuning first, in any number of processes, within a budget."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.store import digest_of
from sklearn.utils.parallel import Parallel, delayed

from _adapters.cells import Cell, Run, tuning_cells
from _adapters.clip import CLIP_NAME, clip_folder, ensure_clip
from _adapters.data import CellRows, held_out_texts, read_cell
from _adapters.images import IMAGE_SETS
from _adapters.judging import judge
from _adapters.methods import Method, Recipe
from _adapters.store import Place, read_run, write_run

__all__ = [
    "Settings",
    "Tell",
    "chosen_recipes",
    "place_of",
    "run_missing",
    "tuned_score",
    "tuning_runs",
]

Tell = Callable[[str, int, int], None]

# One run that fails leaves the others standing; it is told on stderr and tried again next time.
FAILURES = (
    ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError, TypeError, AttributeError,
    ImportError, OSError,
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Where things lie and how long it may take. ``deadline`` is a ``time.time()``."""

    folder: str
    model: str
    work: Path
    device: str = "cpu"
    threads: int = 1
    deadline: float = float("inf")


@lru_cache(maxsize=4)
def cell_rows(cell: Cell, folder: str) -> CellRows:
    """Return the rows of a cell, read once a process."""
    return read_cell(cell, folder)


@lru_cache(maxsize=1)
def model_fingerprint(folder: str) -> str:
    """Return a digest of the model's files."""
    import hashlib

    state = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(folder).glob("*")):
        if path.suffix in {".json", ".safetensors"}:
            state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()


def place_of(run: Run, settings: Settings) -> Place:
    """Return where a run's files lie."""
    rows = cell_rows(run.cell, settings.folder)
    images = run.cell.data in IMAGE_SETS
    model = CLIP_NAME if images else model_fingerprint(settings.model)
    return Place(settings.work, run, rows.fingerprint, model)


def tuning_runs(methods: Sequence[Method]) -> list[Run]:
    """Return every setting of every method that has several, on the cells that tune."""
    found = []
    for method in methods:
        recipes = method.recipes()
        if len(recipes) > 1:
            cells = tuning_cells(method)
            found += [Run(cell, method.name, recipe) for cell in cells for recipe in recipes]
    return found


def chosen_recipes(
    methods: Sequence[Method], settings: Settings, *, first: bool = False
) -> dict[str, Recipe]:
    """Return each method's recipe that is best on the balanced validation rows of its tuning cells.

    A method of which a setting has not been tried yet is left out. ``first`` takes the first
    setting of each without looking.
    """
    found = {}
    for method in methods:
        recipes = method.recipes()
        if first or len(recipes) == 1:
            found[method.name] = recipes[0]
            continue
        scores = [tuned_score(method, recipe, settings) for recipe in recipes]
        if all(score is not None for score in scores):
            values = [float("-inf") if s is None or np.isnan(s) else s for s in scores]
            found[method.name] = recipes[int(np.argmax(values))]
    return found


def tuned_score(method: Method, recipe: Recipe, settings: Settings) -> float | None:
    """Return the mean macro-F1 of the tuning cells' validation rows; None if a run is missing."""
    runs = [Run(cell, method.name, recipe) for cell in tuning_cells(method)]
    records = [read_run(place_of(run, settings)) for run in runs]
    found = [record["validation"]["macro_f1"] for record in records if record is not None]
    return float(np.mean(found)) if len(found) == len(runs) else None


def run_missing(
    runs: Sequence[Run], settings: Settings, *, workers: int, tell: Tell
) -> tuple[int, int]:
    """Train every run that is not on disk; return how many were, and how many time left over."""
    missing, seen = [], set()
    for run in runs:
        place = place_of(run, settings)
        if place.record not in seen and read_run(place) is None:
            seen.add(place.record)
            missing.append(run)
    if any(run.cell.data in IMAGE_SETS for run in missing):
        ensure_clip(settings.work, settings.folder, tell)
    done = 0
    for line in _run(missing, settings, workers):
        done += 1
        tell(line, done, len(missing))
    if done < len(missing):
        tell(f"time is up: {len(missing) - done} runs are left", done, len(missing))
    return done, len(missing) - done


def _run(runs: Sequence[Run], settings: Settings, workers: int) -> Iterator[str]:
    in_time = (run for run in runs if time.time() < settings.deadline)
    if workers == 1:
        yield from (train_one(run, settings) for run in in_time)
        return
    # handed out one by one, so that none starts after the deadline
    pool = Parallel(
        n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
    )
    yield from pool(delayed(train_one)(run, settings) for run in in_time)


def train_one(run: Run, settings: Settings) -> str:
    """Train, judge and store one run; return a line about it."""
    import torch

    torch.set_num_threads(settings.threads)
    start = time.perf_counter()
    name = f"{run.cell.name}, {run.method} {digest_of(run.recipe.plain())[:6]}"
    place = place_of(run, settings)
    if read_run(place) is not None:
        return f"{name}: there already"
    _quiet()
    try:
        if run.method == "zero_shot":
            from _adapters.zero_shot import zero_shot

            found, logits = zero_shot(run.cell, settings)
        else:
            found, logits = fit(run, settings)
    except FAILURES as error:
        said = " ".join(str(error).split())[:300]
        if isinstance(error, FloatingPointError):
            return _write_diverged(place, run, settings, said, name)
        return f"{name}: FAILED, {type(error).__name__}: {said}"
    rows = _judged_rows(run, settings)
    found["validation"] = judge(logits["val"], rows.val.y, rows.counts)
    found["test"] = judge(logits["test"], rows.test.y, rows.counts, rows.test.group)
    found["seconds"] = round(time.perf_counter() - start, 2)
    write_run(place, found, logits, rows)
    told = found["test"]
    shown = f"macro-F1 {told['macro_f1']:.3f}, head {told['head']:.3f}, tail {told['tail']:.3f}"
    return f"{name}: {shown}, {found['seconds']:.0f} s"


def _judged_rows(run: Run, settings: Settings) -> CellRows:
    if run.method != "zero_shot":
        return cell_rows(run.cell, settings.folder)
    from _adapters.zero_shot import few_rows

    return few_rows(run.cell, settings.folder)


def _write_diverged(place: Place, run: Run, settings: Settings, said: str, name: str) -> str:
    """A loss that is not finite is a result: every class alike likely, and the reason."""
    rows = cell_rows(run.cell, settings.folder)
    k = len(rows.classes)
    logits = {part: np.zeros((len(r.y), k)) for part, r in (("val", rows.val), ("test", rows.test))}
    found: dict[str, Any] = {"diverged": said}
    found["validation"] = judge(logits["val"], rows.val.y, rows.counts)
    found["test"] = judge(logits["test"], rows.test.y, rows.counts)
    write_run(place, found, logits, rows)
    return f"{name}: DIVERGED, {said}"


def fit(run: Run, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train one run; return what is known of it beside its logits, and these."""
    from _adapters.model import build, class_counts, finish
    from _adapters.perplexity import perplexity
    from _adapters.training import predict, train
    from isonomy.adapters import make_objective, trainable_share

    rows, recipe, seed = cell_rows(run.cell, settings.folder), run.recipe, run.cell.seed
    folder = settings.model
    if run.cell.data in IMAGE_SETS:
        folder = str(clip_folder(settings.work))
    built = build(recipe, rows, folder, seed=seed, device=settings.device)
    objective = make_objective(
        recipe.objective, class_counts=class_counts(rows), classes=list(rows.classes), **recipe.loss
    )
    share = trainable_share(built.model)
    feed = built.feed(rows.train.inputs)
    step = train(built.model, feed, rows.train.y, objective, recipe, seed=seed)
    finish_seconds = finish(built, recipe, rows, seed=seed)
    logits = {
        part: predict(built.model, built.feed(r.inputs))
        for part, r in (("val", rows.val), ("test", rows.test))
    }
    texts = held_out_texts(settings.folder) if built.tokenizer is not None else []
    found = {
        "recipe": recipe.plain(),
        "classes": list(rows.classes),
        "counts": rows.counts.tolist(),
        "n_test": len(rows.test.y),
        "step_seconds": None if np.isnan(step) else step,
        "start_seconds": built.start_seconds,
        "start": built.start_report,
        "finish_seconds": finish_seconds,
        "layer": built.layer,
        "trainable": share.trainable,
        "total": share.total,
        "share": share.share,
        "perplexity": perplexity(built.model, built.tokenizer, texts) if texts else None,
        "device": settings.device,
    }
    return found, logits


def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for module in ("peft", "transformers"):
        warnings.filterwarnings("ignore", module=module)
