"""Classify by how likely a causal language model finds each label's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from isonomy._validation import check_count
from isonomy.adapters._head._classes import check_classes
from isonomy.adapters._head._label_scores import label_scores
from isonomy.adapters._head._label_tokens import LabelTokens, Template, label_tokens
from isonomy.adapters._head._label_tree import LabelTree
from isonomy.adapters._head._padding import set_padding
from isonomy.adapters._head._prompts import PromptEncoder
from isonomy.adapters._head._wrapped import WrappedHead
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import context_limit
from isonomy.hidden_states._export._adapter import generates
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["LabelWords"]

_WHERE = "LabelWords"


class LabelWords(WrappedHead):
    r"""A causal language model that answers with the most likely of the label words.

    Parameters
    ----------
    model : Module
        A causal language model, with PEFT's adapters or without.
    tokenizer : tokenizer
        Its own. Without a padding token it gets its end of text as one.
    classes : sequence of K str
        The label words in the order of the codes 0 to K-1, of one token or several.
    template : str
        The prompt: "{text}" once and, behind it, "{label}" once.
    end : bool, optional
        Whether the tokenizer's end of text closes every label. Default: where the tokens
        of one label begin another's ("joy" and "joyful"), which would else never be the
        less likely one.
    length_normalised : bool
        Divide every sum by the number of its tokens.
    max_length : int, optional
        Tokens of prompt and label together, beyond which the text is cut at its end.
        Default: the context of the model.

    Attributes
    ----------
    label_tokens : LabelTokens
        ``shared`` tokens, which end the prompt, and ``scored`` tokens of every label.

    Raises
    ------
    InvalidInputError
        If the model is no causal one, the classes are fewer than two or one is named twice,
        two have the same tokens, the template lacks a place, or nothing can pad.

    Warns
    -----
    PaddingTokenWarning
        If the end of text is used for padding.

    Notes
    -----
    With the prompt x and the T tokens w_1, ..., w_T of label k behind it::

        logits[k] = sum_t log p(w_t | x, w_1, ..., w_{t-1})

    so softmax(logits) is the model's own probability of each label given that it writes one
    of them. White space before "{label}" goes with the label, since tokenizers join it with
    the word: label tokens are what " joy" adds behind the words before it. What all labels
    begin with is read with the prompt and not scored: the same for all, it changes no
    probability between them. Padding may be on either side.

    Prompts, and beginnings that labels have in common, are read once: in the usual families
    of dense decoders in one pass over the prompt and the labels' tokens side by side (a tree,
    by its attention mask), else behind copies of the prompt's cache. A pass so costs about
    1 + (tokens of the tree) / (tokens of the prompt) of one that reads the prompt alone, and
    the softmax over the vocabulary at each of these tokens: 77 labels of 4 tokens behind
    prompts of 36 take about ten times as long as a head with 77 outputs.
    The model's weights are trained as they are; ``lora_model`` freezes all but the adapters.

    Examples
    --------
    >>> import transformers
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = {w: i for i, w in enumerate(["<pad>", "<unk>", "late", "Label", "joy", "fear"])}
    >>> made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = transformers.PreTrainedTokenizerFast(
    ...     tokenizer_object=made, pad_token="<pad>", unk_token="<unk>"
    ... )
    >>> config = transformers.GPT2Config(
    ...     vocab_size=6, n_embd=8, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    ... )
    >>> head = LabelWords(transformers.GPT2LMHeadModel(config), tokenizer, ["joy", "fear"])
    >>> head(**head.encode(["late", "late late"])).logits.shape
    torch.Size([2, 2])
    >>> head.label_tokens.scored
    ((4,), (5,))
    """

    kind = "label_words"
    main_input_name = "input_ids"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        classes: Iterable[str],
        *,
        template: str = "{text}\nLabel: {label}",
        end: bool | None = None,
        length_normalised: bool = False,
        max_length: int | None = None,
    ) -> None:
        names = check_classes(classes, where=_WHERE)
        parsed = Template.parse(template, where=_WHERE)
        _check_causal(model)
        super().__init__(model, tokenizer, names)
        self.template = template
        self.end = end
        self.length_normalised = bool(length_normalised)
        self.max_length = max_length
        set_padding(unwrap(model), tokenizer, where=_WHERE)
        self.label_tokens = label_tokens(tokenizer, names, parsed, end=end, where=_WHERE)
        _check_known(model, names, self.label_tokens)
        limit = _limit(model, tokenizer, max_length)
        self._encoder = PromptEncoder(tokenizer, parsed, self.label_tokens, limit)
        self._tree = LabelTree(self.label_tokens.scored)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.reader

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, as it is saved."""
        names = ("template", "end", "length_normalised", "max_length")
        return {name: getattr(self, name) for name in names}

    def encode(self, texts: Sequence[str], *, padding: bool = True) -> dict[str, Any]:
        """Return the prompts of texts, ready for ``forward``.

        Parameters
        ----------
        texts : sequence of n str
        padding : bool
            True: tensors (n, tokens), padded on the tokenizer's side. False: lists of
            different lengths, for a data set that a collator pads later.

        Returns
        -------
        dict
            ``input_ids`` and ``attention_mask``.

        Raises
        ------
        InvalidInputError
            If a text is no string, there is none, or ``max_length`` has no room for the
            template and the longest label.
        """
        if isinstance(texts, str) or not len(texts):
            raise InvalidInputError(
                f"`texts` passed to `{_WHERE}.encode` must be a list of one text or more, got "
                f"{texts!r}."
            )
        if padding:
            return dict(self._encoder.batch(list(texts)))
        rows = self._encoder.rows(list(texts))
        return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Return the log-probability of every label behind every prompt.

        Parameters
        ----------
        input_ids : Tensor of shape (n, tokens)
            From ``encode``.
        attention_mask : Tensor of shape (n, tokens), optional
            1 where a token is real. Default everywhere.
        labels : Tensor of shape (n,), optional
            Class codes; with them the output has ``loss``, the mean cross-entropy.

        Returns
        -------
        SequenceClassifierOutput
            ``logits`` of shape (n, K) in float32, each at most 0.

        Raises
        ------
        InvalidInputError
            If a label is no code of a class; the message names it.
        """
        ids = input_ids.to(self.device)
        mask = torch.ones_like(ids) if attention_mask is None else attention_mask.to(ids).long()
        logits = label_scores(self.model, ids, mask, self._tree)
        if self.length_normalised:
            logits = logits / logits.new_tensor([len(t) for t in self.label_tokens.scored])
        return self.answer(logits, labels)


def _check_causal(model: Any) -> None:
    inner = unwrap(model)
    config: Any = getattr(inner, "config", None)
    if not generates(inner) or getattr(config, "is_encoder_decoder", False):
        raise InvalidInputError(
            f"`model` passed to `{_WHERE}` must be a causal language model, got a "
            f"{type(inner).__name__}. Load it with `AutoModelForCausalLM`, or use "
            "`classification_model`."
        )


def _check_known(model: Any, classes: Sequence[str], labels: LabelTokens) -> None:
    config: Any = unwrap(model).config
    n_known = config.get_text_config().vocab_size
    for name, tokens in zip(classes, labels.scored, strict=True):
        largest = max((*labels.shared, *tokens))
        if largest >= n_known:
            raise InvalidInputError(
                f"`tokenizer` of `{_WHERE}` must be the model's own: token {largest} of the label "
                f"{name!r} lies outside its {n_known} embeddings."
            )


def _limit(model: Any, tokenizer: Any, max_length: int | None) -> int | None:
    limit = context_limit(unwrap(model), tokenizer)
    if max_length is None:
        return limit
    wanted = check_count("max_length", max_length, where=_WHERE)
    if limit is not None and wanted > limit:
        raise InvalidInputError(
            f"`max_length` of `{_WHERE}` must be at most {limit}, the context of the model, got "
            f"{wanted}. Leave it out to cut texts there."
        )
    return wanted
