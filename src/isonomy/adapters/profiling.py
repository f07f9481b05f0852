"""``layer_profile``: each label's logit at every layer, on texts with the label and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from isonomy._validation import check_choice, check_count
from isonomy.adapters._layer._label_means import LabelMeans
from isonomy.adapters._layer._labelled import membership, read_labelled
from isonomy.adapters._layer._profile import LayerProfile
from isonomy.adapters._layer._readout import Answers, LabelOptions, open_answers
from isonomy.adapters._layer._words import SeveralTokens
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import windows

__all__ = ["LayerProfile", "layer_profile"]

_WHERE = "layer_profile"


def layer_profile(
    model: Any,
    data: Any,
    *,
    classes: Sequence[str],
    text: str = "text",
    label: str = "label",
    tokenizer: Any = None,
    label_words: Mapping[str, str] | Sequence[str] | None = None,
    template: str | None = None,
    several_tokens: SeveralTokens = "auto",
    batch_size: int = 32,
    max_length: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> LayerProfile:
    r"""Measure prediction propensity and discriminability of every label at every layer.

    Parameters
    ----------
    model : Module or str
        A causal language model, whose labels are words, or `LabelWords` around one; or a
        classification model (of texts or pictures), whose labels are outputs of its head. A
        name or folder is loaded.
    data : object
        Texts with labels: columns, records, a frame, a data set, a path (as for `collect`).
        Read once, in pieces.
    classes : sequence of str
        The K labels in the order of their codes.
    text, label : str
        Columns of ``data``. A label is a class name, a code from 0 to K - 1, or a list of
        such for texts that carry several (or none).
    tokenizer : tokenizer or image processor, optional
        Needed where the model is not given by its name.
    label_words : mapping or sequence of str, optional
        The word of each class in a causal model's vocabulary; default: the class names.
    template : str, optional
        What a causal model reads, ``"{text}\nLabel: {label}"`` by default; the lens is read
        where the label would begin.
    several_tokens : "auto", "distinguishing" or "mean"
        What is read of a label of several tokens: the first token with which it differs from
        all other labels, or the mean over its tokens. "auto" is the first where that gives
        every label a token of its own. The result says which it was, and the tokens.
    batch_size : int
    max_length : int, optional
        Tokens of a text; default the context of the model. Longer texts are cut at their
        end; a causal model's prompt stays whole.
    progress : callable, optional
        Called with (rows done, rows in all or None).

    Returns
    -------
    LayerProfile

    Raises
    ------
    InvalidInputError
        If the model answers with neither words nor classes, a label is not among
        ``classes``, two labels would be read at the same tokens, or there are no rows.

    Warns
    -----
    UndefinedRateWarning
        If a label is on no text, or on all: what is measured with (without) it is NaN.

    Notes
    -----
    With z_l[i, k] the logit of label k on text i that the model gives when everything behind
    its last block is fed with what block l wrote (the logit lens: final norm and unembedding,
    or pooler and classification head, all of it the model's own code), layer l has::

        h_c[l, k] = mean of z_l[i, k] over the texts i with label k
        h_n[l, k] = mean of z_l[i, k] over the texts i without it
        propensity[l] = std_k h_n[l, k]
        discriminability[l] = mean_k, std_k, min_k of (h_c[l, k] - h_n[l, k])

    Divisors are counts (std: K). At the last layer z is the model's own logit. Lenses of
    different layers share one scale only as far as the final norm makes them. Following the
    abstract of Zhao, Yang and Chen on bias-aware PEFT (ACL 2025, long paper 717) as far as its
    text was at hand.

    What it does not promise: that a layer whose lens shows a bias is where it arises; later
    layers may read what the lens does not. `choose_layer` intervenes instead.

    Examples
    --------
    >>> import torch, transformers
    >>> _ = torch.manual_seed(0)
    >>> config = transformers.CLIPVisionConfig(hidden_size=8, intermediate_size=8, image_size=8,
    ...     patch_size=4, num_hidden_layers=2, num_attention_heads=2)
    >>> both = transformers.CLIPConfig(vision_config=config.to_dict(), num_labels=2)
    >>> model = transformers.CLIPForImageClassification(both)
    >>> rows = {"image": [torch.full((8, 8, 3), 9 * i, dtype=torch.uint8).numpy()
    ...                   for i in range(6)], "kind": [0, 1] * 3}
    >>> reader = transformers.CLIPImageProcessorPil(size=8, crop_size=8)
    >>> profile = layer_profile(model, rows, classes=["dark", "light"], text="image",
    ...                         label="kind", tokenizer=reader)
    >>> profile.layers, profile.label_mean.shape, profile.n.tolist()
    ((0, 1), (2, 2), [3, 3])
    """
    check_count("batch_size", batch_size, where=_WHERE)
    check_choice("several_tokens", several_tokens, get_args(SeveralTokens), where=_WHERE)
    if max_length is not None:
        check_count("max_length", max_length, where=_WHERE)
    options = LabelOptions(label_words, template, several_tokens)
    answers = open_answers(model, tokenizer, classes, options, max_length=max_length, where=_WHERE)
    return profile_of(
        answers, data, text=text, label=label, batch_size=batch_size, progress=progress
    )


def profile_of(
    answers: Answers,
    data: Any,
    *,
    text: str,
    label: str,
    batch_size: int,
    progress: Callable[[int, int | None], None] | None = None,
) -> LayerProfile:
    """Return the profile of a model that has been opened."""
    where = answers.run.where
    rows = read_labelled(data, text=text, label=label, classes=answers.classes, where=where)
    means = LabelMeans(answers.run.n_layers, len(answers.classes))
    with answers.ready():
        for window in windows(rows, batch_size * answers.batcher.window_batches):
            encoded = answers.encode(window)
            order = sorted(range(len(window)), key=lambda i: answers.batcher.length(encoded[i]))
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                scores = answers.lenses(answers.batch([encoded[i] for i in chosen]))
                codes = [window[i].codes for i in chosen]
                means.add([s.numpy() for s in scores], membership(codes, len(answers.classes)))
                if progress is not None:
                    progress(means.n_rows, rows.n_rows)
    if not means.n_rows:
        raise InvalidInputError(f"`data` passed to `{where}` must have at least one row, got 0.")
    return LayerProfile.from_means(means, answers)
