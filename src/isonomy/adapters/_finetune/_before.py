"""What decides before any training: the model itself where it can, else a head on frozen states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.adapters._finetune._encoded import EncodedRows
from isonomy.adapters._finetune._model import Classifier, probabilities
from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.adapters._finetune._split import Parts

__all__ = ["Before", "judged_before"]

Floats = NDArray[np.float64]

_MOST_ROWS = 20_000
"""Rows on which the head of frozen states is fitted, at most."""

_FROZEN = (
    "The head of this model is new, so what it says before training is chance. In its place stands "
    "a logistic regression on the mean hidden state of the frozen model, fitted to {n} training "
    "rows: what the model knows without any adapter."
)
_ZERO_SHOT = "The base model without any training, {how}."


@dataclass(frozen=True)
class Before:
    """Probabilities (n, K) of the rows judged, and what gave them."""

    scores: Floats
    label: str
    what: str


def judged_before(
    classifier: Classifier,
    rows: LabelledRows,
    parts: Parts,
    test: EncodedRows,
    options: FinetuneOptions,
) -> Before:
    """Return the decisions before training.

    A model with a head that was trained before, label words and class-name prompts decide
    as they are. A new classification head is random: its decisions would say nothing, and a
    linear head on the frozen states stands for what the model knows.
    """
    if not classifier.is_new_head:
        how = {
            "classification": "with the head it came with",
            "label_words": "by the probability of each class's name after the text",
            "clip": "by the likeness of the picture to each class's name",
        }[classifier.head]
        scores = probabilities(classifier, test, options.batch_size)
        return Before(scores, "base model", _ZERO_SHOT.format(how=how))
    known = _some(parts.train, rows, options.random_state)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    head.fit(_states(classifier, rows, known, options), rows.labels[known])
    shown = head.predict_proba(_states(classifier, rows, parts.test, options))
    scores = np.zeros((len(parts.test), len(rows.classes)))
    scores[:, np.asarray(head[-1].classes_, dtype=np.intp)] = shown
    return Before(scores, "frozen model, linear head", _FROZEN.format(n=len(known)))


def _some(train: NDArray[np.intp], rows: LabelledRows, seed: int) -> NDArray[np.intp]:
    """Return at most so many training rows, every class among them."""
    if len(train) <= _MOST_ROWS:
        return train
    order = np.random.default_rng(seed).permutation(train)
    _, first = np.unique(rows.labels[order], return_index=True)
    kept = np.concatenate([order[first], np.delete(order, first)])[:_MOST_ROWS]
    return np.sort(kept)


def _states(
    classifier: Classifier, rows: LabelledRows, index: NDArray[np.intp], options: FinetuneOptions
) -> NDArray[Any]:
    from isonomy.hidden_states._model._read_states import read_states

    base: Any = classifier.base()
    return read_states(
        getattr(base, "base_model", base),  # without the head, which is new
        classifier.reader,
        [rows.inputs[i] for i in index],
        site="head_input",
        layer=None,
        positions="mean",
        max_length=options.max_length,
        batch_size=options.batch_size,
        where=WHERE,
    )
