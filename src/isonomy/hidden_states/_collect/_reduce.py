"""One forward pass over a batch, of which only one vector a row and layer is kept."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._device_moments import accumulation_device
from isonomy.hidden_states._model._layout import Spot, unwrap
from isonomy.hidden_states._model._positions import Positions, check_pooled, token_weights

__all__ = ["LayerPass", "accepted_inputs", "input_device", "pool"]

_CHUNK_VALUES = 1 << 22
"""Numbers of a batch cast up at once (32 MiB in float64)."""


class _EnoughRead(Exception):
    """Raised in the deepest hook, to spare the rest of the forward pass."""


class LayerPass:
    """Run a model over batches and return the pooled hidden states of its spots.

    Hooks keep one (batch, d) tensor a spot; nothing else of the pass survives it. When the
    deepest spot has been read the pass stops: heads over large vocabularies cost nothing.
    Where weights are offloaded by hooks of accelerate's, which must also run after each
    module, the pass runs to its end.
    """

    def __init__(self, model: nn.Module, spots: Sequence[Spot], positions: Positions) -> None:
        self.model = model
        self.spots = list(spots)
        self.positions = positions
        self.device = input_device(model)
        self._may_stop = not _is_offloaded(model)
        self._settings = _settings(model)
        self._inputs: Mapping[str, torch.Tensor] = {}
        self._pooled: dict[int, torch.Tensor] = {}

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Keep hooks on the spots and the model in evaluation; put all back afterwards."""
        modes = [(module, module.training) for module in self.model.modules()]
        handles = []
        try:
            for i, spot in enumerate(self.spots):
                handles.append(spot.hook(self._reader(i)))
            self.model.eval()
            yield
        finally:
            for handle in handles:
                handle.remove()
            for module, training in modes:
                module.training = training
            self._forget()

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return one (batch, d) tensor a spot, in float64 where its device has it."""
        self._inputs = {name: self._moved(value) for name, value in inputs.items()}
        try:
            with torch.no_grad():
                self.model(**self._inputs, **self._settings)
        except _EnoughRead:
            pass
        else:
            self._check_all_read()
        finally:
            pooled = [self._pooled.get(i) for i in range(len(self.spots))]
            self._forget()
        return [tensor for tensor in pooled if tensor is not None]

    def _forget(self) -> None:
        self._inputs, self._pooled = {}, {}

    def _moved(self, value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value.to(self.device)
        return value.to(self.device, getattr(self.model, "dtype", value.dtype))

    def _reader(self, i: int) -> Any:
        def read(hidden: torch.Tensor) -> None:
            self._pooled[i] = pool(
                hidden,
                self.positions,
                attention_mask=self._inputs.get("attention_mask"),
                input_ids=self._inputs.get("input_ids"),
            )
            if self._may_stop and len(self._pooled) == len(self.spots):
                raise _EnoughRead

        return read

    def _check_all_read(self) -> None:
        unread = [spot.name for i, spot in enumerate(self.spots) if i not in self._pooled]
        if unread:
            raise InvalidInputError(
                f"`model` must run {', '.join(map(repr, unread))} in its forward pass over "
                f"{', '.join(self._inputs)}, but did not. Read another site or layer."
            )


def pool(
    hidden: torch.Tensor,
    positions: Positions,
    *,
    attention_mask: torch.Tensor | None,
    input_ids: torch.Tensor | None,
) -> torch.Tensor:
    """Return the weighted mean over tokens, (batch, d); a pooled tensor stays as it is.

    Notes
    -----
    ``sum_t w_t h_t / sum_t w_t`` with the weights w of ``positions``, in float64 (float32 on
    devices without it): hidden states are cast up before they are summed, whatever the
    dtype of the model. Tokens of weight 0 are never touched, so that whatever a padded
    place holds, NaN included, stays out.
    """
    wide = _wide(hidden.device)
    if hidden.ndim == 2:
        check_pooled(positions, where="collect")
        return hidden.to(wide)
    batch, n_tokens, d = hidden.shape
    weights = token_weights(
        positions,
        attention_mask=attention_mask,
        input_ids=input_ids,
        n_tokens=n_tokens,
        batch=batch,
        device=hidden.device,
    ).to(wide)
    if positions in ("last", "cls"):
        return hidden[torch.arange(batch, device=hidden.device), weights.argmax(dim=1)].to(wide)
    total = weights.sum(dim=1, keepdim=True)
    _check_weights(weights, total)
    shares = weights / total
    rows = max(1, _CHUNK_VALUES // (n_tokens * d))
    pieces = []
    for start in range(0, batch, rows):
        share = shares[start : start + rows]
        part = hidden[start : start + rows].to(wide).masked_fill(share[:, :, None] == 0, 0.0)
        pieces.append(torch.bmm(share[:, None, :], part)[:, 0])
    return torch.cat(pieces)


def _check_weights(weights: torch.Tensor, total: torch.Tensor) -> None:
    if not bool(((weights >= 0).all() & (total > 0).all() & total.isfinite().all()).item()):
        raise InvalidInputError(
            "`positions` must return weights that are finite, at least 0 and not all 0 in any "
            "row of the batch. Check the function on the attention mask of one batch."
        )


def _wide(device: torch.device) -> torch.dtype:
    return torch.float64 if accumulation_device(device) == device else torch.float32


def input_device(model: nn.Module) -> torch.device:
    """Return where the inputs of ``model`` belong."""
    for module in model.modules():
        where = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if where is not None:
            found = torch.device(where)
            return found if found.type != "meta" else torch.device("cpu")
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def accepted_inputs(model: nn.Module) -> frozenset[str]:
    """Return the names that the forward pass of the model inside any wrapper takes."""
    return frozenset(inspect.signature(unwrap(model).forward).parameters)


def _settings(model: nn.Module) -> dict[str, Any]:
    # keys and values of past tokens are never used: one batch is one pass
    return {"use_cache": False} if "use_cache" in accepted_inputs(model) else {}


def _is_offloaded(model: nn.Module) -> bool:
    hooks = [getattr(module, "_hf_hook", None) for module in model.modules()]
    inner = [h for hook in hooks for h in (hook, *getattr(hook, "hooks", ()))]
    return any(getattr(hook, "offload", False) for hook in inner)
