"""Choose the one layer, and start the adapters where the rare classes are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._finetune._encoded import GROUPS, ROWS, EncodedRows
from isonomy.adapters._finetune._model import Classifier
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.adapters._finetune._split import Parts

__all__ = ["Start", "choose", "drawn", "loader_of", "start_adapters"]

_MOST_TEXTS = 2_000
"""Texts on which the layer is chosen, at most."""

_OF_CLASS = 16
"""Rows of each class that a start reads: the default of `bias_aware_start`."""


@dataclass(frozen=True)
class Start:
    """The classifier ready to train, and what is said of how it was made so."""

    classifier: Classifier
    report: Any
    record: dict[str, Any] | None
    choice: dict[str, Any] | None
    description: str


def choose(
    classifier: Classifier, rows: LabelledRows, parts: Parts, options: FinetuneOptions
) -> dict[str, Any]:
    """Return the layer of "intermediate": the one asked for, or the one that is chosen.

    A new classification head gives answers by chance, so that no method that looks at
    answers can tell layers apart: the middle one is taken then.
    """
    from isonomy.adapters.choosing import choose_layer

    if options.layer is not None:
        said = f"Layer {options.layer} (from 0), as asked."
        return {"layer": options.layer, "method": "asked", "scores": [], "sentence": said}
    method = options.layer_method
    known = parts.train
    if len(known) > _MOST_TEXTS:
        known = np.random.default_rng(options.random_state).permutation(known)[:_MOST_TEXTS]
    texts = {
        "text": [rows.inputs[i] for i in known],
        "label": [rows.classes[k] for k in rows.labels[known]],
    }
    if classifier.is_new_head or rows.kind == "image":
        method = "middle"
    found = choose_layer(
        classifier.body,
        texts,
        classes=list(rows.classes),
        method=method,
        tokenizer=classifier.reader,
        template=options.template,
        batch_size=options.batch_size,
        max_length=options.max_length,
        random_state=options.random_state,
    ).to_dict()
    if method != options.layer_method:
        found["sentence"] += " The head is new, so that no answer could tell the layers apart."
    return dict(found)


def start_adapters(
    classifier: Classifier,
    train: EncodedRows,
    counts: NDArray[np.int64],
    choice: dict[str, Any] | None,
    options: FinetuneOptions,
) -> Start:
    """Return the classifier with its adapters where the strategy starts them."""
    description = "" if choice is None else str(choice["sentence"])
    if options.spread not in ("attention", "one_layer") or options.start == "default":
        return Start(classifier, None, None, choice, description)
    from isonomy.adapters.starting import bias_aware_start

    fresh = classifier.head == "classification" and classifier.is_new_head
    # reading texts is cheap, decoding pictures is not
    texts = bool(train.lengths().any())
    some = train if texts else drawn(train, _OF_CLASS, options.random_state)
    # label words may stand behind the text in one sequence, and are no tokens of it
    by_words = classifier.head == "label_words" and options.start == "tail_structure"
    report = bias_aware_start(
        classifier.body if by_words else classifier.module,
        loader_of(some, classifier, options),
        class_counts=[int(n) for n in counts],
        init=options.start,
        head="class_means" if fresh else "keep",
        random_state=options.random_state,
    )
    return Start(classifier, report, _record(report), choice, description)


def loader_of(rows: Any, classifier: Classifier, options: FinetuneOptions) -> Any:
    """Return batches of rows, in their order, with labels beside what the model takes."""
    return torch.utils.data.DataLoader(
        rows, batch_size=options.batch_size, shuffle=False, collate_fn=_Inputs(classifier)
    )


def drawn(
    train: EncodedRows, n_per_class: int, seed: int
) -> torch.utils.data.Subset[dict[str, Any]]:
    """Return at most ``n_per_class`` rows of each class, each as likely as any other."""
    order = np.random.default_rng(seed).permutation(len(train))
    kept = [order[train.labels[order] == k][:n_per_class] for k in np.unique(train.labels)]
    return torch.utils.data.Subset(train, np.sort(np.concatenate(kept)).tolist())


class _Inputs:
    """Batches with labels alone beside the inputs."""

    def __init__(self, classifier: Classifier) -> None:
        self._collate = classifier.collate

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self._collate(items)
        return {name: value for name, value in batch.items() if name not in (GROUPS, ROWS)}


def _record(report: Any) -> dict[str, Any]:
    found: dict[str, Any] = report.to_dict()
    return found
