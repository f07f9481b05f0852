"""Write what was trained so that plain PEFT (or transformers) reads it, and read it back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
from numpy.typing import NDArray

from isonomy.adapters._finetune._encoded import EncodedRows
from isonomy.adapters._finetune._model import Classifier, probabilities
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters.heads import save_classifier

__all__ = ["read_back", "save_model", "usage", "written_files"]

Floats = NDArray[np.float64]

_ABOUT = {
    "adapter_config.json": "PEFT's configuration of the adapter",
    "adapter_model.safetensors": "the weights of the adapter (and of a new head)",
    "config.json": "the configuration of the whole model",
    "model.safetensors": "all weights of the model",
    "isonomy_start.json": "where the adapter started, for the record",
    "isonomy_finish.json": "how the head was joined with class means, for the record",
    "isonomy_head.json": "the kind of head, the classes in their order, and its settings",
    "README.md": "the model card",
    "index.html": "the report",
    "report.json": "the numbers of the report",
}


def save_model(classifier: Classifier, folder: Path) -> None:
    """Write adapter (or model) and tokenizer into ``folder``."""
    save_classifier(classifier.module, folder, tokenizer=classifier.reader)


def read_back(
    classifier: Classifier, folder: Path, sample: EncodedRows, options: FinetuneOptions
) -> tuple[dict[str, Any], Classifier]:
    """Load the written adapter with plain PEFT onto the base weights, and compare decisions.

    The base model in memory is freed of the trained adapter first, so that nothing but the
    files can give its decisions back. Returns the comparison and what was loaded.
    """
    before = probabilities(classifier, sample, options.batch_size)
    loaded = _loaded(classifier, folder, options)
    after = probabilities(loaded, sample, options.batch_size)
    same = before.argmax(axis=1) == after.argmax(axis=1)
    compared = {
        "n": len(sample),
        "n_same": int(same.sum()),
        "largest_difference": float(np.abs(before - after).max()),
    }
    return compared, loaded


def _loaded(classifier: Classifier, folder: Path, options: FinetuneOptions) -> Classifier:
    if not isinstance(classifier.body, peft.PeftModel):
        found = type(classifier.body).from_pretrained(
            str(folder), dtype=next(classifier.body.parameters()).dtype
        )
        found = found.to(classifier.device).eval()
    else:
        base = classifier.body.unload()
        with warnings.catch_warnings():
            # peft 0.21 wants the sizes of a linear map from every layer it trains, norms too
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
            found = peft.PeftModel.from_pretrained(base, str(folder)).to(classifier.device).eval()
    if classifier.head == "classification":
        return replace(classifier, module=found, body=found)
    from isonomy.adapters._finetune._prompted import around

    return replace(classifier, module=around(classifier, found, options), body=found)


def written_files(folder: Path) -> list[dict[str, str]]:
    """Return the files of a finished folder with a word on each."""
    names = sorted({p.name for p in folder.iterdir()} | {"README.md", "index.html", "report.json"})
    return [
        {"name": name, "what": _ABOUT.get(name, "of the tokenizer or the image processor")}
        for name in names
    ]


def usage(
    classifier: Classifier, model: Mapping[str, Any], options: FinetuneOptions
) -> dict[str, Any]:
    """Return the Python lines that decide on a row, with isonomy and without."""
    is_peft = isinstance(classifier.body, peft.PeftModel)
    base = str(model["base_model"])
    where = f'"{base}"' + ("  # the folder of the base model" if model["is_local"] else "")
    row = '["picture.jpg"]' if classifier.head == "clip" else '["A text to be classified."]'
    encode = {
        "classification": f'reader({row}, return_tensors="pt")',
        "label_words": f"classifier.encode({row})",
        "clip": f"classifier.encode({row})",
    }[classifier.head]
    lines: dict[str, Any] = {
        "is_peft": is_peft,
        "library": "PEFT" if is_peft else "transformers",
        "with_isonomy": [
            "from isonomy.adapters.heads import classes_of, load_classifier",
            "",
            'classifier, reader = load_classifier("DIR")  # the folder of this report',
            f"inputs = {encode}",
            "classes_of(classifier)[int(classifier(**inputs).logits.argmax())]",
        ],
    }
    if classifier.head == "classification":
        lines["plain"] = _plain_lines(classifier, where, is_peft)
    return lines


def _plain_lines(classifier: Classifier, where: str, is_peft: bool) -> list[str]:
    auto = "AutoModelForSequenceClassification"
    k = len(classifier.classes)
    lines = [f"from transformers import {auto}, AutoTokenizer", ""]
    if is_peft:
        lines.insert(0, "from peft import PeftModel")
        lines += [
            f"base = {where}",
            f"model = {auto}.from_pretrained(base, num_labels={k})",
            'reader = AutoTokenizer.from_pretrained("DIR")',
            "model.config.pad_token_id = reader.pad_token_id",
            'model = PeftModel.from_pretrained(model, "DIR").eval()',
        ]
    else:
        lines += [
            f'model = {auto}.from_pretrained("DIR")',
            'reader = AutoTokenizer.from_pretrained("DIR")',
        ]
    return [
        *lines,
        'inputs = reader(["A text to be classified."], return_tensors="pt")',
        "code = int(model(**inputs).logits.argmax())  # a place in `classes` of report.json",
    ]
