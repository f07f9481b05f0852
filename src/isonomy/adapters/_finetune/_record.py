"""The result of a run as plain JSON: what reports, cards and criteria read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isonomy._version import __version__
from isonomy.adapters._finetune._class_table import class_table, imbalance_ratio
from isonomy.adapters._finetune._model import Classifier
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._rows import Columns, LabelledRows
from isonomy.adapters._finetune._split import Parts

__all__ = ["data_record", "model_record", "strategy_sentence", "title_of", "trainable_record"]

_HEADS = {
    "classification": "a classification head on the model",
    "label_words": "the probability of the name of each class after the text",
    "clip": "the likeness of the picture to the name of each class",
}
_WHAT_TRAINS = {
    "attention": "LoRA on the attention projections Q, K, V and O of every layer",
    "one_layer": "LoRA on what one intermediate layer writes",
    "norms": "the norm layers alone",
    "all": "all weights",
}
_OBJECTIVES = {
    "cross_entropy": "plain cross-entropy",
    "equity": "cross-entropy with a margin for rare classes and a penalty on the difference "
    "between common and rare ones",
    "label_balance": "cross-entropy with constraints that level the labels' scores and widen "
    "their gaps",
    "logit_adjusted": "cross-entropy with the log of the class shares added to the scores",
    "balanced_softmax": "balanced softmax",
    "class_balanced": "cross-entropy with weights for rare classes",
    "focal": "the focal loss",
    "ldam": "margins that grow for rare classes (LDAM)",
    "ldam_drw": "margins that grow for rare classes, weighted late (LDAM-DRW)",
    "group_dro": "the worst class's loss (group DRO)",
}
_STARTS = {
    "default": "as PEFT starts it",
    "tail_structure": "in the directions that tell the rare classes apart",
    "tail_gradient": "in the directions of the rare classes' gradient",
}


def title_of(model: str, data: str) -> str:
    """Return the title of the report."""
    return f"{model} fine-tuned on {data}"


def strategy_sentence(options: FinetuneOptions, layer: int | None = None) -> str:
    """Return what trains, by which objective, from which start."""
    what = _WHAT_TRAINS[options.spread]
    if options.spread == "one_layer" and layer is not None:
        what = f"LoRA on what layer {layer} (from 0) writes"
    objective = _OBJECTIVES.get(options.objective, f"the objective {options.objective!r}")
    sentence = f"{what}, trained by {objective}"
    if options.spread in ("attention", "one_layer") and options.start != "default":
        sentence += f"; LoRA starts {_STARTS[options.start]}"
    return sentence[:1].upper() + sentence[1:] + "."


def start_words(options: FinetuneOptions, start: Mapping[str, Any] | None) -> str:
    """Return how the adapters start, or that there are none."""
    if options.spread not in ("attention", "one_layer"):
        return "from the weights of the base model"
    if start is not None and start.get("init") == "default" and options.start != "default":
        return f"{_STARTS['default']}: {start.get('why') or 'no class is rare'}"
    return _STARTS[options.start]


def data_record(
    rows: LabelledRows,
    parts: Parts,
    columns: Columns,
    checks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what is said of the data: no row of them is in it."""
    counts = rows.counts(parts.train)
    named = {columns.kind: columns.inputs, "label": columns.label}
    if columns.groups:
        named["group"] = ", ".join(columns.groups)
    sizes = {f"n_{name}": len(parts.of(name)) for name in ("train", "validation", "test")}
    return {
        "name": rows.name,
        "kind": rows.kind,
        "columns": named,
        **sizes,
        "n_dropped": rows.n_dropped,
        "unreadable": [
            {"row": bad.row, "path": bad.path, "reason": bad.reason} for bad in rows.unreadable
        ],
        "split": parts.how,
        "description": (
            f"{len(rows)} rows, split {parts.how}: {sizes['n_train']} to train on, "
            f"{sizes['n_validation']} to watch the training by, {sizes['n_test']} to judge. The "
            "judged rows had no part in any choice."
        ),
        "n_classes": len(rows.classes),
        "classes": list(rows.classes),
        "groups": [] if rows.groups is None else sorted(set(rows.groups.tolist())),
        "ratio": imbalance_ratio(counts),
        "class_table": class_table(rows, parts),
        "checks": [dict(c) for c in checks],
    }


def model_record(
    model: Any, classifier: Classifier, options: FinetuneOptions, *, n_truncated: int
) -> dict[str, Any]:
    """Return what is said of the base model."""
    base = classifier.base()
    is_local = not isinstance(model, str | Path) or Path(model).is_dir()
    commit = getattr(getattr(base, "config", None), "_commit_hash", None)
    return {
        # a report travels, and a folder's place on one machine says nothing on another
        "base_model": model_name(model),
        "is_local": is_local,
        "revision": None if is_local else commit or options.revision,
        "architecture": type(base).__name__,
        "head": classifier.head,
        "head_words": _HEADS[classifier.head],
        "is_new_head": classifier.is_new_head,
        "n_blocks": getattr(base.config, "num_hidden_layers", None),
        "dtype": str(next(base.parameters()).dtype).removeprefix("torch."),
        "max_length": classifier.limit,
        "n_truncated": n_truncated,
        "template": options.template,
    }


def model_name(model: Any) -> str:
    """Return the name of a model without the place of its folder."""
    if not isinstance(model, str | Path):
        return type(model).__name__
    return Path(model).name if Path(model).is_dir() else str(model)


def trainable_record(classifier: Classifier) -> dict[str, Any]:
    """Return how many weights train, a new head among them."""
    from isonomy.adapters.single_layer import trainable_share

    found = trainable_share(classifier.module)
    trained = int(found.trainable) + int(found.head)
    return {
        "trainable": trained,
        "adapter": int(found.trainable),
        "head": int(found.head),
        "total": int(found.total),
        "share": trained / int(found.total),
        "adapter_share": float(found.share),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: NaN is null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def whole_record(**parts: Any) -> dict[str, Any]:
    """Return the result, its parts in the order of the schema."""
    head = {"schema": 1, "kind": "finetuning", "isonomy_version": __version__}
    return {**head, **{name: plain(part) for name, part in parts.items()}}
