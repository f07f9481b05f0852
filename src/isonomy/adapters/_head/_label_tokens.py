"""The tokens of the label words, as they stand behind the prompt, and what sets two apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from isonomy.errors import InvalidInputError

__all__ = ["LabelTokens", "Template", "label_tokens", "start_tokens"]


@dataclass(frozen=True)
class Template:
    """A prompt cut at its two places: ``before {text} cue gap {label} after``.

    ``gap`` is the white space before the label. It goes with the label, because tokenizers
    join a space with the word behind it: " joy" is one token where "joy" is another.
    """

    before: str
    cue: str
    gap: str
    after: str

    @classmethod
    def parse(cls, template: Any, *, where: str) -> Template:
        """Cut a template that holds ``{text}`` once and, behind it, ``{label}`` once."""
        text = template if isinstance(template, str) else ""
        found = [text.count("{text}"), text.count("{label}")]
        if found != [1, 1] or text.index("{text}") > text.index("{label}"):
            raise InvalidInputError(
                f"`template` of `{where}` must hold '{{text}}' once and behind it '{{label}}' "
                f"once, got {template!r}. Write for example '{{text}}\\nLabel: {{label}}'."
            )
        before, rest = text.split("{text}")
        cue, after = rest.split("{label}")
        return cls(before, cue.rstrip(), cue[len(cue.rstrip()) :], after)

    def prompt(self, text: str) -> str:
        """Return the prompt of one text, up to the white space before the label."""
        return f"{self.before}{text}{self.cue}"


@dataclass(frozen=True)
class LabelTokens:
    """Token numbers of every label behind the prompt.

    Parameters
    ----------
    shared : tuple of int
        What all labels begin with; it belongs to the prompt and is not scored.
    scored : tuple of K tuples of int
        The tokens of each label behind that, its end token included where ``has_end``.
    has_end : bool
        Whether an end token closes every label.
    """

    shared: tuple[int, ...]
    scored: tuple[tuple[int, ...], ...]
    has_end: bool

    @property
    def longest(self) -> int:
        """Most scored tokens of a label."""
        return max(len(tokens) for tokens in self.scored)


def label_tokens(
    tokenizer: Any, classes: Sequence[str], template: Template, *, end: bool | None, where: str
) -> LabelTokens:
    """Return the tokens of the labels.

    Parameters
    ----------
    tokenizer : tokenizer
    classes : sequence of K str
    template : Template
    end : bool or None
        Whether the tokenizer's end of text closes every label. None: where the tokens of
        one label are the beginning of another's, as of "joy" and "joyful".
    where : str
        The public function, for messages.

    Raises
    ------
    InvalidInputError
        If two labels have the same tokens, one begins another without an end token, a
        label has no token, or there is no end token.
    """
    found = [_tokens_of(tokenizer, name, template) for name in classes]
    for name, tokens in zip(classes, found, strict=True):
        if not tokens:
            raise InvalidInputError(
                f"`classes` of `{where}` must be names that the tokenizer can write, but {name!r} "
                "has no token. Rename the class."
            )
    _check_distinct(classes, found, where)
    pair = _first_prefix(classes, found)
    if pair is not None and end is False:
        raise InvalidInputError(
            f"`end` of `{where}` must be True or None for these classes: the tokens of "
            f"{pair[0]!r} begin those of {pair[1]!r}, which could never be the likelier one."
        )
    has_end = pair is not None if end is None else end
    if has_end:
        closing = _end_of(tokenizer, where)
        found = [(*tokens, closing) for tokens in found]
    n = _n_shared(found)
    return LabelTokens(found[0][:n], tuple(tokens[n:] for tokens in found), has_end)


def start_tokens(tokenizer: Any) -> list[int]:
    """Return the special tokens that the tokenizer puts in front of a text."""
    plain = _plain(tokenizer, "a")
    full = list(tokenizer("a", verbose=False)["input_ids"])
    places = range(len(full) - len(plain) + 1)
    start = next((i for i in places if full[i : i + len(plain)] == plain), 0)
    return full[:start]


def _tokens_of(tokenizer: Any, name: str, template: Template) -> tuple[int, ...]:
    """Return what the label adds to the cue; alone where the tokenizer joins the two."""
    piece = f"{template.gap}{name}{template.after}"
    cue = _plain(tokenizer, template.cue)
    whole = _plain(tokenizer, template.cue + piece)
    return tuple(whole[len(cue) :] if whole[: len(cue)] == cue else _plain(tokenizer, piece))


def _plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _check_distinct(classes: Sequence[str], found: Sequence[tuple[int, ...]], where: str) -> None:
    first: dict[tuple[int, ...], str] = {}
    for name, tokens in zip(classes, found, strict=True):
        if tokens in first:
            raise InvalidInputError(
                f"`classes` of `{where}` must differ in their tokens, but {first[tokens]!r} and "
                f"{name!r} are the same to this tokenizer: {list(tokens)!r}. Rename one of them."
            )
        first[tokens] = name


def _first_prefix(
    classes: Sequence[str], found: Sequence[tuple[int, ...]]
) -> tuple[str, str] | None:
    """Return two labels of which the tokens of one begin the other's, if there are any."""
    order = sorted(range(len(found)), key=lambda k: found[k])
    for short, long in pairwise(order):  # such two stand side by side
        if found[long][: len(found[short])] == found[short]:
            return classes[short], classes[long]
    return None


def _end_of(tokenizer: Any, where: str) -> int:
    if tokenizer.eos_token_id is None:
        raise InvalidInputError(
            f"`tokenizer` of `{where}` must have an end of text (`eos_token`), which closes the "
            "labels, but it has none. Set it, or end the template with a full stop."
        )
    return int(tokenizer.eos_token_id)


def _n_shared(found: Sequence[tuple[int, ...]]) -> int:
    """Return how many first tokens are the same in all: never all of one, which begins no other."""
    columns = zip(*found, strict=False)
    return len(list(takewhile(lambda column: len(set(column)) == 1, columns)))
