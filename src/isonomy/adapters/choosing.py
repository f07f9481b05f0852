"""``choose_layer``: the one layer that adapters go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_count
from isonomy.adapters._layer._interchange import interchange
from isonomy.adapters._layer._readout import LabelOptions, open_answers
from isonomy.adapters._layer._words import SeveralTokens
from isonomy.adapters.profiling import profile_of
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._layout import n_blocks
from isonomy.hidden_states._model._loading import load_model

__all__ = ["ChoiceMethod", "LayerChoice", "choose_layer"]

ChoiceMethod = Literal["interchange", "propensity_increment", "middle", "sweep"]

_WHERE = "choose_layer"


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """One layer, and the scores by which it was chosen.

    Parameters
    ----------
    layer : int
        0-based block.
    method : str
        "interchange", "propensity_increment", "middle" or "sweep".
    scores : (L,) array
        One score a layer, higher is better: mean divergence in nats, increment of the
        propensity, or what ``evaluate`` returned. NaN where a method has none.
    n_pairs : int
        Pairs of texts behind the scores of "interchange"; else 0.
    n_same_label : int
        Pairs whose two texts share a label.
    n_rows : int
        Texts read.

    Examples
    --------
    >>> str(LayerChoice(1, "middle", np.full(3, np.nan)))
    'Layer 1 of 3 (from 0), the middle one.'
    """

    layer: int
    method: str
    scores: NDArray[np.float64] = field(repr=False)
    n_pairs: int = 0
    n_same_label: int = 0
    n_rows: int = 0

    def __str__(self) -> str:
        why = {
            "interchange": (
                f"swapping its own contribution moves the answer most, by {self._score} nats in "
                f"the mean over {self.n_pairs} pairs of texts"
            ),
            "propensity_increment": f"propensity changes by {self._score} there, the most upward",
            "middle": "the middle one",
            "sweep": f"the best of all by `evaluate`, {self._score}",
        }[self.method]
        return f"Layer {self.layer} of {len(self.scores)} (from 0), {why}."

    @property
    def _score(self) -> str:
        return f"{self.scores[self.layer]:.3g}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, kind "layer_choice"; NaN is None."""
        return {
            "schema": 1,
            "kind": "layer_choice",
            "layer": self.layer,
            "method": self.method,
            "scores": [None if np.isnan(s) else float(s) for s in self.scores],
            "n_pairs": self.n_pairs,
            "n_same_label": self.n_same_label,
            "n_rows": self.n_rows,
            "sentence": str(self),
        }


def choose_layer(
    model: Any,
    data: Any = None,
    *,
    classes: Sequence[str],
    method: ChoiceMethod = "interchange",
    text: str = "text",
    label: str = "label",
    tokenizer: Any = None,
    label_words: Mapping[str, str] | Sequence[str] | None = None,
    template: str | None = None,
    several_tokens: SeveralTokens = "auto",
    n_pairs: int = 128,
    batch_size: int = 32,
    max_length: int | None = None,
    evaluate: Callable[[int], float] | None = None,
    random_state: int = 0,
    progress: Callable[[int, int | None], None] | None = None,
) -> LayerChoice:
    """Choose the one layer to which adapters go.

    Parameters
    ----------
    model : Module or str
        A causal language model (labels are words) or a classification model, as for
        `layer_profile`. It comes back as it was: modes, weights and hooks.
    data : object
        Texts with labels, as for `layer_profile`; for "interchange" all are held in memory,
        so pass a few thousand. Not read by "middle" and "sweep".
    classes : sequence of str
        The K labels in the order of their codes.
    method : "interchange", "propensity_increment", "middle" or "sweep"
        By the effect of swapping the layer's own contribution (see Notes); the largest
        increase of `LayerProfile.propensity` from the layer below; L // 2 of L layers; or
        the highest ``evaluate(layer)``.
    text, label : str
        Columns of ``data``.
    tokenizer : tokenizer or image processor, optional
    label_words, template, several_tokens :
        How a causal model's labels are read; see `layer_profile`.
    n_pairs : int
        For "interchange": at most so many pairs.
    batch_size : int
    max_length : int, optional
    evaluate : callable, optional
        For "sweep": takes a layer and returns a finite number, such as the validation score
        of a model with adapters trained there; higher is better.
    random_state : int
        For "interchange": which texts make pairs.
    progress : callable, optional
        Called with (done, in all or None) of pairs, rows or layers.

    Returns
    -------
    LayerChoice
        Of equal scores the lower layer.

    Raises
    ------
    InvalidInputError
        As `layer_profile`; if ``evaluate`` is missing or returns no finite number; for
        "interchange" if the model classifies no text rightly.

    Notes
    -----
    "interchange": a biased text b is one that the model misclassifies, or whose margin (score
    of its label less the highest other) is in the lowest quarter; its partner g is drawn from
    the better half of those classified rightly, of the same label where there is one. With
    v_l what block l reads and u_l what it writes at the token from which the answer is read,
    b runs with u_l(b) replaced by ``v_l(b) + u_l(g) - v_l(g)`` and all behind it recomputed::

        score[l] = mean over pairs of KL(P_b || P_intervened), P over the K labels, in nats

    Only the layer's OWN contribution (attention + MLP) is swapped. Swapping the whole state
    instead would carry over what all layers below wrote: at the last layer the answer of g
    itself would come out, whatever the layers do.

    What it does not promise: that adapters at the chosen layer train best; "sweep" tries.

    Examples
    --------
    >>> choice = choose_layer("no model is read", classes=["a", "b"], method="guess")
    Traceback (most recent call last):
        ...
    isonomy.errors.InvalidInputError: `method` of `choose_layer` must be one of ...
    """
    check_choice("method", method, get_args(ChoiceMethod), where=_WHERE)
    check_choice("several_tokens", several_tokens, get_args(SeveralTokens), where=_WHERE)
    check_count("batch_size", batch_size, where=_WHERE)
    check_count("n_pairs", n_pairs, where=_WHERE)
    if (evaluate is not None) != (method == "sweep"):
        raise InvalidInputError(
            f'`evaluate` of `{_WHERE}` goes with `method="sweep"`, which calls it for every layer '
            f"and needs it; got method {method!r}."
        )
    if isinstance(model, str):
        model, own = load_model(model)
        tokenizer = own if tokenizer is None else tokenizer
    if method == "middle":
        n = n_blocks(model)
        return LayerChoice(n // 2, method, np.full(n, np.nan))
    if evaluate is not None:
        return _swept(evaluate, n_blocks(model), progress)
    options = LabelOptions(label_words, template, several_tokens)
    answers = open_answers(model, tokenizer, classes, options, max_length=max_length, where=_WHERE)
    if method == "propensity_increment":
        profile = profile_of(
            answers, data, text=text, label=label, batch_size=batch_size, progress=progress
        )
        return _by_increment(profile.propensity, profile.n_rows)
    found = interchange(
        answers, data, text=text, label=label, n_pairs=n_pairs, batch_size=batch_size,
        random_state=random_state, progress=progress,
    )  # fmt: skip
    best = int(np.argmax(found.scores))
    pairs = found.pairs
    return LayerChoice(
        best, method, found.scores, len(pairs.biased), pairs.n_same_label, found.n_rows
    )


def _by_increment(propensity: NDArray[np.float64], n_rows: int) -> LayerChoice:
    scores = np.concatenate([[np.nan], np.diff(propensity)])
    known = np.flatnonzero(~np.isnan(scores))
    # a model of one layer has nothing to compare
    best = int(known[np.argmax(scores[known])]) if len(known) else 0
    return LayerChoice(best, "propensity_increment", scores, n_rows=n_rows)


def _swept(
    evaluate: Callable[[int], float],
    n_layers: int,
    progress: Callable[[int, int | None], None] | None,
) -> LayerChoice:
    scores = np.empty(n_layers)
    for layer in range(n_layers):
        value = evaluate(layer)
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not np.isfinite(value):
            raise InvalidInputError(
                f"`evaluate` of `{_WHERE}` must return a finite number for every layer, got "
                f"{value!r} for layer {layer}."
            )
        scores[layer] = value
        if progress is not None:
            progress(layer + 1, n_layers)
    return LayerChoice(int(np.argmax(scores)), "sweep", scores)
