"""A sequence-classification model whose head has the classes in the order of their codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import transformers

from isonomy.adapters._head._classes import check_classes
from isonomy.adapters._head._padding import set_padding
from isonomy.adapters._head._parts import is_classifier
from isonomy.adapters._head._seeding import seeded
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._layout import unwrap
from isonomy.hidden_states._model._loading import load_model, load_model_for

__all__ = ["classes_of", "classification_model"]

_WHERE = "classification_model"


def classification_model(
    name_or_model: Any,
    *,
    classes: Iterable[str],
    multi_label: bool = False,
    tokenizer: Any = None,
    random_state: int | None = None,
    **load: Any,
) -> tuple[Any, Any]:
    """Return a model with a classification head for ``classes``, and its tokenizer.

    Parameters
    ----------
    name_or_model : str or Module
        A name on the hub or a folder, of a base model (it gets a new head) or of a
        classifier with as many outputs; or a classification model in memory.
    classes : sequence of K str
        Names in the order of the label codes 0 to K-1; they become ``config.id2label``.
    multi_label : bool
        Whether a row may have several labels: sets ``config.problem_type``.
    tokenizer : tokenizer, optional
        Default: the one of the checkpoint.
    random_state : int, optional
        Seed of a new head. Default: torch's own generator.
    **load
        Further arguments of ``hidden_states.load_model``: ``dtype``, ``device``,
        ``device_map``, ``quantization``, ``trust_remote_code``, ``revision``.

    Returns
    -------
    model : Module
        In evaluation mode; its padding token is the tokenizer's.
    tokenizer : tokenizer

    Raises
    ------
    InvalidInputError
        If the classes are fewer than two or one is named twice, the checkpoint has a head
        of another number of classes, there is no tokenizer, or no token to pad with.

    Warns
    -----
    PaddingTokenWarning
        If the tokenizer has no padding token and its end of text is used.

    Examples
    --------
    >>> import tempfile, transformers
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "late": 2}, unk_token="<unk>"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> folder = tempfile.mkdtemp()
    >>> transformers.PreTrainedTokenizerFast(
    ...     tokenizer_object=words, pad_token="<pad>", unk_token="<unk>"
    ... ).save_pretrained(folder) is not None
    True
    >>> sizes = dict(vocab_size=3, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    >>> config = transformers.BertConfig(**sizes, num_attention_heads=2, pad_token_id=0)
    >>> transformers.BertModel(config).save_pretrained(folder)
    >>> model, tokenizer = classification_model(
    ...     folder, classes=["joy", "fear"], device="cpu", random_state=0
    ... )
    >>> model.config.id2label, model(**tokenizer("late", return_tensors="pt")).logits.shape
    ({0: 'joy', 1: 'fear'}, torch.Size([1, 2]))
    """
    names = check_classes(classes, where=_WHERE)
    if isinstance(name_or_model, torch.nn.Module):
        if load:
            raise InvalidInputError(
                f"`{next(iter(load))}` of `{_WHERE}` must be left out where the model is passed "
                "in memory: it says how a checkpoint is loaded."
            )
        model = name_or_model
        if not is_classifier(model):
            raise InvalidInputError(
                f"`name_or_model` of `{_WHERE}` must have a classification head where it is a "
                f"model in memory, got a {type(unwrap(model)).__name__}. Pass its name or folder, "
                "or an `AutoModelForSequenceClassification`."
            )
        _check_outputs(unwrap(model).config, names, f"the {type(unwrap(model)).__name__}")
        tokenizer = tokenizer if tokenizer is not None else _tokenizer_of(model)
    else:
        _check_head_in_checkpoint(name_or_model, names, load)
        model, tokenizer = _loaded(name_or_model, len(names), tokenizer, random_state, load)
    _name_outputs(model, names, multi_label)
    set_padding(unwrap(model), tokenizer, where=_WHERE)
    return model, tokenizer


def classes_of(model: Any) -> tuple[str, ...]:
    """Return the class names of a head of any kind, in the order of their codes.

    Parameters
    ----------
    model : Module
        A classification model, with PEFT's adapters or without, `LabelWords` or
        `ClassNamePrompts`.

    Returns
    -------
    tuple of K str
        Of a classification model what its ``config.id2label`` says.

    Examples
    --------
    >>> import transformers
    >>> sizes = dict(vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    >>> config = transformers.BertConfig(**sizes, num_attention_heads=2,
    ...                                  id2label={0: "joy", 1: "fear"})
    >>> classes_of(transformers.BertForSequenceClassification(config))
    ('joy', 'fear')
    """
    own = getattr(model, "classes", None)
    if own is not None:
        return tuple(own)
    config: Any = unwrap(model).config
    named = config.id2label
    return tuple(str(named[code]) for code in sorted(named, key=int))


def _loaded(
    name: Any, n_classes: int, tokenizer: Any, random_state: int | None, load: dict[str, Any]
) -> tuple[Any, Any]:
    options = {"task": "classification", "num_labels": n_classes, **load}
    with seeded(random_state, where=_WHERE):
        if tokenizer is None or {"trust_remote_code", "revision"} & set(load):
            model, own = load_model(name, **options)
            return model, own if tokenizer is None else tokenizer
        return load_model_for(name, tokenizer, **options)


def _tokenizer_of(model: Any) -> Any:
    name = getattr(unwrap(model), "name_or_path", "")
    try:
        if name:
            return transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError):
        pass  # the sentence below says what to do
    raise InvalidInputError(
        f"`tokenizer` of `{_WHERE}` must be passed for a {type(model).__name__} in memory: none "
        "could be loaded by the model's own name."
    )


def _check_head_in_checkpoint(name: Any, classes: tuple[str, ...], load: dict[str, Any]) -> None:
    """Raise if the checkpoint has a trained head that ``classes`` do not fit."""
    hub = {key: load[key] for key in ("trust_remote_code", "revision") if key in load}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **hub)
    except (OSError, ValueError, KeyError):
        return  # `load_model` says what is wrong, as it does everywhere
    if "Classification" in next(iter(config.architectures or ()), ""):
        _check_outputs(config, classes, f"the checkpoint {str(name)!r}")


def _check_outputs(config: Any, classes: tuple[str, ...], of: str) -> None:
    known = tuple(str(config.id2label[code]) for code in sorted(config.id2label, key=int))
    if len(known) != len(classes):
        raise InvalidInputError(
            f"`classes` of `{_WHERE}` must be as many as the outputs of the head of {of} "
            f"({len(known)}: {', '.join(known[:5])}...), got {len(classes)}. Pass its base model, "
            "which gets a new head, or the head's own classes."
        )
    if known != classes and sorted(known) == sorted(classes):
        raise InvalidInputError(
            f"`classes` of `{_WHERE}` must stand in the order of the outputs of the head of {of}: "
            f"{list(known)!r}, got {list(classes)!r}. Pass them in that order and encode the "
            "labels by it."
        )


def _name_outputs(model: Any, classes: tuple[str, ...], multi_label: bool) -> None:
    config: Any = unwrap(model).config
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: code for code, name in enumerate(classes)}
    config.problem_type = (
        "multi_label_classification" if multi_label else "single_label_classification"
    )
