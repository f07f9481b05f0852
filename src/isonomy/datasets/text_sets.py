"""Fine-grained text sets with many classes, read from files on your disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from isonomy._validation import check_choice, check_random_state
from isonomy.datasets._carving import carve, check_share
from isonomy.datasets._text_rows import SPLITS, read_text_set
from isonomy.datasets._text_specs import TEXT_SPECS, TextSpec
from isonomy.datasets.class_prompts import distinct_names
from isonomy.datasets.real_biographies import load_biographies
from isonomy.errors import InvalidInputError

__all__ = ["TEXT_SETS", "load_text_set"]

TEXT_SETS: tuple[str, ...] = (*TEXT_SPECS, "biographies")
"""The names that `load_text_set` knows."""


def load_text_set(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    level: str | None = None,
    variant: str | None = None,
    out_of_scope: bool = False,
    multi_label: bool = False,
    validation_share: float | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> Bunch:
    r"""Read a text set with many classes from a local folder.

    Parameters
    ----------
    name : str
        One of `TEXT_SETS`: "banking77", "trec", "clinc150", "hwu64", "goemotions",
        "stackoverflow20", "sst5", "biographies", "tweeteval_emotion" or another task of
        TweetEval ("hate", "irony", "offensive", "sentiment", "stance_abortion", ...). A hyphen
        does for an underscore.
    folder : str or path-like, optional
        Holds the set's file, directly or in a folder of the set's name (that of TweetEval is
        ``tweeteval``); by default the environment variable ``ISONOMY_DATA`` names it. The
        file is CSV with the columns text, label and split, plain or gzipped:
        ``banking77.csv``, ``trec.csv`` (fine and coarse for label), ``clinc150_full.csv``,
        ``hwu64_fold1.csv``, ``goemotions.csv`` (labels: codes with commas), ... Or the
        publisher's own files: ``train.csv`` and ``test.csv`` of Banking77,
        ``train_5500.label`` and ``TREC_10.label``, ``data_full.json`` of CLINC150,
        ``train.tsv``, ``dev.tsv`` and ``test.tsv`` of GoEmotions, ``trees/`` of the sentiment
        treebank, ``train_text.txt``, ``train_labels.txt`` and so on of TweetEval.
    level : str, optional
        Which labels, where there are several: for "trec" "fine" (default, 50 classes) or
        "coarse" (6).
    variant : str, optional
        Which file, where there are several: for "clinc150" "full" (default), "imbalanced",
        "small" or "oos_plus".
    out_of_scope : bool
        For "clinc150": whether the questions that no intent answers are among the rows, as
        the class "oos".
    multi_label : bool
        For "goemotions": whether each row has a list of labels. By default the rows of one
        label alone are kept.
    validation_share : float in [0, 1), optional
        Move this share of each class's training rows into the split "validation", where
        the set has none (Banking77, TREC, HWU64). Of a class of two rows or more, one
        moves and one stays at least.
    random_state : int, RandomState or None
        Draws these rows; the same integer gives the same rows.

    Returns
    -------
    Bunch
        ``text``, list of n_samples str; ``label`` (n_samples,) of str (a list of lists of str
        with ``multi_label``); ``split`` (n_samples,) of "train", "validation" or "test";
        ``classes``, list of the K labels in the order of the codes; ``class_names``, the
        same as people write them; ``code`` (n_samples,) of 0 to K - 1 (without
        ``multi_label``); ``coarse`` where the set groups its classes (TREC, HWU64);
        ``group``, the gender, for "biographies"; ``name``, ``description``, ``source``,
        ``licence``.

    Raises
    ------
    DataFileError
        If the folder, the file or a column is missing, or a code is outside the classes;
        the message says where to get the file. Nothing is downloaded.
    InvalidInputError
        If an argument is unknown or is not for this set.

    Notes
    -----
    Rows keep the order of the file. The order of the classes is that of the published codes
    where there are codes, else of the alphabet.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> text = "text,label,split\nWhere is my card?,card_arrival,train\nTop up?,top_up,test\n"
    >>> _ = (folder / "banking77.csv").write_text(text)
    >>> bank = load_text_set("banking77", folder)
    >>> bank.class_names, bank.split
    (['card arrival', 'top up'], array(['train', 'test'], dtype='<U16'))
    """
    where = "load_text_set"
    if isinstance(name, str):
        name = name.replace("-", "_")
    check_choice("name", name, TEXT_SETS, where=where)
    share = check_share("validation_share", validation_share, where=where)
    rng = check_random_state(random_state)
    spec = TEXT_SPECS.get(name)
    _check_options(name, spec, level, variant, out_of_scope, multi_label, where)
    if spec is None:
        found = _biographies(folder)
    else:
        found = read_text_set(name, spec, folder, level, variant, out_of_scope, multi_label, where)
    found["name"] = name
    if share and (found.split == "validation").any():
        raise InvalidInputError(
            f"`validation_share` of `{where}` is for sets without a validation split, but "
            f"{name!r} has one. Leave it out."
        )
    cells: Sequence[Any] = found.label
    if "group" in found:  # so that both genders of an occupation are in both splits
        cells = list(zip(found.label.tolist(), found.group.tolist(), strict=True))
    found["split"] = carve(cells, found.split, share=share, into="validation", rng=rng)
    return found


def _check_options(
    name: str,
    spec: TextSpec | None,
    level: str | None,
    variant: str | None,
    out_of_scope: bool,
    multi_label: bool,
    where: str,
) -> None:
    levels = (None, *(spec.labels if spec else ()))
    variants = (None, *(spec.files if spec else ()))
    check_choice("level", level, levels, where=where)
    check_choice("variant", variant, variants, where=where)
    check_choice("out_of_scope", out_of_scope, (True, False), where=where)
    check_choice("multi_label", multi_label, (True, False), where=where)
    if out_of_scope and name != "clinc150":
        raise InvalidInputError(f"`out_of_scope` of `{where}` is for 'clinc150', got {name!r}.")
    if multi_label and not (spec and spec.many):
        raise InvalidInputError(
            f"`multi_label` of `{where}` is for 'goemotions', but {name!r} has one label a row."
        )


def _biographies(folder: str | os.PathLike[str] | None) -> Bunch:
    data = load_biographies(folder)
    classes, code = np.unique(data.occupation, return_inverse=True)
    split: NDArray[np.str_] = np.array([SPLITS.get(s, s) for s in data.split.tolist()])
    return Bunch(
        text=data.text.tolist(),
        label=data.occupation,
        split=split,
        classes=classes.tolist(),
        class_names=list(distinct_names(classes.tolist())),
        code=code.astype(np.intp),
        group=data.gender,
        description=data.description,
        source=data.source,
        licence=data.licence,
    )
