"""One run, stage by stage: read, check, split, judge, start, train, judge again, write.

What a stage found is kept in the folder of the unfinished run, so that a resumed one goes on
behind the last stage that was finished; the training goes on inside itself.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isonomy import plugins
from isonomy._atomic import write_text_atomic
from isonomy._version import __version__
from isonomy.adapters._finetune._before import judged_before
from isonomy.adapters._finetune._checks import data_checks
from isonomy.adapters._finetune._cost import device_megabytes, estimate_cost, peak_megabytes
from isonomy.adapters._finetune._encoded import EncodedRows
from isonomy.adapters._finetune._finishing import finish_head
from isonomy.adapters._finetune._identity import data_digest, files_of, library_versions
from isonomy.adapters._finetune._judge import Judged, judge
from isonomy.adapters._finetune._model import (
    Classifier,
    load_classifier,
    probabilities,
    with_adapters,
)
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._pictures import without_unreadable
from isonomy.adapters._finetune._record import (
    data_record,
    model_record,
    start_words,
    strategy_sentence,
    title_of,
    trainable_record,
    whole_record,
)
from isonomy.adapters._finetune._rows import PARTS, Columns, LabelledRows, read_rows
from isonomy.adapters._finetune._saving import read_back, save_model, usage, written_files
from isonomy.adapters._finetune._split import Parts, split_rows
from isonomy.adapters._finetune._starting import Start, choose, start_adapters
from isonomy.adapters._finetune._training import Trained, train
from isonomy.adapters._finetune._work import Work, finished_folder, working
from isonomy.errors import RareClassWarning, SameCountsWarning, UndefinedRateWarning

__all__ = ["Run"]

Progress = Callable[[str, int, int], None]

_AFTERWARDS = frozenset({"n_boot", "finish", "finish_weight"})  # a resumed run may change them
_SAMPLE = 64
"""Judged rows on which what was written is compared with what was trained."""


@dataclass
class Run:
    """The stages of one run, with what they share."""

    model: Any
    dataset: Any
    columns: Columns
    options: FinetuneOptions
    progress: Progress
    command: str | None = None
    rows: LabelledRows = field(init=False)
    parts: Parts = field(init=False)
    checks: list[dict[str, Any]] = field(init=False)
    seconds: dict[str, float] = field(init=False, default_factory=dict)

    def read(self) -> None:
        """Read, check and split the rows: every run does that anew."""
        with self._timed("reading"):
            self.progress("reading the data", 0, 1)
            self.rows = read_rows(self.dataset, self.columns, self.options)
            if self.rows.kind == "image":
                share = self.options.max_bad_share
                self.rows = without_unreadable(
                    self.rows, max_bad_share=share, progress=self.progress
                )
            self.parts = split_rows(self.rows, self.options)
            self.checks = data_checks(self.rows, self.parts)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    @property
    def group_names(self) -> list[str] | None:
        """The groups in the order of their codes."""
        return None if self.rows.groups is None else sorted(set(self.rows.groups.tolist()))

    def load(self) -> tuple[Classifier, dict[str, EncodedRows]]:
        """Return the model before training, and the parts as it reads them."""
        with self._timed("loading"):
            self.progress("loading the model", 0, 1)
            classifier = load_classifier(self.model, self.rows, self.options)
            self.progress("encoding the rows", 0, 1)
            data = {
                name: EncodedRows(
                    self.rows, self.parts.of(name), classifier.batcher, self.group_names
                )
                for name in PARTS
            }
        return classifier, data

    def plan(self) -> dict[str, Any]:
        """Return what a run would cost; nothing is written."""
        self.read()
        classifier, data = self.load()
        # which layer is not asked before the run: all of them cost the same
        layer = 0 if self.options.layer is None else self.options.layer
        with _said_elsewhere():
            adapted = with_adapters(classifier, self.options, layer)
        cost = estimate_cost(
            adapted,
            data["train"],
            n_judged=len(data["test"]),
            n_watched=len(data["validation"]),
            counts=self.rows.counts(self.parts.train).tolist(),
            group_names=self.group_names,
            options=self.options,
            progress=self.progress,
        )
        found = whole_record(
            data=data_record(self.rows, self.parts, self.columns, self.checks),
            model=self._model_record(classifier, data),
            training={
                "strategy": self.options.strategy,
                "sentence": strategy_sentence(self.options, self.options.layer),
                "objective": self.options.objective,
                "learning_rate": self.options.rate,
                "trainable": trainable_record(adapted),
            },
            cost=cost,
        )
        return {**found, "kind": "finetuning_plan"}

    def _model_record(self, classifier: Classifier, data: dict[str, EncodedRows]) -> dict[str, Any]:
        n_truncated = int(getattr(classifier.batcher, "n_truncated", 0))
        return model_record(self.model, classifier, self.options, n_truncated=n_truncated)

    def identity(self) -> dict[str, Any]:
        """Return what must be the same when a run goes on."""
        options = {f"`{k}`": v for k, v in self.options.to_dict().items() if k not in _AFTERWARDS}
        columns = [self.columns.kind, self.columns.inputs, self.columns.label, *self.columns.groups]
        return {
            "isonomy version": __version__,
            "the model": [str(self.model), *files_of(self.model)],
            "the data": data_digest(self.rows, self.parts),
            "the columns": columns,
            **options,
        }

    def execute(self, output: Path, *, resume: bool) -> tuple[dict[str, Any], Classifier]:
        """Train, judge and write; return the result and the classifier, read back from disk."""
        with working(output, self.identity(), resume=resume) as work, _said_elsewhere():
            classifier, data = self.load()
            before = self._before(work, classifier, data)
            start = self._adapted(work, classifier, data)
            trained = self._train(work, start.classifier, data)
            after = self._after(work, start.classifier, data)
            judgements = [before, after] if before else [after]
            with finished_folder(output) as folder:
                return self._write(folder, start, data, trained, judgements)

    def _judged(self, index: str = "test") -> Judged:
        chosen = self.parts.of(index)
        return Judged(
            labels=self.rows.labels[chosen],
            classes=self.rows.classes,
            counts=self.rows.counts(self.parts.train),
            groups=None if self.rows.groups is None else self.rows.groups[chosen],
            min_cell=self.options.min_cell,
            n_boot=self.options.n_boot,
            random_state=self.options.random_state,
        )

    def _before(
        self, work: Work, classifier: Classifier, data: dict[str, EncodedRows]
    ) -> dict[str, Any] | None:
        if not self.options.before:
            return None
        kept = work.get("before")
        if kept is not None:
            return dict(kept)
        with self._timed("judging before"):
            self.progress("judging the model before training", 0, 1)
            found = judged_before(classifier, self.rows, self.parts, data["test"], self.options)
            record = judge(
                found.scores,
                self._judged(),
                name="before",
                label=found.label,
                what=found.what,
                progress=self.progress,
            )
        return dict(work.keep("before", record))

    def _adapted(self, work: Work, classifier: Classifier, data: dict[str, EncodedRows]) -> Start:
        with self._timed("starting"):
            choice = work.get("layer")
            if choice is None and self.options.spread == "one_layer":
                self.progress("choosing the layer", 0, 1)
                chosen = choose(classifier, self.rows, self.parts, self.options)
                choice = work.keep("layer", chosen)
            layer = None if choice is None else int(choice["layer"])
            adapted = with_adapters(classifier, self.options, layer)
            self.progress("starting the adapters", 0, 1)
            counts = self.rows.counts(self.parts.train)
            return start_adapters(adapted, data["train"], counts, choice, self.options)

    def _train(self, work: Work, classifier: Classifier, data: dict[str, EncodedRows]) -> Trained:
        with self._timed("training"):
            work.checkpoints.mkdir(exist_ok=True)
            trained = train(
                classifier,
                data,
                self.options,
                work.checkpoints,
                group_names=self.group_names,
                progress=self.progress,
            )
        if self.options.finishing == "none" or classifier.head != "classification":
            return trained
        with self._timed("finishing"):
            self.progress("finishing the head", 0, 1)
            counts = self.rows.counts(self.parts.train)
            return replace(trained, finish=finish_head(classifier, data, counts, self.options))

    def _after(
        self, work: Work, classifier: Classifier, data: dict[str, EncodedRows]
    ) -> dict[str, Any]:
        with self._timed("judging after"):
            self.progress("judging the trained model", 0, 1)
            scores = probabilities(classifier, data["test"], self.options.batch_size)
            return judge(
                scores,
                self._judged(),
                name="after",
                label=f"fine-tuned, {self.options.strategy}",
                what=strategy_sentence(self.options),
                progress=self.progress,
            )

    def _write(
        self,
        folder: Path,
        start: Start,
        data: dict[str, EncodedRows],
        trained: Trained,
        judgements: list[dict[str, Any]],
    ) -> tuple[dict[str, Any], Classifier]:
        classifier = start.classifier
        with self._timed("writing"):
            self.progress("writing", 0, 1)
            share = trainable_record(classifier)
            save_model(classifier, folder)
            if start.report is not None:
                start.report.save_start(folder)
            if trained.finish is not None and trained.finish.report is not None:
                trained.finish.report.save_finish(folder)
            model = self._model_record(classifier, data)
            adapter = usage(classifier, model, self.options)
            sample = EncodedRows(
                self.rows, self.parts.test[:_SAMPLE], classifier.batcher, self.group_names
            )
            verified, loaded = read_back(classifier, folder, sample, self.options)
            adapter["verified"] = verified
        result = whole_record(
            title=title_of(model["base_model"], self.rows.name),
            question=self._question(),
            created_by={"command": self.command, "random_state": self.options.random_state},
            data=data_record(self.rows, self.parts, self.columns, self.checks),
            model=model,
            training=self._training_record(start, trained, share),
            judgements=judgements,
            not_computed=self._not_computed(judgements),
            cost=self._cost(trained, classifier),
            adapter=adapter,
            files=written_files(folder),
            reproduce={"command": self.command, "python": [], "versions": library_versions()},
        )
        for name, render in (
            ("README.md", "card"),
            ("index.html", "html"),
            ("report.json", "json"),
        ):
            write_text_atomic(folder / name, _rendered(result, render))
        return result, loaded

    def _question(self) -> str:
        what = "text" if self.rows.kind == "text" else "picture"
        return (
            f"For every {what} the model names one of {len(self.rows.classes)} classes. Does it "
            "find rare classes as often as common ones, before and after it was fine-tuned?"
        )

    def _training_record(
        self, start: Start, trained: Trained, share: dict[str, Any]
    ) -> dict[str, Any]:
        options = self.options
        stopped = None
        if trained.steps < trained.planned:
            stopped = f"at step {trained.steps} of {trained.planned}: the worst third got no better"
        layer = None if start.choice is None else int(start.choice["layer"])
        finish = None if trained.finish is None else trained.finish.record
        finished = "" if finish is None else str(finish["sentence"])
        lora = None
        if options.spread in ("attention", "one_layer"):
            config = start.classifier.body.peft_config["default"]
            targets = config.target_modules
            names = {str(n).rsplit(".", 1)[-1] for n in targets} if targets else set()
            lora = {
                "r": options.r,
                "lora_alpha": options.lora_alpha,
                "lora_dropout": options.lora_dropout,
                "target_modules": sorted(names) if not isinstance(targets, str) else [targets],
            }
        return {
            "strategy": options.strategy,
            "sentence": strategy_sentence(options, layer),
            "description": " ".join(filter(None, (start.description, finished))),
            "objective": trained.objective,
            "objective_settings": trained.settings,
            "spread": options.spread,
            "start": start.record,
            "start_words": start_words(options, start.record),
            "finish": finish,
            "layer": start.choice,
            "lora": lora,
            "trainable": share,
            "optimiser": {
                "learning_rate": options.rate,
                "rows_a_step": options.batch_size * options.accumulate,
                "batch_size": options.batch_size,
                "accumulate": options.accumulate,
                "warmup": options.warmup,
                "weight_decay": options.weight_decay,
            },
            "steps": trained.steps,
            "planned_steps": trained.planned,
            "kept_step": trained.kept_step,
            "stopped": stopped,
            "history": trained.history,
        }

    def _not_computed(self, judgements: list[dict[str, Any]]) -> list[dict[str, str]]:
        found = []
        if len(judgements) < 2:
            found.append({"what": "figures before training", "why": "it was not asked for"})
        for judged in judgements[-1:]:
            for m in judged["measures"]:
                if m["reason"]:
                    found.append({"what": m["metric"].replace("_", " "), "why": m["reason"]})
            if judged["audit"] is None and self.rows.groups is not None:
                found.append({"what": "the audit of groups", "why": judged["audit_reason"]})
        return found

    def _cost(self, trained: Trained, classifier: Classifier) -> dict[str, Any]:
        done = max(1, trained.steps - trained.resumed_at)
        notes = []
        if trained.resumed_at:
            notes.append(
                f"The run was resumed at step {trained.resumed_at}: seconds are those since then."
            )
        return {
            "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
            "total_seconds": round(sum(self.seconds.values()), 3),
            "seconds_a_step": trained.seconds / done,
            "steps": trained.steps,
            "peak_memory_mb": peak_megabytes(),
            "device_memory_mb": device_megabytes(classifier.device),
            "device": str(classifier.device),
            "notes": notes,
        }


def _rendered(result: dict[str, Any], form: str) -> str:
    return str(plugins.get("report_formats", form)(result))


@contextmanager
def _said_elsewhere() -> Iterator[None]:
    """Keep what the data checks say in full from being warned of again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RareClassWarning)
        warnings.simplefilter("ignore", SameCountsWarning)
        warnings.filterwarnings("ignore", ".*no row of the evaluation data", UndefinedRateWarning)
        # peft 0.21 asks transformers 5.23 by an old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
