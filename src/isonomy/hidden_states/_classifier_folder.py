"""Write a steered head as a plain transformers classifier, where that is exact, and prove it.

A sequence classifier of transformers reads one tensor with one linear head. Whether that is
the tensor on which our head was fitted is not looked up by family: both run on the same
texts, and their scores must agree. Afterwards everything is read back from disk into new
objects and compared again.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import context_limit
from isonomy.hidden_states._model._layout import find_spot
from isonomy.hidden_states.exporting import Exported, export_adapters
from isonomy.hidden_states.folding import fold

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap
    from isonomy.hidden_states._steered_head import SteeredHead
    from isonomy.hidden_states.steered_model import SteeredModel

__all__ = ["ADAPTERS", "CLASSIFIER", "Served", "write_classifier"]

CLASSIFIER, ADAPTERS = "classifier", "adapters"

N_COMPARED = 64
"""Texts on which what was written is compared with what was meant."""

ENOUGH_SAME = 0.98
"""Of the decisions: in few bits a close one may fall to the other side."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Served:
    """What was written beside the artefact, and how it compares with it.

    ``reason`` says why there is nothing, where there is nothing; ``folded`` is true where
    the steering is inside the classifier's own weights.
    """

    architecture: str | None = None
    folded: bool = False
    exported: Exported | None = None
    reason: str | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)


def write_classifier(
    steered: SteeredModel,
    folder: Path,
    *,
    texts: Sequence[str],
    trust_remote_code: bool = False,
) -> Served:
    """Write ``classifier/`` and, where the head cannot take the steering, ``adapters/``.

    Parameters
    ----------
    steered : SteeredModel
    folder : Path
        Must exist. Nothing is left in it where the result has a ``reason``.
    texts : sequence of str
        Compared on; the first 64 count.
    trust_remote_code : bool

    Returns
    -------
    Served
    """
    reason = _why_not(steered)
    if reason is not None:
        return Served(reason=reason)
    compared = list(texts[:N_COMPARED])
    try:
        with _no_noise():
            model = _classifier(steered, trust_remote_code=trust_remote_code)
            found = _write(model, steered, folder, compared)
    except (InvalidInputError, ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        found = Served(reason=f"it could not be written: {first}")
    if found.reason is not None:
        for name in (CLASSIFIER, ADAPTERS):
            shutil.rmtree(folder / name, ignore_errors=True)
    return found


def _why_not(steered: SteeredModel) -> str | None:
    if steered.mode == "infer":
        return (
            "the guess of the group enters every score, and no linear layer of a plain "
            "classifier can compute it"
        )
    if steered.site != "head_input":
        return (
            f"the head reads {steered.site} of block {steered.layer}, and the plain classifiers "
            "of transformers have their head behind the last block (--layer head)"
        )
    if getattr(steered.model, "is_quantized", False):
        return "its weights were loaded in fewer bits, which a copy could not restore"
    return None


def _classifier(steered: SteeredModel, *, trust_remote_code: bool) -> Any:
    names = [str(c) for c in steered.classes]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        steered.base_model,
        revision=steered.revision,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        dtype=steered.model.dtype,
        trust_remote_code=trust_remote_code,
        ignore_mismatched_sizes=True,  # the checkpoint may hold another head
    )
    model.config.problem_type = "single_label_classification"
    if model.config.pad_token_id is None:
        model.config.pad_token_id = _pad_id(steered.tokenizer)
    return model.eval()


def _pad_id(tokenizer: Any) -> int | None:
    found = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return None if found is None else int(found)


def _write(model: Any, steered: SteeredModel, folder: Path, texts: list[str]) -> Served:
    head = steered.head
    spot = find_spot(model, "head_input", None, where="write_classifier")
    linear: Any = spot.module
    kind = type(model).__name__
    if spot.reads != "input" or tuple(linear.weight.shape) != head.weight.shape:
        return Served(reason=f"{kind} has no linear head over this hidden state")
    has_bias = linear.bias is not None
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(head.weight))
        if has_bias:
            linear.bias.copy_(torch.as_tensor(head.intercept))
    states = steered.hidden_states(texts)
    expected = states @ head.weight.T + (head.intercept if has_bias else 0.0)
    size = np.abs(states) @ np.abs(head.weight).T + np.abs(head.intercept)
    plain = _comparison(class_scores(model, steered, texts), expected)
    if plain["largest_difference"] > tolerance(model) * float(size.max()):
        return Served(
            reason=f"{kind} reads another tensor than {steered.site} at the positions "
            f"{steered.positions!r}: its scores differ by {plain['relative']:.2g} of the largest"
        )
    maps = head.effective_maps(absorb_intercept=not has_bias)
    folded = steered.mode == "blind" and has_bias
    if folded:
        fold(model, maps[0], inplace=True)
    model.save_pretrained(folder / CLASSIFIER)
    _own_tokenizer(steered.tokenizer).save_pretrained(folder / CLASSIFIER)
    exported = None
    if not folded:
        model.name_or_path = CLASSIFIER  # what an adapter names as its base
        by_group = dict(zip(head.groups, maps, strict=True)) if steered.mode == "given" else maps[0]
        exported = export_adapters(model, by_group, folder / ADAPTERS)
    checks = _read_back(steered, folder, exported, texts, states)
    for check in checks:
        allowed = tolerance(model) * _largest_term(head, maps, states)
        if check["largest_difference"] > allowed or check["n_same"] < ENOUGH_SAME * check["n"]:
            return Served(
                reason=f"read back from disk in {str(model.dtype).removeprefix('torch.')}, "
                f"{check['what']} decides as before on {check['n_same']} of {check['n']} texts, "
                f"and its scores differ by {check['largest_difference']:.2g}"
            )
    return Served(kind, folded, exported, None, checks)


def _own_tokenizer(tokenizer: Any) -> Any:
    own = copy.deepcopy(tokenizer)
    if own.pad_token_id is None:
        own.pad_token = own.eos_token
    return own


def tolerance(model: Any) -> float:
    """Return what rounding may change of a score, as a share of the terms that make it up.

    A score is a sum of d products, which may cancel: its rounding is that of its largest
    terms. 2^-24 in float32, 2^-11 in float16, 2^-8 in bfloat16, times 100 for the layers before.
    """
    bits = {torch.float64: 24, torch.float32: 24, torch.float16: 11}.get(model.dtype, 8)
    return float(min(100 * 2.0**-bits, 0.1))


def _largest_term(
    head: SteeredHead, maps: Sequence[AffineMap], states: NDArray[np.float32]
) -> float:
    """Return the largest sum of absolute terms of a score: before, after and inside the maps."""
    weight, rows = np.abs(head.weight), np.abs(states)
    sizes = [rows @ weight.T]
    for one in maps:
        sizes.append(np.abs(one.apply(states)) @ weight.T)
        sizes.append(rows @ np.abs(head.weight @ one.matrix).T + np.abs(head.weight @ one.offset))
    return float(max(size.max() for size in sizes) + np.abs(head.intercept).max())


def _read_back(
    steered: SteeredModel,
    folder: Path,
    exported: Exported | None,
    texts: list[str],
    states: NDArray[np.float32],
) -> list[dict[str, Any]]:
    """Load what was written into new objects, and compare it on the texts."""
    from peft import PeftModel

    def fresh() -> Any:
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            folder / CLASSIFIER, dtype=steered.model.dtype
        ).eval()

    reader = transformers.AutoTokenizer.from_pretrained(folder / CLASSIFIER)
    if exported is None:
        expected = steered.head.scores(states, where="write_classifier")
        found = class_scores(fresh(), steered, texts, tokenizer=reader)
        return [{"what": "classifier", **_comparison(found, expected)}]
    checks = []
    for group, home in exported.adapters.items():
        model = PeftModel.from_pretrained(fresh(), str(home)).eval()
        groups = [group] * len(texts) if steered.mode == "given" else None
        expected = steered.head.scores(states, sensitive_features=groups, where="write_classifier")
        found = class_scores(model, steered, texts, tokenizer=reader)
        name = f"{ADAPTERS}/{home.name}"
        checks.append({"what": f"classifier with {name}", **_comparison(found, expected)})
    return checks


def class_scores(
    model: Any, steered: SteeredModel, texts: Sequence[str], *, tokenizer: Any = None
) -> Floats:
    """Return the logits of a plain classifier, called as anybody would call it."""
    reader = _own_tokenizer(tokenizer or steered.tokenizer)
    limit = steered.max_length or context_limit(steered.model, steered.tokenizer)
    device = next(model.parameters()).device
    scores = []
    for start in range(0, len(texts), 16):
        inputs = reader(
            list(texts[start : start + 16]),
            padding=True,
            truncation=limit is not None,
            max_length=limit,
            return_tensors="pt",
        ).to(device)
        with torch.no_grad():
            scores.append(model(**inputs).logits.double().cpu().numpy())
    return np.concatenate(scores)


def _comparison(found: Floats, expected: Any) -> dict[str, Any]:
    """Compare scores up to what all classes of a text share, which no decision sees."""
    one, two = (v - v.mean(axis=1, keepdims=True) for v in (found, np.asarray(expected)))
    largest = float(np.abs(one - two).max())
    return {
        "n": len(one),
        "n_same": int((one.argmax(axis=1) == two.argmax(axis=1)).sum()),
        "largest_difference": largest,
        "relative": largest / max(float(np.abs(two).max()), 1e-30),
    }


@contextmanager
def _no_noise() -> Iterator[None]:
    """Silence what transformers and PEFT say of a head that is new and of biases: both are ours."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`lora_bias=True` was passed but")
            # peft 0.21 asks transformers 5.23 by the older of two names
            warnings.filterwarnings("ignore", message=r"`is_gradient_checkpointing` is deprecated")
            yield
    finally:
        transformers.logging.set_verbosity(before)


def serving_rows(served: Served) -> list[dict[str, str]]:
    """Return what a report says of each way to serve the result."""
    rows = [
        {
            "what": "isonomy",
            "where": "artefact.safetensors",
            "how": "as judged here; load_steered_model reads it beside the base model",
        }
    ]
    if served.reason is not None:
        why = f"None: {served.reason}."
        return [*rows, {"what": "A plain classifier, adapters", "where": "", "how": why}]
    if served.folded:
        how = f"exact; a {served.architecture} whose head holds the steering, for any server of it"
        return [*rows, {"what": "A plain classifier", "where": f"{CLASSIFIER}/", "how": how}]
    exported = served.exported
    assert exported is not None
    rows.append(
        {
            "what": f"{served.architecture}",
            "where": f"{CLASSIFIER}/",
            "how": "the head before steering and without its intercept: load an adapter on it",
        }
    )
    group = "one for each group" if len(exported.adapters) > 1 else "one for all"
    bias = ", with a bias (lora_bias)" if exported.bias else ""
    rows.append(
        {
            "what": f"PEFT adapters, {group}",
            "where": f"{ADAPTERS}/",
            "how": f"exact; rank {exported.rank}{bias}; served by {', '.join(exported.servers)}",
        }
    )
    return rows + _servers(exported.reasons, exported.servers)


def _servers(reasons: Mapping[str, str], served: Sequence[str]) -> list[dict[str, str]]:
    rows = []
    for name, why in reasons.items():
        verdict = "yes: " if name in served else ("" if why.startswith("not conf") else "no: ")
        row = {"what": f"Server: {name}", "where": f"{ADAPTERS}/", "how": verdict + why}
        rows.append({key: text.replace("`", "") for key, text in row.items()})
    return rows
