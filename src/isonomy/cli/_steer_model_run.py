"""Run ``isonomy steer --model``: read, choose, collect, fit, judge, write; each stage once.

What a stage found is kept in the folder of the unfinished run, so that ``--resume`` goes on
behind the last stage that was finished; collection goes on inside itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isonomy._version import __version__
from isonomy.artefact import data_fingerprint, write_text_atomic
from isonomy.cli._folder import check_folder, whole_folder
from isonomy.cli._outputs import check_can_draw
from isonomy.cli._quiet_models import check_llm_extra, quiet_models
from isonomy.cli._steer_model_choice import Place, choose_place
from isonomy.cli._steer_model_fit import fit_and_judge
from isonomy.cli._steer_model_request import ModelRequest
from isonomy.cli._steer_model_write import clear_stale, write_all
from isonomy.cli._text_rows import (
    Parts,
    TextRows,
    data_identity,
    read_text_rows,
    split_rows,
)
from isonomy.cli._unfinished import Unfinished, check_not_unfinished, unfinished
from isonomy.cli.progress import Report
from isonomy.report import dump_result

if TYPE_CHECKING:
    from isonomy.hidden_states.steered_model import SteeredModel

__all__ = ["steer_model"]

CHOSEN, RESULT, FITTED = "chosen.json", "result.json", "fitted"


def steer_model(
    request: ModelRequest, output: Path, *, resume: bool, progress: Report
) -> dict[str, Any]:
    """Write artefact, adapters, report and card into the folder ``output``; return the result.

    Raises
    ------
    MissingExtraError
        If the extras ``llm`` or ``report`` are not installed.
    InvalidInputError
        If model, data or options cannot be used; nothing is left behind then.
    DataFileError
        If there is an unfinished run and ``resume`` is off.
    """
    check_llm_extra("`isonomy steer --model`")
    check_can_draw()
    check_folder(output)
    identity = {"isonomy version": __version__, "command": "steer --model"}
    identity |= data_identity(request.dataset) | request.identity()
    identity["model files"] = data_identity(request.model)["files"]
    check_not_unfinished(output, resume=resume)
    with quiet_models():
        inputs = _read_inputs(request, progress)
    with quiet_models(), unfinished(output, identity, resume=resume) as work:
        run = _Run(request, work, progress, *inputs)
        place = run.choose()
        states = run.collect(place)
        steered, result = run.fit(place, states)
        progress("writing", 0, 1)
        with whole_folder(output) as folder:
            write_all(
                folder,
                steered,
                result,
                texts=[run.rows.texts[i] for i in run.parts.test[:64]],
                fingerprint=data_fingerprint(states, run.rows.labels, run.rows.groups),
                seconds=run.seconds(),
                request=request,
            )
            clear_stale(output, folder)
    return result


def _read_inputs(request: ModelRequest, progress: Report) -> tuple[TextRows, Parts, Any, Any]:
    """Read and split the rows, and load the model: every run does that anew.

    It is done before the folder of the run exists: what cannot be read leaves nothing, and
    costs a stopped run nothing.
    """
    from isonomy.hidden_states import load_model

    progress("reading texts", 0, 1)
    options = request.of_model
    rows = read_text_rows(
        request.dataset,
        text=request.text,
        label=request.label,
        groups=request.groups,
        split=options.split,
        drop_missing=request.drop_missing,
        missing_groups=request.missing_groups,
    )
    parts = split_rows(
        rows,
        test_size=request.test_size,
        random_state=request.random_state,
        every_cell=request.mode != "blind",
    )
    progress("loading the model", 0, 1)
    model, tokenizer = load_model(request.model, **options.loading())
    return rows, parts, model, tokenizer


@dataclass
class _Run:
    """The stages of one run, with what they share."""

    request: ModelRequest
    work: Unfinished
    progress: Report
    rows: TextRows
    parts: Parts
    model: Any
    tokenizer: Any

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Keep the seconds of a stage that was finished."""
        start, before = time.perf_counter(), self.seconds().get(stage, 0.0)
        yield
        spent = round(before + time.perf_counter() - start, 2)
        self.work.save(seconds=self.seconds() | {stage: spent})

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage so far, over all runs."""
        return dict(self.work.get("seconds", {}))

    def choose(self) -> Place:
        """Return where to steer: as asked, or where the curves of the layers say."""
        path = self.work.folder / CHOSEN
        if self.work.get("chosen"):
            return Place.from_dict(json.loads(path.read_text(encoding="utf-8")))
        with self.timed("choose"):
            place = choose_place(
                self.request,
                self.rows,
                self.parts,
                self.model,
                self.tokenizer,
                self.work.folder,
                progress=self.progress,
            )
        write_text_atomic(path, dump_result(place.to_dict()))
        self.work.save(chosen=True)
        return place

    def collect(self, place: Place) -> NDArray[np.float32]:
        """Return the states of all rows at the place, in their order."""
        from isonomy.hidden_states import collect

        with self.timed("collect"):
            options = self.request.of_model
            collected = collect(
                self.model,
                self.rows.columns(),
                text="text",
                label="label",
                group="group",
                layers=None if place.layer is None else [place.layer],
                site=place.site,
                positions=options.positions,
                tokenizer=self.tokenizer,
                batch_size=options.batch_size,
                max_length=options.max_length,
                rows="safetensors",
                output=self.work.folder / "states",
                resume=True,
                progress=self.progress,
            )
        states, _, _ = collected.rows(place.layer)
        return np.asarray(states, dtype=np.float32)

    def fit(self, place: Place, states: NDArray[np.float32]) -> tuple[SteeredModel, dict[str, Any]]:
        """Return the fitted model and the comparison, both kept for a resumed run."""
        from isonomy.hidden_states._steered_head import head_of
        from isonomy.hidden_states.steered_model import SteeredModel, load_steered_model

        kept, path = self.work.folder / FITTED, self.work.folder / RESULT
        if self.work.get("fitted"):
            steered = load_steered_model(kept, model=self.model, tokenizer=self.tokenizer)
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return steered, found
        with self.timed("fit"):
            fit = fit_and_judge(
                states,
                self.rows,
                self.parts,
                self.request,
                words=self._words(states),
                progress=self.progress,
            )
        steered = SteeredModel(
            model=self.model,
            tokenizer=self.tokenizer,
            head=head_of(fit.classifier),
            site=place.site,
            layer=place.layer,
            positions=self.request.of_model.positions,
            max_length=self.request.of_model.max_length,
            base_model=self.request.model,
            revision=_commit(self.model, self.request),
            steerer=fit.classifier.steerer_,
            task=self.request.of_model.task,
        )
        result = fit.result | {"steered_model": place.words(self.model) | {"method_why": fit.why}}
        steered.save(kept)
        write_text_atomic(path, dump_result(result))
        self.work.save(fitted=True)
        return steered, result

    def _words(self, states: NDArray[Any]) -> dict[str, Any]:
        request, rows, parts = self.request, self.rows, self.parts
        command, groups = request.command_line(), ", ".join(request.groups)
        name = Path(request.model).name
        dropped = f" {rows.n_dropped} rows with something missing were dropped." * bool(
            rows.n_dropped
        )
        return {
            "title": f"{name} on {rows.name}, before and after steering",
            "question": (
                f"A linear head reads a hidden state of {name} and decides on {request.label!r}. "
                f"Does it find every class equally often in every group ({groups}), before and "
                "after that state is steered?"
            ),
            "data": {
                "name": rows.name,
                "description": (
                    f"{len(rows.texts)} texts; {request.test_size:.0%} of every (label, group) "
                    f"cell, chosen at random, were kept for judging ({len(parts.test)}); they had "
                    "no part in any choice. Everything that is judged was fitted on the other "
                    f"{len(parts.known)}.{dropped}"
                ),
            },
            "created_by": {"command": command, "random_state": request.random_state},
            "reproduce": {"command": command, "python": []},
        }


def _commit(model: Any, request: ModelRequest) -> str | None:
    """Return the commit that was loaded from the hub; None for a folder."""
    if Path(request.model).is_dir():
        return None
    found = getattr(getattr(model, "config", None), "_commit_hash", None)
    return str(found) if found else request.of_model.revision
