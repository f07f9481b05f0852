"""Write what ``isonomy steer --model`` found: artefact, classifier, adapters, report, card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isonomy import plugins
from isonomy.artefact import write_text_atomic
from isonomy.cli._outputs import write_report_into
from isonomy.cli._steer_model_request import ModelRequest

if TYPE_CHECKING:
    from isonomy.hidden_states._classifier_folder import Served
    from isonomy.hidden_states.steered_model import SteeredModel

__all__ = ["clear_stale", "write_all"]

CARD, CURVES = "README.md", "layer_curves.png"

SOMETIMES = ("steerer.safetensors", "classifier", "adapters", CURVES)
"""What some runs write and others do not."""


def write_all(
    folder: Path,
    steered: SteeredModel,
    result: dict[str, Any],
    *,
    texts: Sequence[str],
    fingerprint: Mapping[str, Any],
    seconds: Mapping[str, float],
    request: ModelRequest,
) -> None:
    """Fill ``folder``; ``result["steered_model"]`` is completed with what was written."""
    from isonomy.hidden_states._classifier_folder import Served, serving_rows, write_classifier

    main = next(m for m in result["methods"] if m["name"] == result["main_method"])
    steered.save(folder, fingerprint=fingerprint, certificate=main.get("certificate"))
    if request.of_model.no_model_copy:
        served = Served(reason="--no-model-copy was asked for")
    else:
        trusted = request.of_model.trust_remote_code
        served = write_classifier(steered, folder, texts=texts, trust_remote_code=trusted)
    found = result["steered_model"]
    figures = _draw_curves(found, folder)
    is_local = Path(steered.base_model).is_dir()
    found |= {
        # a report travels, and a folder's place on one machine says nothing on another
        "base_model": Path(steered.base_model).name if is_local else steered.base_model,
        "is_local": is_local,
        "revision": steered.revision,
        "dtype": str(steered.model.dtype).removeprefix("torch."),
        "positions": steered.positions,
        "max_length": steered.max_length,
        "mode": steered.mode,
        "classes": [str(c) for c in steered.classes],
        "groups": list(steered.groups),
        "has_adapters": served.exported is not None,
        "adapter_folders": _adapters(served),
        "serving": serving_rows(served),
        "verified": served.checks,
        "figures": figures,
        "files": _files(steered, served, figures),
        "seconds": dict(seconds),
    }
    write_text_atomic(folder / CARD, str(plugins.get("report_formats", "card")(result)))
    write_report_into(result, folder)


def clear_stale(output: Path, written: Path) -> None:
    """Delete from ``output`` what an earlier run wrote and the one in ``written`` has not.

    An adapter of another steering beside this card would pass for its own.
    """
    if not (output / "artefact.safetensors").is_file():
        return
    for name in SOMETIMES:
        old = output / name
        if (written / name).exists() or not old.exists():
            continue
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink()


def _files(
    steered: SteeredModel, served: Served, figures: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    named = [("artefact.safetensors", "head, maps, offsets, and where in which model they belong")]
    if steered.steerer is not None:
        named.append(("steerer.safetensors", "the fitted steerer with its certificate"))
    if served.architecture is not None:
        named.append(("classifier/", f"a {served.architecture} in the format of transformers"))
    if served.exported is not None:
        named.append(("adapters/", "PEFT adapters for it, and isonomy_adapters.json about them"))
    named += [(f["file"], f["title"]) for f in figures]
    named += [(CARD, "the model card"), ("index.html", "this report")]
    named.append(("report.json", "the numbers of this report"))
    return [{"name": name, "what": what} for name, what in named]


def _adapters(served: Served) -> list[str]:
    return [] if served.exported is None else [p.name for p in served.exported.adapters.values()]


def _draw_curves(found: Mapping[str, Any], folder: Path) -> list[dict[str, str]]:
    curves = (found.get("choice") or {}).get("curves")
    if not curves:
        return []
    from isonomy.report.layer_curves import plot_layer_curves

    plot_layer_curves(curves).savefig(folder / CURVES, dpi=144)
    return [{"file": CURVES, "title": "Accuracy, gap and probe, layer by layer"}]
