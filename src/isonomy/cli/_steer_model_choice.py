"""Where a model is steered: as asked, or at the layer that its curves recommend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.cli._model_options import Site
from isonomy.cli._split import split_by_cell
from isonomy.cli._steer_model_request import ModelRequest
from isonomy.cli._text_rows import Parts, TextRows
from isonomy.cli.progress import Report

__all__ = ["Place", "choose_place"]


@dataclass(frozen=True)
class Place:
    """A site and layer, with the curves and the sentence that say why."""

    site: Site
    layer: int | None
    why: str = ""
    curves: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        curves = None if self.curves is None else dict(self.curves)
        return {"site": self.site, "layer": self.layer, "why": self.why, "curves": curves}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote."""
        return cls(**found)

    def words(self, model: Any) -> dict[str, Any]:
        """Return what a report says of the place and of the model around it."""
        from isonomy.hidden_states._model._layout import hidden_size, n_blocks

        chosen = {"why": self.why, "curves": self.curves} if self.curves is not None else None
        return {
            "architecture": type(model).__name__,
            "n_blocks": n_blocks(model),
            "hidden_size": hidden_size(model),
            "site": self.site,
            "layer": self.layer,
            "choice": chosen,
        }


def choose_place(
    request: ModelRequest,
    rows: TextRows,
    parts: Parts,
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    progress: Report,
) -> Place:
    """Return the place; for ``--layer auto`` all layers are compared on a sample.

    The sample has none of the rows that are judged on. ``folder`` keeps the states of a
    stopped run.
    """
    from isonomy.hidden_states._model._layout import find_spot

    block, site = request.block, request.of_model.site
    if block == "head":
        return Place("head_input", None)
    if isinstance(block, int):
        find_spot(model, site, block, where="isonomy steer")  # before any text is read
        return Place(site, block)
    sample = _sample(rows, parts, request)
    found = _states(request, rows, sample, model, tokenizer, folder, progress=progress)
    return _best(found, site, n_rows=len(sample), request=request, progress=progress)


def _sample(rows: TextRows, parts: Parts, request: ModelRequest) -> NDArray[np.intp]:
    known = parts.known
    if len(known) <= request.of_model.choose_rows:
        return known
    _, picked = split_by_cell(
        rows.labels[known],
        rows.groups[known],
        test_size=request.of_model.choose_rows / len(known),
        random_state=request.random_state,
    )
    return known[picked]


def _states(
    request: ModelRequest,
    rows: TextRows,
    sample: NDArray[np.intp],
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    progress: Report,
) -> _Places:
    """Return (X, y, groups) of every block and of the head's input, read when asked for."""
    from isonomy.hidden_states import collect

    options = request.of_model
    places: dict[int | None, Any] = {}
    passes: list[tuple[Site, Any]] = [(options.site, "all"), ("head_input", None)]
    for site, layers in passes:
        collected = collect(
            model,
            rows.columns(sample),
            text="text",
            label="label",
            group="group",
            layers=layers,
            site=site,
            positions=options.positions,
            tokenizer=tokenizer,
            batch_size=options.batch_size,
            max_length=options.max_length,
            rows="safetensors",
            output=folder / f"curves-{site}",
            resume=True,
            progress=lambda _, done, total: progress("comparing layers", done, total),
        )
        places |= dict.fromkeys(collected, collected)
    return _Places(places)


class _Places(Mapping[int | None, tuple[Any, Any, Any]]):
    """Layer -> (X, y, groups), from the collection that holds it; one is read at a time."""

    def __init__(self, held: Mapping[int | None, Any]) -> None:
        self._held = held

    def __getitem__(self, layer: int | None) -> tuple[Any, Any, Any]:
        found: tuple[Any, Any, Any] = self._held[layer].rows(layer)
        return found

    def __iter__(self) -> Iterator[int | None]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


def _best(
    found: _Places,
    site: Site,
    *,
    n_rows: int,
    request: ModelRequest,
    progress: Report,
) -> Place:
    from isonomy.hidden_states import layer_curves

    curves = layer_curves(
        found,
        random_state=request.random_state,
        progress=lambda done, total: progress("drawing the curves", done, total),
    )
    found_curves = curves.to_dict()
    choice = found_curves["choice"]
    layer = curves.best("utility") if choice is None else choice["layer"]
    reason = NO_GAP if choice is None else choice["reason"]
    where = "the input of the head" if layer is None else f"block {layer}"
    why = (
        f"Compared {len(curves.layers)} places on {n_rows} texts that are not judged on, and "
        f"chose {where}. {reason}{'' if layer is None else HEAD_SERVES}"
    )
    return Place("head_input" if layer is None else site, layer, why, found_curves)


NO_GAP = "It is the most accurate: no class has enough validation texts in two groups for a gap."
HEAD_SERVES = " Plain classifiers can serve the input of the head alone: --layer head steers there."
