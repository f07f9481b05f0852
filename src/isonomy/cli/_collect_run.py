"""Run ``isonomy collect``: load the model, reduce the texts to moments, write them whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isonomy._version import __version__
from isonomy.artefact import write_text_atomic
from isonomy.cli._folder import check_folder, whole_folder
from isonomy.cli._model_options import Reading, Rows, Site
from isonomy.cli._quiet_models import check_llm_extra, quiet_models
from isonomy.cli._text_rows import data_identity
from isonomy.cli._unfinished import check_not_unfinished, unfinished
from isonomy.cli.progress import Report
from isonomy.errors import InvalidInputError
from isonomy.report import dump_result

__all__ = ["CollectRequest", "collect_lines", "run_collect"]

KNOWN_DATA = {"LabHC/bias_in_bios": ("hard_text", "profession", "gender")}
"""Columns of data sets of the hub that need not be named: text, label, group."""

MOST_LAYERS = 8
"""What '--layers auto' reads."""


@dataclass(frozen=True)
class CollectRequest:
    """The options of a run, checked.

    Raises
    ------
    InvalidInputError
        If no text column is named, or the layers are no numbers.
    """

    model: str
    dataset: str
    text: str
    label: str | None
    groups: tuple[str, ...]
    layers: str
    site: Site
    rows: Rows
    reading: Reading

    def __post_init__(self) -> None:
        if not self.text:
            known = ", ".join(KNOWN_DATA)
            raise InvalidInputError(
                f"`isonomy collect` needs --text, the column of the text (known without it: "
                f"{known}). See `isonomy collect --help`."
            )
        if self.site == "head_input" and self.layers not in ("all", "auto"):
            raise InvalidInputError(
                "--site head_input stands behind all blocks, so --layers does nothing there: "
                "leave it out, or name another --site."
            )
        _ = self.chosen

    @classmethod
    def of(
        cls,
        model: str,
        dataset: str,
        text: str | None,
        label: str | None,
        groups: Sequence[str],
        **others: Any,
    ) -> CollectRequest:
        """Return the request, columns of known data sets filled in."""
        known = KNOWN_DATA.get(dataset)
        if known is not None and text is None and label is None and not groups:
            text, label, groups = known[0], known[1], (known[2],)
        return cls(model, dataset, text or "", label, tuple(groups), **others)

    @property
    def chosen(self) -> str | list[int] | None:
        """The layers as `collect` takes them."""
        if self.site == "head_input":
            return None
        if self.layers in ("all", "auto"):
            return "all"
        try:
            return [int(part) for part in self.layers.split(",") if part.strip()]
        except ValueError:
            raise InvalidInputError(
                "--layers must be 'all', 'auto' or numbers of blocks with commas between (0,4,8), "
                f"got {self.layers!r}."
            ) from None

    def identity(self) -> dict[str, Any]:
        """Return what must be the same when a run goes on."""
        return {
            "isonomy version": __version__,
            "model": self.model,
            "model files": data_identity(self.model)["files"],
            **data_identity(self.dataset),
            "columns": [self.text, self.label, *self.groups],
            "layers": self.layers,
            "site": self.site,
            "rows": self.rows,
            **self.reading.identity(),
        }


def run_collect(
    request: CollectRequest, output: Path, *, resume: bool, progress: Report
) -> dict[str, Any]:
    """Write moments (and rows) into the folder ``output``; return their summary.

    Raises
    ------
    MissingExtraError
        If the extra ``llm`` is not installed.
    InvalidInputError
        If model, data or options cannot be used.
    """
    check_llm_extra("`isonomy collect`")
    check_folder(output)
    from isonomy.hidden_states import collect, load_model

    check_not_unfinished(output, resume=resume)
    reading = request.reading
    with quiet_models():
        progress("loading the model", 0, 1)
        model, tokenizer = load_model(request.model, **reading.loading())
    with quiet_models(), unfinished(output, request.identity(), resume=resume) as work:
        collected = collect(
            model,
            request.dataset,
            text=request.text,
            label=request.label,
            group=list(request.groups) or None,
            layers=_some_of(model) if request.layers == "auto" else request.chosen,
            site=request.site,
            positions=reading.positions,
            tokenizer=tokenizer,
            batch_size=reading.batch_size,
            max_length=reading.max_length,
            split=reading.split,
            rows=request.rows,
            output=work.folder / "collected",
            resume=True,
            progress=progress,
        )
        result = collected.summary() | {"model_name": request.model}
        with whole_folder(output) as folder:
            # what was collected stays in its place until all is written: a full disk costs none
            shutil.copytree(
                work.folder / "collected", folder, copy_function=_link, dirs_exist_ok=True
            )
            write_text_atomic(folder / "report.json", dump_result(result))
    return result


def _link(source: str, target: str) -> None:
    """Give a file a second name; copy it where file systems have none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _some_of(model: Any) -> list[int]:
    """Return at most 8 blocks, evenly spread, the last among them."""
    from isonomy.hidden_states._model._layout import n_blocks

    n = n_blocks(model)
    step = -(-n // MOST_LAYERS)
    return list(range(n - 1, -1, -step))[::-1]


def collect_lines(result: dict[str, Any], *, folder: Path, cost: str) -> list[str]:
    """Return what was read, where it is, and what it cost."""
    layers = [layer for layer in result["layers"] if layer is not None]
    where = f"{len(layers)} layers" if layers else "the head's input"
    cells = sum(n > 0 for row in result["n_rows_by_cell"] for n in row)
    cut = result["n_truncated"]
    return [
        f"Read {result['n_rows']} texts through {result['model_name']} ({result['dtype']}): "
        f"{where}, site {result['site']}, positions {result['positions']}, "
        f"{result['hidden_size']} numbers each.",
        f"Moments of {cells} (label, group) cells: {len(result['classes'])} classes, "
        f"{len(result['groups'])} groups.",
        *([f"Cut at {result['max_length']} tokens: {cut} texts."] if cut else []),
        f"Written: {folder}, to be read by isonomy.hidden_states.Collected.load",
        cost,
    ]
