"""What a stopped run leaves behind, and whether it is the same run that goes on."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.artefact import load_artefact, save_artefact
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._text_data import Example

__all__ = [
    "STATE_NAME",
    "DataDigest",
    "State",
    "check_data",
    "codes_of",
    "model_fingerprint",
    "reader_fingerprint",
]

STATE_NAME = "unfinished.safetensors"

_KIND = "collect_state"
_VOLATILE = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}


class DataDigest:
    """A keyed digest of all rows read so far: equal iff text, label and group of each are.

    The salt is stored beside the digest: it stops tables made in advance, not somebody who
    holds the file and guesses the rows.
    """

    def __init__(self, salt: str | None = None) -> None:
        self.salt = salt or secrets.token_hex(16)
        self.n_rows = 0
        self._hash = hashlib.blake2b(key=bytes.fromhex(self.salt), digest_size=32)

    def add(self, example: Example) -> None:
        """Count one row in."""
        for part in (_content(example.text), repr(example.label), repr(example.group)):
            data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            self._hash.update(len(data).to_bytes(8, "little"))
            self._hash.update(data)
        self.n_rows += 1

    def digest(self) -> str:
        """Return the digest of the rows so far."""
        return self._hash.hexdigest()


def _content(value: Any) -> str | bytes:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return b"|".join(bytes(_bytes_of(value[k])) for k in sorted(value))
    return _bytes_of(value)


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if hasattr(value, "tobytes"):  # a picture or an array
        shape = getattr(value, "size", None), getattr(value, "mode", getattr(value, "shape", None))
        return repr(shape).encode() + bytes(value.tobytes())
    return str(value).encode("utf-8", "surrogatepass")


def model_fingerprint(model: torch.nn.Module) -> str:
    """Return a digest of configuration and weights, read once where they are.

    Of each tensor the bits count as whole numbers, summed by row and then with the number
    of the row: exact in any order of addition, so that it is the same on every device.
    """
    found = hashlib.blake2b(digest_size=32)
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        plain = {k: v for k, v in config.to_dict().items() if k not in _VOLATILE}
        found.update(json.dumps(plain, sort_keys=True, default=str).encode())
    found.update(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(str(_bits_sum(tensor)).encode())
    return found.hexdigest()


def _bits_sum(tensor: Any) -> int:
    if not isinstance(tensor, torch.Tensor) or tensor.device.type == "meta" or not tensor.numel():
        return 0
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    if tensor.element_size() not in whole:
        return 0
    bits = tensor.detach().contiguous().view(whole[tensor.element_size()])
    sums = bits.reshape(len(bits) if bits.ndim else 1, -1).sum(dim=1, dtype=torch.int64)
    place = torch.arange(1, len(sums) + 1, device=sums.device)
    return int((sums * place).sum().item())


def reader_fingerprint(reader: Any) -> str:
    """Return a digest of how a tokenizer or image processor reads."""
    found = hashlib.blake2b(digest_size=32)
    if hasattr(reader, "get_vocab"):
        backend = getattr(reader, "backend_tokenizer", None)
        rules = json.loads(backend.to_str()) if backend is not None else {}
        # what earlier calls left set, not how it reads
        rules.pop("truncation", None)
        rules.pop("padding", None)
        parts = [
            sorted(reader.get_vocab().items()),
            sorted((k, str(v)) for k, v in reader.special_tokens_map.items()),
            getattr(reader, "truncation_side", None),
            rules,
        ]
    else:
        parts = [reader.to_dict() if hasattr(reader, "to_dict") else repr(reader)]
    found.update(json.dumps([type(reader).__name__, *parts], sort_keys=True, default=str).encode())
    return found.hexdigest()


@dataclass
class State:
    """How far a run has come: what resuming needs, and nothing that grows with the rows."""

    settings: dict[str, Any]
    classes: tuple[Hashable, ...] = ()
    groups: tuple[Hashable, ...] = ()
    digest: str = ""
    salt: str = ""
    n_read: int = 0
    n_done: int = 0
    n_batches: int = 0
    n_pieces: int = 1
    n_truncated: int = 0
    seconds: float = 0.0
    shards: list[dict[str, Any]] = field(default_factory=list)
    moments: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    pending: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the state, wholly or not at all."""
        config = {name: getattr(self, name) for name in _PLAIN}
        tensors = {f"pending.{name}": array for name, array in self.pending.items()}
        for i, parts in enumerate(self.moments):
            tensors |= {f"moments.{i}.{name}": array for name, array in parts.items()}
        save_artefact(folder / STATE_NAME, kind=_KIND, config=config, tensors=tensors)

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """Return the state in ``folder``; None if no run stopped there."""
        path = folder / STATE_NAME
        if not path.exists():
            return None
        artefact = load_artefact(path, kind=_KIND)
        made = cls(**{name: artefact.config[name] for name in _PLAIN})
        made.classes, made.groups = tuple(made.classes), tuple(made.groups)
        moments: dict[int, dict[str, NDArray[Any]]] = {}
        for name, array in artefact.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "pending":
                made.pending[rest] = array
            else:
                place, _, part = rest.partition(".")
                moments.setdefault(int(place), {})[part] = array
        made.moments = [moments[i] for i in sorted(moments)]
        return made

    def check_settings(self, settings: Mapping[str, Any], *, folder: Path, where: str) -> None:
        """Raise unless ``settings`` are those of the stopped run; the first other is named."""
        for name, value in settings.items():
            before = self.settings.get(name)
            if before != value:
                shown = "" if name in _OPAQUE else f": it was {before!r} and is now {value!r}"
                raise InvalidInputError(
                    f"`resume=True` of `{where}` goes on with the run in {str(folder)!r} only with "
                    f"the same {_OPAQUE.get(name, f'`{name}`')}{shown}. Use what that run used, or "
                    "another `output`."
                )


_PLAIN = (
    "settings", "classes", "groups", "digest", "salt", "n_read", "n_done", "n_batches",
    "n_pieces", "n_truncated", "seconds", "shards",
)  # fmt: skip

_OPAQUE = {"model": "model (its weights or configuration differ)", "reader": "tokenizer"}


def check_data(state: State, digest: DataDigest, *, folder: Path, where: str) -> None:
    """Raise unless the rows just read again are those that the stopped run read."""
    if digest.n_rows != state.n_read or digest.digest() != state.digest:
        raise InvalidInputError(
            f"`resume=True` of `{where}` goes on with the run in {str(folder)!r} only with the "
            f"same data: its first {state.n_read} rows are other ones now. Use what that run "
            "used, or another `output`."
        )


def codes_of(
    labels: Sequence[Hashable | None], known: Sequence[Hashable]
) -> tuple[NDArray[np.intp], tuple[Hashable, ...]]:
    """Return the places of labels among the known, which grow by those not seen before."""
    place = {label: i for i, label in enumerate(known)}
    codes = [place.setdefault(label, len(place)) for label in labels]
    return np.array(codes, dtype=np.intp), tuple(place)
