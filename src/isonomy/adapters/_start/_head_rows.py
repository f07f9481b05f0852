"""The classification head that an adapter trains: where it is, what it reads, writing to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft.utils.other import ModulesToSaveWrapper
from torch import nn

from isonomy.adapters._start._batches import Batch
from isonomy.adapters._start._class_means import ClassMeansHead
from isonomy.adapters._start._gradient import logits_of
from isonomy.adapters._start._moments import check_finite
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._positions import token_weights

__all__ = ["Head", "HeadRecorder", "find_head", "write_head"]


@dataclass(frozen=True)
class Head:
    """The trained copy of a classification head: its last linear map.

    Attributes
    ----------
    name : str
    linear : Linear
        Under ``modules_to_save``; the original beside it is never touched.
    """

    name: str
    linear: nn.Linear


def find_head(model: nn.Module, adapter_name: str, n_classes: int, *, where: str) -> Head:
    """Return the head that the adapter trains; ``where`` is the caller, for messages.

    Raises
    ------
    InvalidInputError
        If no module in ``modules_to_save`` ends in a linear map to ``n_classes`` scores, or
        several do.
    """
    found, seen = [], []
    for name, module in model.named_modules():
        if not isinstance(module, ModulesToSaveWrapper) or adapter_name not in module._adapters:
            continue
        linears = [
            (path, part)
            for path, part in module.modules_to_save[adapter_name].named_modules()
            if isinstance(part, nn.Linear)
        ]
        short = name.replace("base_model.model.", "", 1)
        seen.append(f"{short} ({linears[-1][1].out_features if linears else 'no'} outputs)")
        if linears and linears[-1][1].out_features == n_classes:
            found.append(Head(f"{short}.{linears[-1][0]}".rstrip("."), linears[-1][1]))
    if len(found) != 1:
        raise InvalidInputError(
            f"A head from class means, in `{where}`, needs one classification head with "
            f"{n_classes} outputs in `modules_to_save` of adapter {adapter_name!r}, got "
            f"{', '.join(seen) or 'no trained module'}. Put the head's name into "
            "`modules_to_save` of the `LoraConfig` (`lora_model` does it), or keep the head."
        )
    return found[0]


class HeadRecorder:
    """Hooks on a head that keep what it reads of each row."""

    def __init__(self, head: Head, where: str) -> None:
        self.head = head
        self.where = where
        self._pass: list[tuple[torch.Tensor, torch.Tensor]] = []

    def attach(self) -> list[Any]:
        """Put a hook on the head and return its handle."""
        return [self.head.linear.register_forward_hook(self._read)]

    def _read(self, module: Any, args: Any, output: torch.Tensor) -> None:
        self._pass.append((args[0].detach(), output.detach()))

    def rows(self, batch: Batch, output: Any) -> torch.Tensor:
        """Return the head's inputs (b, d) that the scores of the last pass were made of.

        Raises
        ------
        InvalidInputError
            If the head did not run, or read no single token of each row.
        """
        seen, self._pass = self._pass, []
        n = len(batch.at)
        if not seen:
            raise InvalidInputError(
                f"`peft_model` passed to `{self.where}` must run its head {self.head.name!r} "
                "in its forward pass, but did not."
            )
        # a head that runs over other rows too is read where it first saw these
        states, scores = next((found for found in seen if len(found[0]) == n), seen[0])
        if states.ndim == 3 and len(states) == n:
            logits = logits_of(output, n, scores.shape[-1], self.where).detach()
            check_finite(logits, self.head.name, self.where, "scores")
            at = _pooled(scores, logits, batch, self.where)
            states = states[torch.arange(n, device=states.device), at]
        if states.ndim != 2 or len(states) != n:
            raise InvalidInputError(
                f"The head {self.head.name!r} of the model passed to `{self.where}` must read one "
                f"vector a row, got inputs of shape {tuple(states.shape)} for {n} rows. Keep the "
                "head."
            )
        check_finite(states, self.head.name, self.where)
        return states


def _pooled(scores: torch.Tensor, logits: torch.Tensor, batch: Batch, where: str) -> torch.Tensor:
    """Return the token of each row whose scores (b, tokens, K) the model returned, (b,).

    Found by comparing, so that no family's way to pool is repeated here: the last real token
    where it fits, else the last token that does.
    """
    fits = (scores == logits[:, None].to(scores.dtype)).all(dim=-1)
    if not bool(fits.any(dim=1).all()):
        raise InvalidInputError(
            f"The model passed to `{where}` must score each row at one of its tokens, got scores "
            "that no token's head output equals. Keep the head."
        )
    n, n_tokens = fits.shape
    options: Any = {"n_tokens": n_tokens, "batch": n, "device": fits.device}
    last = token_weights("last", attention_mask=batch.mask, input_ids=None, **options)
    order = torch.arange(n_tokens, device=fits.device)
    preferred = torch.where(last > 0, n_tokens, order)
    return torch.where(fits, preferred, -1).argmax(dim=1)


def write_head(head: Head, found: ClassMeansHead) -> None:
    """Write weight and bias into the trained head."""
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(found.weight))
        if head.linear.bias is not None:
            head.linear.bias.copy_(torch.from_numpy(found.bias))
