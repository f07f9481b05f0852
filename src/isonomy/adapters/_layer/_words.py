"""Which token stands for a label in a causal model's vocabulary, behind the prompt of the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from isonomy.adapters._head._label_tokens import LabelTokens, Template, label_tokens
from isonomy.errors import InvalidInputError

__all__ = ["DEFAULT_TEMPLATE", "ReadTokens", "SeveralTokens", "read_tokens"]

SeveralTokens = Literal["auto", "distinguishing", "mean"]

DEFAULT_TEMPLATE = "{text}\nLabel: {label}"

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class ReadTokens:
    """For every label the tokens whose mean logit is its score, and how they are written.

    ``labels`` are the whole labels, cut as `LabelWords` cuts them: what all begin with
    belongs to the prompt. ``rule`` is "distinguishing" or "mean", whichever was used.
    """

    labels: LabelTokens
    template: Template
    read: tuple[Tokens, ...]
    pieces: tuple[tuple[str, ...], ...]
    rule: SeveralTokens


def read_tokens(
    tokenizer: Any,
    classes: Sequence[str],
    label_words: Mapping[str, str] | Sequence[str] | None,
    *,
    template: str,
    rule: SeveralTokens,
    where: str,
) -> ReadTokens:
    """Return the tokens by which each label is read.

    Raises
    ------
    InvalidInputError
        If the template lacks a place, words are missing or have no token, or two labels are
        read at the same tokens.

    Notes
    -----
    Label k has the tokens t_k1 ... t_kn behind the prompt. "distinguishing": the first t_kj
    with which t_k1 ... t_kj is the beginning of no other label. "mean": all of its tokens.
    "auto": the first where that gives every label a token of its own, else the second.
    """
    cut = Template.parse(template, where=where)
    words = _words(classes, label_words, where=where)
    labels = label_tokens(tokenizer, words, cut, end=None, where=where)
    whole = labels.scored
    alone = tuple(_distinguishing(i, whole) for i in range(len(whole)))
    if rule == "auto":
        rule = "distinguishing" if len(set(alone)) == len(alone) else "mean"
    read = alone if rule == "distinguishing" else whole
    _refuse_clashes(words, read, rule, where=where)
    pieces = tuple(tuple(tokenizer.convert_ids_to_tokens(list(tokens))) for tokens in read)
    return ReadTokens(labels, cut, read, pieces, rule)


def _words(
    classes: Sequence[str], given: Mapping[str, str] | Sequence[str] | None, *, where: str
) -> list[str]:
    if given is None:
        return list(classes)
    if isinstance(given, Mapping):
        missing = [name for name in classes if name not in given]
        if missing:
            raise InvalidInputError(
                f"`label_words` of `{where}` must name a word for every class, but has none for "
                f"{missing[0]!r}. Add it, or leave `label_words` out to use the names themselves."
            )
        words = [given[name] for name in classes]
    else:
        words = [] if isinstance(given, str) else list(given)
        if len(words) != len(classes):
            raise InvalidInputError(
                f"`label_words` of `{where}` must hold one word a class ({len(classes)}), got "
                f"{given!r}."
            )
    wrong = [word for word in words if not isinstance(word, str) or not word.strip()]
    if wrong:
        raise InvalidInputError(
            f"`label_words` of `{where}` must be words (strings that are not empty), got "
            f"{wrong[0]!r} among them."
        )
    return words


def _distinguishing(own: int, whole: Sequence[Tokens]) -> Tokens:
    """Return the first token that sets a label apart; no label is the beginning of another."""
    tokens = whole[own]
    for size in range(1, len(tokens) + 1):
        if not any(o[:size] == tokens[:size] for i, o in enumerate(whole) if i != own):
            return (tokens[size - 1],)
    return (tokens[-1],)


def _refuse_clashes(words: Sequence[str], read: Sequence[Tokens], rule: str, *, where: str) -> None:
    seen: dict[Tokens, int] = {}
    for i, tokens in enumerate(read):
        # a mean does not know the order of its tokens
        first = seen.setdefault(tuple(sorted(tokens)), i)
        if first == i:
            continue
        hint = "" if rule == "mean" else ', or pass `several_tokens="mean"`'
        raise InvalidInputError(
            f"`label_words` of `{where}` must give every label tokens of its own, but {words[i]!r} "
            f"and {words[first]!r} are both read at the tokens {list(tokens)}. Name another word "
            f"for one of them{hint}."
        )
