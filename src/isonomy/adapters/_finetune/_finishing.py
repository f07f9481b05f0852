"""Join the trained head with class means of the trained states, where that does not harm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._finetune._encoded import EncodedRows
from isonomy.adapters._finetune._model import Classifier, probabilities
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._starting import drawn, loader_of
from isonomy.errors import InvalidInputError

__all__ = ["Finish", "finish_head"]

_OF_CLASS = 32
"""Rows of each class that a finish reads: the default of `class_means_finish`."""


@dataclass(frozen=True)
class Finish:
    """What a finish did: its report where the new head was kept, and what is said of it."""

    report: Any
    record: dict[str, Any]


def finish_head(
    classifier: Classifier,
    data: Mapping[str, EncodedRows],
    counts: NDArray[np.int64],
    options: FinetuneOptions,
) -> Finish | None:
    """Finish the head in place; with "auto" the trained one stays if the new one is worse.

    Parameters
    ----------
    classifier : Classifier
        Trained.
    data : mapping
        The parts "train" and "validation".
    counts : (K,)
        Training rows of each class.
    options : FinetuneOptions

    Returns
    -------
    Finish or None
        None where the options ask for none, or no classification head decides.
    """
    if options.finishing == "none" or classifier.head != "classification":
        return None
    from isonomy.adapters.finishing import class_means_finish

    start = time.perf_counter()
    heads = [
        parameter
        for name, parameter in classifier.module.named_parameters()
        if "modules_to_save" in name
    ]
    trained = [parameter.detach().clone() for parameter in heads]
    before = _watched(classifier, data["validation"], options)
    try:
        report = class_means_finish(
            classifier.module,
            loader_of(drawn(data["train"], _OF_CLASS, options.random_state), classifier, options),
            class_counts=[int(n) for n in counts],
            weight=options.finish_weight,
            n_per_class=_OF_CLASS,
            random_state=options.random_state,
        )
    except InvalidInputError as error:
        if options.finish != "auto":
            raise
        # nobody asked for it: a head that it does not fit is no reason to lose the training
        said = f"The head was not joined with class means: {error}"
        return Finish(None, {"kind": "finish", "kept": False, "sentence": said})
    after = _watched(classifier, data["validation"], options)
    worse = before is not None and after is not None and after < before
    kept = not (worse and options.finish == "auto")
    if not kept:
        with torch.no_grad():
            for parameter, value in zip(heads, trained, strict=True):
                parameter.copy_(value)
    record = {
        **report.to_dict(),
        "kept": kept,
        "validation": {"n": len(data["validation"]), "before": before, "after": after},
        "sentence": _sentence(report, kept, before, after),
        "seconds": time.perf_counter() - start,
    }
    return Finish(report if kept else None, record)


def _watched(classifier: Classifier, rows: EncodedRows, options: FinetuneOptions) -> float | None:
    """Return the mean recall of the classes among the watched rows; None without any."""
    if not len(rows):
        return None
    right = probabilities(classifier, rows, options.batch_size).argmax(axis=1) == rows.labels
    return float(np.mean([right[rows.labels == k].mean() for k in np.unique(rows.labels)]))


def _sentence(report: Any, kept: bool, before: float | None, after: float | None) -> str:
    what = (
        f"After training the head was joined with class means of {report.head.n_rows} training "
        f"rows' states, at weight {report.weight:g} to 1"
    )
    if before is None or after is None:
        return f"{what}; no rows were kept to watch what that does."
    figures = f"mean recall of the classes among the watched rows {before:.3f} before, {after:.3f}"
    if kept:
        return f"{what} ({figures} after)."
    return f"{what}, which was taken back: {figures} after."
