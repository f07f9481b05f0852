"""Cars, birds and foods as TEXT: class names and a user's descriptions as labelled rows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from isonomy._validation import check_choice, check_random_state
from isonomy.datasets._carving import carve, check_share
from isonomy.datasets._image_index import ImageIndex
from isonomy.datasets._table_files import TextFile, read_text_table
from isonomy.datasets.class_prompts import class_name_prompts, readable_name
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["describe_classes"]

Descriptions = Mapping[str, str | Sequence[str]] | str | os.PathLike[str]

_HIDDEN = "_"


def describe_classes(
    classes: ImageIndex | Sequence[str],
    *,
    descriptions: Descriptions | None = None,
    template: str | Sequence[str] | None = None,
    hide_names: bool = False,
    validation_share: float | None = None,
    test_share: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> Bunch:
    """Return labelled texts about classes, for a language model to tell the classes by.

    Parameters
    ----------
    classes : ImageIndex, HubImages or sequence of str
        The classes; their order is that of the codes.
    descriptions : dict, str or path-like, optional
        ``{class: text or several texts}``, or a file of the same: JSON, or CSV with the
        columns class and text, one row a text. Classes are named as in ``classes``, or as the
        picture set spells them ("001.Black_footed_Albatross").
    template : str or sequence of str, optional
        With descriptions: a sentence with ``{description}`` (default that alone) and perhaps
        ``{label}``. Without: sentences with ``{label}``, or a name of `PROMPT_TEMPLATES`
        (default "photo"); every class gives one text for each.
    hide_names : bool
        Whether the class's own name is replaced by "_" inside descriptions, so that it has
        to be told from what is said about it.
    validation_share, test_share : float in [0, 1), optional
        Shares of each class's texts that become "validation" and "test"; a class keeps one
        text for training at least.
    random_state : int, RandomState or None
        Draws them; the same integer gives the same texts.

    Returns
    -------
    Bunch
        ``text``, list of n_samples str; ``label`` (n_samples,) of str; ``code`` (n_samples,);
        ``split`` (n_samples,); ``classes``, list of K names.

    Raises
    ------
    InvalidInputError
        If a class has no description, a description has no class, or an argument is
        unusable.
    DataFileError
        If the file cannot be read.

    Notes
    -----
    With a description a class, what is learnt is to tell these descriptions apart; whether
    that carries over to other words, only descriptions held out can tell: give several.

    Examples
    --------
    >>> said = {"crow": ["All black, with a strong bill.", "A crow caws."], "wren": "Tiny, brown."}
    >>> birds = describe_classes(["crow", "wren"], descriptions=said, hide_names=True)
    >>> birds.text, birds.code
    (['All black, with a strong bill.', 'A _ caws.', 'Tiny, brown.'], array([0, 0, 1]))
    """
    where = "describe_classes"
    check_choice("hide_names", hide_names, (True, False), where=where)
    shares = {
        into: check_share(f"{into}_share", share, where=where)
        for into, share in {"test": test_share, "validation": validation_share}.items()
    }
    rng = check_random_state(random_state)
    names, originals = _names(classes, where)
    if descriptions is None:
        texts = class_name_prompts(names, "photo" if template is None else template)
    else:
        said = _texts_of(_read(descriptions, where), names, originals, where)
        texts = _filled(said, names, template, hide_names, where)
    code = np.repeat(np.arange(len(names)), [len(t) for t in texts])
    split = np.full(len(code), "train", dtype="<U16")
    for into, share in shares.items():
        split = carve(code.tolist(), split, share=share, into=into, rng=rng)
    return Bunch(
        text=[text for of_class in texts for text in of_class],
        label=np.array(names)[code],
        code=code.astype(np.intp),
        split=split,
        classes=names,
    )


def _names(classes: Any, where: str) -> tuple[list[str], list[str]]:
    if hasattr(classes, "original_classes"):  # an ImageIndex, or the pictures of a hub's set
        return list(classes.classes), list(classes.original_classes)
    names = [] if isinstance(classes, str) else list(classes)
    if not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise InvalidInputError(
            f"`classes` passed to `{where}` must be an ImageIndex or the names of the classes, "
            f"each once, got {classes!r}."
        )
    return names, names


def _read(descriptions: Descriptions, where: str) -> dict[str, list[str]]:
    if isinstance(descriptions, str | os.PathLike):
        descriptions = _read_file(Path(descriptions), where)
    if not isinstance(descriptions, Mapping):
        raise InvalidInputError(
            f"`descriptions` of `{where}` must be a dict of texts by class or the path of a JSON "
            f"or CSV file, got {type(descriptions).__name__}."
        )
    out = {}
    for name, given in descriptions.items():
        texts = [given] if isinstance(given, str) else given
        usable = isinstance(texts, list | tuple) and texts
        if not usable or not all(isinstance(t, str) and t.strip() for t in texts):
            raise InvalidInputError(
                f"`descriptions` of `{where}` must hold a text or several for every class, got "
                f"{given!r} for {name!r}."
            )
        out[str(name)] = list(texts)
    return out


def _read_file(path: Path, where: str) -> Any:
    if path.suffix.lower() == ".json":
        try:
            return json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise DataFileError(
                f"{where} could not read {str(path)!r} as JSON: {error}. It must hold an object "
                "of texts by class."
            ) from error
    table = read_text_table(path, TextFile(path.name), where=where)
    if not {"class", "text"} <= set(table.columns):
        raise DataFileError(
            f"{where} needs the columns class and text, but {str(path)!r} has "
            f"{', '.join(table.columns)}."
        )
    out: dict[str, list[str]] = {}
    for name, text in zip(table.columns["class"], table.columns["text"], strict=True):
        out.setdefault(name, []).append(text)
    return out


def _texts_of(
    said: Mapping[str, list[str]], names: Sequence[str], originals: Sequence[str], where: str
) -> list[list[str]]:
    """Return the texts of each class, found by its name or by the set's own spelling."""
    spelled = {**dict(zip(originals, names, strict=True)), **{name: name for name in names}}
    found: dict[str, list[str]] = {name: [] for name in names}
    for key, texts in said.items():
        name = spelled.get(key, readable_name(key))
        if name not in found:
            raise InvalidInputError(
                f"`descriptions` of `{where}` must describe the classes asked for, but {key!r} is "
                f"not among the {len(names)}. Drop it, or name it as the class."
            )
        found[name].extend(texts)
    without = [name for name, texts in found.items() if not texts]
    if without:
        raise InvalidInputError(
            f"`descriptions` of `{where}` must describe every class, but {len(without)} of "
            f"{len(names)} have none, the first {without[0]!r}. Describe them, or leave them out "
            "of `classes`."
        )
    return list(found.values())


def _filled(
    said: list[list[str]],
    names: Sequence[str],
    template: str | Sequence[str] | None,
    hide_names: bool,
    where: str,
) -> list[list[str]]:
    templates = ["{description}"] if template is None else template
    templates = [templates] if isinstance(templates, str) else list(templates)
    for sentence in templates:
        fields = set(re.findall(r"\{(\w*)\}", sentence))
        if "description" not in fields or fields - {"description", "label"}:
            raise InvalidInputError(
                f"`template` of `{where}` must hold {{description}}, and {{label}} if wanted, got "
                f"{sentence!r}."
            )
    out = []
    for name, texts in zip(names, said, strict=True):
        own = re.compile(rf"\b{re.escape(name)}(?=(e?s)?\b)", re.IGNORECASE)
        shown = [own.sub(_HIDDEN, text) if hide_names else text for text in texts]
        out.append(
            [
                sentence.replace("{label}", name).replace("{description}", text)
                for text in shown
                for sentence in templates
            ]
        )
    return out
