"""What a model says of each label: the logits of label words, or of a classification head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from isonomy.adapters._head._classes import check_classes
from isonomy.adapters._head._label_words import LabelWords
from isonomy.adapters._head._parts import is_classifier
from isonomy.adapters._head._prompts import PromptEncoder
from isonomy.adapters._layer._block_run import BlockRun, Passed
from isonomy.adapters._layer._labelled import Labelled, checked_text
from isonomy.adapters._layer._words import (
    DEFAULT_TEMPLATE,
    ReadTokens,
    SeveralTokens,
    read_tokens,
)
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import Batcher, make_batcher
from isonomy.hidden_states._collect._reduce import accepted_inputs
from isonomy.hidden_states._model._layout import find_spot, unwrap
from isonomy.hidden_states._model._loading import load_model_for
from isonomy.hidden_states._model._positions import token_weights

__all__ = ["Answers", "Kind", "LabelOptions", "open_answers"]

Kind = Literal["label_words", "classification"]


@dataclass(frozen=True)
class LabelOptions:
    """How labels are read, as the user gave it; None is the default of the model's kind."""

    label_words: Mapping[str, str] | Sequence[str] | None = None
    template: str | None = None
    several_tokens: SeveralTokens = "auto"


@dataclass
class Answers:
    """A model that answers with one score a label, and how its texts become batches."""

    kind: Kind
    classes: tuple[str, ...]
    run: BlockRun
    batcher: Batcher
    words: ReadTokens | None = None
    template: str | None = None
    prompts: PromptEncoder | None = field(default=None, repr=False)
    columns: list[int] | None = None
    _last: torch.Tensor | None = field(default=None, repr=False)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Keep the model ready for `batch`, `through` and `on_from`; put all back afterwards."""
        handle = None
        try:
            if self.kind == "label_words":
                # the vocabulary is multiplied out for the last real token alone
                spot = find_spot(self.run.model, "head_input", None, where=self.run.where)
                handle = spot.hook(self._at_last)
            with self.run.ready():
                yield
        finally:
            self._last = None
            if handle is not None:
                handle.remove()

    def encode(self, rows: Sequence[Labelled]) -> list[Any]:
        """Return the tokens (or pictures) of rows, the prompt around them."""
        if self.prompts is None:
            return self.batcher.encode([row.example for row in rows])
        texts = [checked_text(row.example, where=self.run.where) for row in rows]
        return [{"input_ids": ids} for ids in self.prompts.rows(texts)]

    def batch(self, encoded: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return the inputs of one batch, where the model is; the next passes are over it."""
        inputs = self.run.moved(self.batcher.collate(encoded))
        self._last = None
        if self.kind == "label_words":
            self._last = self.last_tokens(inputs).argmax(dim=1)
        return inputs

    def last_tokens(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return 1 at the last real token of every row and 0 elsewhere, (batch, tokens)."""
        batch, n_tokens = inputs["input_ids"].shape
        return token_weights(
            "last",
            attention_mask=inputs.get("attention_mask"),
            input_ids=None,
            n_tokens=n_tokens,
            batch=batch,
            device=inputs["input_ids"].device,
        )

    def plain(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return (batch, K) scores of the model's own answer."""
        return self.scores(self.run.logits(inputs))

    def read_tokens(self, inputs: Mapping[str, torch.Tensor], passed: Passed) -> torch.Tensor:
        """Return 1 at every token from which the answer is read, (batch, tokens); else 0.

        For words the last real token. For a head those whose last state moves its output:
        the first for BERT's pooler, the last for a decoder, all patches for a mean.
        """
        if self.kind == "label_words":
            return self.last_tokens(inputs)
        with torch.enable_grad():
            state = passed.states[-1].detach().requires_grad_()
            logits = self.run.on_from(inputs, self.run.n_layers - 1, state)
            (slope,) = torch.autograd.grad(logits.float().square().sum(), state)
        return (slope.abs().amax(dim=2) > 0).float()

    def lenses(self, inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return (batch, K) scores of every layer's lens; the last is the model's own answer."""
        words = self.kind == "label_words"
        passed = self.run.through(inputs, self._at_last if words else None)
        # a lens at one token is a text of one token
        short = {name: self._at_last(value) for name, value in inputs.items()} if words else inputs
        last = self.run.n_layers - 1
        read = [self.run.on_from(short, last, state) for state in passed.states[:-1]]
        return [self.scores(logits) for logits in (*read, passed.logits)]

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (batch, K) float64 scores from the model's logits."""
        if self.words is not None:
            rows = logits[:, -1]
            read = [rows[:, list(tokens)].double().mean(dim=1) for tokens in self.words.read]
            return torch.stack(read, dim=1).cpu()
        if logits.ndim != 2 or logits.shape[1] != len(self.classes):
            raise InvalidInputError(
                f"`classes` of `{self.run.where}` must name the outputs of the model's head, one "
                f"each, got {len(self.classes)} classes for logits of shape {tuple(logits.shape)}."
            )
        picked = logits if self.columns is None else logits[:, self.columns]
        return picked.double().cpu()

    def _at_last(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the last real token of every row, kept as a row of one."""
        if hidden.shape[1] == 1 or self._last is None:
            return hidden
        last = self._last.to(hidden.device)
        return hidden[torch.arange(len(last), device=hidden.device), last][:, None]


def open_answers(
    model: Any,
    tokenizer: Any,
    classes: Any,
    options: LabelOptions,
    *,
    max_length: int | None,
    where: str,
) -> Answers:
    """Return how ``model`` answers with ``classes``.

    Raises
    ------
    InvalidInputError
        If the model answers neither by words nor by a head, its head has other outputs, or
        words and classes do not fit.
    """
    names = check_classes(classes, where=where)
    if isinstance(model, str):
        model, tokenizer = load_model_for(model, tokenizer)
    if isinstance(model, LabelWords):
        model, tokenizer, options = _unpacked(model, names, options, where=where)
    kind = _kind_of(model, where=where)
    run = BlockRun(model, where=where)
    batcher = make_batcher(
        model, tokenizer, max_length=max_length, accepted=accepted_inputs(model), where=where
    )
    if kind == "label_words":
        template = DEFAULT_TEMPLATE if options.template is None else options.template
        words = read_tokens(
            tokenizer, names, options.label_words,
            template=template, rule=options.several_tokens, where=where,
        )  # fmt: skip
        limit = getattr(batcher, "max_length", None)
        prompts = PromptEncoder(batcher.reader, words.template, words.labels, limit)
        return Answers(kind, names, run, batcher, words, template, prompts)
    given = [name for name in ("label_words", "template") if getattr(options, name) is not None]
    if given:
        raise InvalidInputError(
            f"`{given[0]}` of `{where}` is for causal language models, which answer with words; "
            f"{type(unwrap(model)).__name__} has a classification head. Leave it out."
        )
    _check_padding(model, batcher, where=where)
    return Answers(kind, names, run, batcher, columns=_columns(model, names, where=where))


def _unpacked(
    head: LabelWords, names: tuple[str, ...], options: LabelOptions, *, where: str
) -> tuple[Any, Any, LabelOptions]:
    """Return the model inside a head, its tokenizer, and its words and template as options."""
    wrong = [
        name
        for name, differs in (
            ("label_words", options.label_words is not None),
            ("template", options.template not in (None, head.template)),
            ("classes", names != head.classes),
        )
        if differs
    ]
    if wrong:
        raise InvalidInputError(
            f"`{wrong[0]}` of `{where}` must be that of the `LabelWords` "
            f"passed as `model` ({list(head.classes)}, {head.template!r}). Pass the model inside "
            "it to read other words."
        )
    inner = LabelOptions(None, head.template, options.several_tokens)
    return head.model, head.reader, inner


def _kind_of(model: Any, *, where: str) -> Kind:
    inner: Any = unwrap(model)
    config = getattr(inner, "config", None)
    name = type(inner).__name__
    if is_classifier(inner):
        return "classification"
    ask = getattr(inner, "get_output_embeddings", None)
    has_words = callable(ask) and ask() is not None
    if has_words and "MaskedLM" not in name and not getattr(config, "is_encoder_decoder", False):
        return "label_words"
    raise InvalidInputError(
        f"`model` passed to `{where}` must be a causal language model (labels are words) or a "
        f"classification model (labels are outputs of its head), got {name}. Load it with "
        '`load_model(..., task="causal")` or `task="classification"`.'
    )


def _check_padding(model: Any, batcher: Batcher, *, where: str) -> None:
    """Heads of decoders find the last token by the padding that the configuration names."""
    fillers = getattr(batcher, "fillers", None)
    if fillers is None:
        return  # pictures
    config: Any = unwrap(model).config
    text: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
    named = getattr(text, "pad_token_id", None)
    if named != fillers["input_ids"]:
        raise InvalidInputError(
            f"`model` passed to `{where}` must name the padding token of its tokenizer "
            f"({fillers['input_ids']}) in its configuration, got {named!r}: its head would read "
            "padding. Set `model.config.pad_token_id`, or pass the tokenizer of the model."
        )


def _columns(model: Any, classes: tuple[str, ...], *, where: str) -> list[int] | None:
    """Return the head's output of each class where its configuration names them, else None."""
    config: Any = unwrap(model).config
    names = {int(i): str(name) for i, name in (getattr(config, "id2label", None) or {}).items()}
    if len(names) != len(classes):
        raise InvalidInputError(
            f"`classes` of `{where}` must name the outputs of the model's head, one each: it has "
            f"{len(names)}, got {len(classes)} classes."
        )
    known = set(names.values())
    if not known & set(classes):
        return None  # "LABEL_0" and so on: outputs without names, in the order of the codes
    if known != set(classes):
        raise InvalidInputError(
            f"`classes` of `{where}` must be the names of the outputs of the model's head, which "
            f"has no {sorted(set(classes) - known)[0]!r} but {sorted(known - set(classes))[0]!r}. "
            "Write them as `model.config.id2label` does, in any order."
        )
    place = {name: i for i, name in names.items()}
    return [place[name] for name in classes]
