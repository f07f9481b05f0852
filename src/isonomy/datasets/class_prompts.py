"""Class names as people read them, and the sentences around them that a model reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from isonomy.errors import InvalidInputError

__all__ = ["PROMPT_TEMPLATES", "class_name_prompts", "distinct_names", "readable_name"]

PROMPT_TEMPLATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "photo": ("a photo of {article} {label}.",),
        "birds": (
            "a photo of {article} {label}, which is a bird.",
            "{article} {label} in the wild.",
        ),
        "cars": ("a photo of {article} {label}, which is a car.", "a car: the {label}."),
        "foods": ("a photo of {label}, which is food.", "a plate of {label}."),
        "characters": ("a drawn letter: {label}.",),
        "digits": ("a drawing of the digit {label}.",),
    }
)
"""Sentences around a class name, by what the pictures show."""

_NUMBER = re.compile(r"^\d+\.(?=\D)")
_FIELD = re.compile(r"\{(\w*)\}")


def class_name_prompts(
    classes: Sequence[str], templates: str | Sequence[str] = "photo"
) -> list[list[str]]:
    """Put every class name into every template.

    Parameters
    ----------
    classes : sequence of str
        K class names, as people read them.
    templates : str or sequence of str
        Sentences that hold ``{label}``, and ``{article}`` where "a" or "an" is due; or a
        name of `PROMPT_TEMPLATES`: "photo", "birds", "cars", "foods", "characters",
        "digits".

    Returns
    -------
    list of lists of str
        ``prompts[k][t]``: class k in template t.

    Raises
    ------
    InvalidInputError
        If there are no classes or templates, a template lacks ``{label}`` or has another
        field, or two classes give the same prompt.

    Notes
    -----
    A model that reads prompts scores class k by the mean over t of what it makes of
    ``prompts[k]``. "an" goes before a written vowel, whatever it sounds like.

    Examples
    --------
    >>> class_name_prompts(["apple pie", "ramen"], "a photo of {article} {label}.")
    [['a photo of an apple pie.'], ['a photo of a ramen.']]
    """
    where = "class_name_prompts"
    names = _checked_classes(classes, where)
    wanted = _checked_templates(templates, where)
    prompts = [[_filled(template, name) for template in wanted] for name in names]
    seen: dict[str, str] = {}
    for name, (first, *_) in zip(names, prompts, strict=True):
        if first in seen:
            raise InvalidInputError(
                f"`classes` passed to `{where}` must differ, but {seen[first]!r} and {name!r} give "
                f"the same prompt {first!r}. Rename one."
            )
        seen[first] = name
    return prompts


def readable_name(name: str) -> str:
    """Return a class name as people write it: no leading number, spaces for underscores.

    Parameters
    ----------
    name : str
        As a folder or a list of classes spells it.

    Returns
    -------
    str
        ``name`` itself where nothing else is left.

    Examples
    --------
    >>> readable_name("001.Black_footed_Albatross"), readable_name("apple_pie")
    ('Black footed Albatross', 'apple pie')
    """
    return " ".join(_NUMBER.sub("", name).replace("_", " ").split()) or name


def distinct_names(originals: Sequence[str]) -> tuple[str, ...]:
    """Return readable names; those that would coincide stay as they are."""
    cleaned = [readable_name(name) for name in originals]
    return tuple(
        new if cleaned.count(new) == 1 else old for new, old in zip(cleaned, originals, strict=True)
    )


def _checked_classes(classes: Sequence[str], where: str) -> list[str]:
    names = [] if isinstance(classes, str) else list(classes)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidInputError(
            f"`classes` passed to `{where}` must be the names of the classes, got {classes!r}."
        )
    return names


def _checked_templates(templates: str | Sequence[str], where: str) -> list[str]:
    if isinstance(templates, str):
        templates = PROMPT_TEMPLATES.get(templates, (templates,))
    for template in templates:
        fields = set(_FIELD.findall(template)) if isinstance(template, str) else set()
        if "label" not in fields or fields - {"label", "article"}:
            raise InvalidInputError(
                f"`templates` of `{where}` must be sentences with {{label}}, and {{article}} if "
                f"wanted, or one of {', '.join(PROMPT_TEMPLATES)}, got {template!r}."
            )
    if not templates:
        raise InvalidInputError(f"`templates` of `{where}` must hold at least one, got none.")
    return list(templates)


def _filled(template: str, name: str) -> str:
    article = "an" if name[:1].lower() in tuple("aeiou") else "a"
    return template.replace("{article}", article).replace("{label}", name)
