"""The model that decides: loaded with its head, then given what trains."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import peft
import torch
import transformers
from numpy.typing import NDArray

from isonomy.adapters._finetune._encoded import Collate, EncodedRows, RowReader, batches_of
from isonomy.adapters._finetune._options import WHERE, FinetuneOptions
from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.adapters._head._parts import head_parts
from isonomy.adapters.heads import classification_model, lora_model
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import context_limit, make_batcher
from isonomy.hidden_states._collect._reduce import accepted_inputs
from isonomy.hidden_states._model._layout import unwrap
from isonomy.hidden_states._model._roles import norm_size

__all__ = ["Classifier", "HeadKind", "load_classifier", "probabilities", "with_adapters"]

HeadKind = Literal["classification", "label_words", "clip"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """What is called and trained (``module``), the Hugging Face model in it, how it reads rows.

    ``is_new_head`` says that nothing has trained the head yet, so that what it decides is
    chance; ``limit`` is the most tokens read.
    """

    module: Any
    body: Any
    reader: Any
    batcher: RowReader
    head: HeadKind
    classes: tuple[str, ...]
    is_new_head: bool
    limit: int | None

    @property
    def collate(self) -> Collate:
        """How rows become a batch."""
        return Collate(self.batcher)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        found: torch.device = next(self.module.parameters()).device
        return found

    def base(self) -> Any:
        """Return the Hugging Face model without wrappers."""
        return unwrap(self.body)


def load_classifier(model: Any, rows: LabelledRows, options: FinetuneOptions) -> Classifier:
    """Return the model as it is before training, with its head.

    Raises
    ------
    InvalidInputError
        If the model cannot be loaded, or has no such head for these rows.
    """
    head = head_kind(rows, options)
    if head == "classification":
        return _with_classification_head(model, rows, options)
    from isonomy.adapters._finetune._prompted import load_prompted

    return load_prompted(model, rows, options, head)


def head_kind(rows: LabelledRows, options: FinetuneOptions) -> HeadKind:
    """Return the head asked for; "auto" is CLIP's for pictures, else a classification head."""
    head = options.head
    if head == "auto":
        head = "clip" if rows.kind == "image" else "classification"
    if (head == "clip") != (rows.kind == "image"):
        wanted = (
            "'clip' for pictures"
            if rows.kind == "image"
            else ("'classification' or 'label_words' for texts")
        )
        raise InvalidInputError(f"`head` of `{WHERE}` must be {wanted}, got {head!r}.")
    if head == "clip" and options.spread == "one_layer":
        raise InvalidInputError(
            f"`strategy` of `{WHERE}` is 'intermediate', which trains one layer of one stack, and "
            "CLIP has two towers. Use 'label_balance' for its constraints with LoRA on both, or "
            "'equity'."
        )
    if head != "classification" and options.finish == "class_means":
        raise InvalidInputError(
            f"`finish` of `{WHERE}` joins a classification head with class means, and the head is "
            f"{head!r}, got 'class_means'. Leave it out, or use `head='classification'`."
        )
    return head


def loading(options: FinetuneOptions) -> dict[str, Any]:
    """Return what `load_model` takes of the options."""
    dtype = options.dtype
    if dtype is None and options.spread in ("all", "norms"):
        dtype = "float32"  # small steps of a half-precision weight round to none
    named = {
        "dtype": dtype,
        "device": options.device,
        "quantization": options.quantization,
        "revision": options.revision,
    }
    found = {name: value for name, value in named.items() if value is not None}
    return found | ({"trust_remote_code": True} if options.trust_remote_code else {})


def _with_classification_head(
    model: Any, rows: LabelledRows, options: FinetuneOptions
) -> Classifier:
    is_new = not _has_trained_head(model, options)
    found, reader = classification_model(
        model, classes=rows.classes, random_state=options.random_state, **loading(options)
    )
    batcher = make_batcher(
        found,
        reader,
        max_length=options.max_length,
        accepted=accepted_inputs(found),
        where=WHERE,
    )
    limit = getattr(batcher, "max_length", None) or context_limit(found, reader)
    return Classifier(found, found, reader, batcher, "classification", rows.classes, is_new, limit)


def _has_trained_head(model: Any, options: FinetuneOptions) -> bool:
    if not isinstance(model, str | Path):
        return True  # in memory: whoever made it answers for its head
    hub = {"revision": options.revision, "trust_remote_code": options.trust_remote_code}
    try:
        config = transformers.AutoConfig.from_pretrained(model, **hub)
    except (OSError, ValueError, KeyError):
        return False  # loading says what is wrong
    return "Classification" in next(iter(config.architectures or ()), "")


def with_adapters(
    classifier: Classifier, options: FinetuneOptions, layer: int | None = None
) -> Classifier:
    """Return the classifier with what the strategy trains; its decisions are the same still.

    Parameters
    ----------
    classifier : Classifier
        Changed in place, as PEFT does it.
    options : FinetuneOptions
    layer : int, optional
        The one layer of "intermediate".
    """
    body = classifier.body
    if options.spread == "all":
        _check_not_quantised(options)
        body.requires_grad_(True)
        return classifier
    lora: dict[str, Any] = {"r": options.r, "lora_alpha": options.lora_alpha}
    lora["lora_dropout"] = options.lora_dropout
    if options.spread == "attention":
        found = lora_model(body, random_state=options.random_state, **lora)
    elif options.spread == "one_layer":
        from isonomy.adapters.single_layer import single_layer_lora

        assert layer is not None
        config = single_layer_lora(body, layer, **lora)
        found = _seeded_peft(body, config, options)
    else:
        found = _seeded_peft(body, _norm_config(body), options)
    if classifier.head == "classification":
        return replace(classifier, module=found, body=found)
    from isonomy.adapters._finetune._prompted import around

    return replace(classifier, module=around(classifier, found, options), body=found)


def _seeded_peft(body: Any, config: Any, options: FinetuneOptions) -> Any:
    from isonomy.adapters._head._seeding import seeded

    with seeded(options.random_state, where=WHERE), warnings.catch_warnings():
        # peft 0.21 wants the sizes of a linear map from every layer it trains, norms too
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        return peft.get_peft_model(body, config)


def _norm_config(body: Any) -> Any:
    """Return PEFT's configuration that trains every norm, and the head."""
    inner = unwrap(body)
    new = head_parts(inner)
    norms = [
        name
        for name, module in inner.named_modules()
        if norm_size(module) is not None and name.split(".", 1)[0] not in new
    ]
    if not norms:
        raise InvalidInputError(
            f"`strategy` of `{WHERE}` is 'layer_norms', but {type(inner).__name__} has no norm "
            "layers. Choose another strategy."
        )
    task = "SEQ_CLS" if "SequenceClassification" in type(inner).__name__ else None
    return peft.LNTuningConfig(target_modules=norms, modules_to_save=new or None, task_type=task)


def _check_not_quantised(options: FinetuneOptions) -> None:
    if options.quantization is not None:
        raise InvalidInputError(
            f"`strategy` of `{WHERE}` is 'full', which trains all weights, and "
            f"`quantization={options.quantization!r}` freezes them. Use 'equity' or 'lora'."
        )


def probabilities(classifier: Classifier, data: EncodedRows, batch_size: int) -> Floats:
    """Return the probabilities of the classes for every row, (n, K) float64.

    The model is put into evaluation mode, and back.
    """
    module = classifier.module
    found = np.empty((len(data), len(classifier.classes)))
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            for places, inputs in batches_of(
                data, classifier.collate, batch_size, classifier.device
            ):
                logits = module(**inputs).logits
                found[places] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
    finally:
        module.train(training)
    return found
