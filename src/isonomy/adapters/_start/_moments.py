"""Class moments of the inputs of many layers, streamed by hooks in one pass over a draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._start._batches import Batch
from isonomy.adapters._start._targets import Target
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._device_moments import DeviceMoments, accumulation_device
from isonomy.hidden_states._model._positions import token_weights

__all__ = ["EnoughRead", "InputMoments", "MomentRecorder", "Tokens", "check_finite"]

Tokens = Literal["all", "mean", "last"]
Floats = NDArray[np.float64]

_WHERE = "bias_aware_start"


@dataclass(frozen=True)
class InputMoments:
    """Class moments of one layer's inputs.

    Attributes
    ----------
    means : (K, d)
    within : (d, d)
        Pooled within-class covariance.
    n_rows : (K,)
    """

    means: Floats
    within: Floats
    n_rows: Floats

    @property
    def free(self) -> float:
        """Degrees of freedom behind ``within``: rows less classes."""
        return float(self.n_rows.sum() - (self.n_rows > 0).sum())

    @property
    def centre(self) -> Floats:
        """Mean of the class means (d,)."""
        found: Floats = self.means[self.n_rows > 0].mean(axis=0)
        return found

    @property
    def between(self) -> Floats:
        """Covariance of the class means (d, d), divisor their number."""
        deviations = self.means[self.n_rows > 0] - self.centre
        found: Floats = deviations.T @ deviations / len(deviations)
        return found


class EnoughRead(Exception):
    """Raised by the last layer to be read, to spare the rest of the forward pass."""


class _Accumulator:
    """Running moments of one input, in float64: of rows, and of the tokens about their row."""

    def __init__(self, d: int, n_classes: int, tokens: Tokens, device: torch.device) -> None:
        self.rows = DeviceMoments(d, range(n_classes), [0], "tied", device)
        wide: Any = {"dtype": torch.float64, "device": accumulation_device(device)}
        self.about_row = torch.zeros((d, d), **wide) if tokens == "all" else None

    def update(self, name: str, x: torch.Tensor, counted: torch.Tensor | None, y: Any) -> None:
        """Add rows x (b, d), or the ``counted`` (b, T) tokens of x (b, T, d)."""
        x = x.detach().to(self.rows.device).to(torch.float64)
        if counted is not None:
            counted = counted.to(x.device)
            share = (1.0 / counted.sum(dim=1).to(torch.float64))[:, None, None]
            # fill, not times 0: whatever stands in a padded place, NaN included, stays out
            x = x.masked_fill(~counted[:, :, None], 0.0)
            means = (share * x).sum(dim=1)
            if self.about_row is not None:
                about = ((x - means[:, None]) * share.sqrt())[counted]
                self.about_row.addmm_(about.T, about)
            x = means
        # sums of what is not finite are not finite: rows tell, and are fewer than tokens
        check_finite(x, name, _WHERE)
        self.rows.update(x, y, np.zeros(len(y), dtype=np.intp))

    def result(self) -> InputMoments:
        found = self.rows.state()
        n = found["weight"][0]
        free = max(float(n.sum() - (n > 0).sum()), 1.0)
        within = found["scatter"][0] / free
        if self.about_row is not None:
            within = within + self.about_row.cpu().numpy() / n.sum()
        within = 0.5 * (within + within.T)
        return InputMoments(found["mean"][0], within, n)


@dataclass
class MomentRecorder:
    """Hooks on adapted layers that add their inputs to running moments, batch by batch.

    With ``stop`` the pass ends, by `EnoughRead`, when all layers have been read.

    Layers that are handed one and the same tensor (q, k and v of a block) share one
    accumulator. A layer that runs more than once in a pass is read the first time that its
    input has a row for each row of the batch.
    """

    n_classes: int
    tokens: Tokens
    stop: bool = False
    found: dict[str, _Accumulator] = field(default_factory=dict)
    leaders: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._batch: Batch | None = None
        self._labels: Any = None
        self._chosen: torch.Tensor | None = None
        self._done: set[str] = set()
        self._last: tuple[Any, str] | None = None
        self._n_targets = 0

    def attach(self, targets: Sequence[Target]) -> list[Any]:
        """Put a hook on every target and return the handles."""
        self._n_targets = len(targets)
        return [
            target.module.register_forward_pre_hook(self._hook(target), with_kwargs=True)
            for target in targets
        ]

    def begin(self, batch: Batch, labels: Any, chosen: Any) -> None:
        """Say which rows the next pass reads, their labels, and which of them count."""
        self._batch, self._labels = batch, labels[chosen]
        self._chosen = torch.from_numpy(np.flatnonzero(chosen))
        self._done, self._last = set(), None

    def end(self) -> None:
        """Forget the pass."""
        self._batch, self._last = None, None

    def moments(self, name: str) -> InputMoments:
        """Return the moments of the inputs of a layer that read the rows."""
        return self.found[self.leaders.get(name, name)].result()

    def _hook(self, target: Target) -> Any:
        def read(module: Any, args: Any, kwargs: Any) -> None:
            if self._batch is None or target.name in self._done:
                return
            x = args[0] if args else next(iter(kwargs.values()))
            shaped = _as_rows(x, self._batch, target.a.shape[1])
            if shaped is None:
                shape = tuple(getattr(x, "shape", ()))
                self.unread[target.name] = f"its input {shape} has no row for each row of the data"
                return
            self._done.add(target.name)
            self._add(target.name, x, shaped)
            if self.stop and len(self._done) == self._n_targets:
                raise EnoughRead

        return read

    def _add(self, name: str, x: Any, shaped: torch.Tensor) -> None:
        assert self._batch is not None and self._chosen is not None
        if self._last is not None and self._last[0] is x and name not in self.found:
            self.leaders[name] = self._last[1]
            return
        self._last = (x, name)
        self.unread.pop(name, None)
        if len(self._chosen) == 0:
            return
        at = self._chosen.to(shaped.device)
        counted = None
        if shaped.ndim == 3:
            counted = _counted(shaped, self._batch, self.tokens)[at]
        part = shaped if len(at) == len(shaped) else shaped[at]
        if name not in self.found:
            made = _Accumulator(shaped.shape[-1], self.n_classes, self.tokens, shaped.device)
            self.found[name] = made
        self.found[name].update(name, part, counted, self._labels)


def _as_rows(x: Any, batch: Batch, d: int) -> torch.Tensor | None:
    """Return x as (b, d) or (b, tokens, d) with the rows of the batch; None if it is not."""
    if not isinstance(x, torch.Tensor) or x.shape[-1] != d:
        return None
    n, mask = len(batch.at), batch.mask
    if x.ndim == 2 and len(x) == n:
        return x
    if x.ndim == 2 and mask is not None and len(x) == mask.numel():
        return x.view(*mask.shape, d)
    if x.ndim != 3 or len(x) != n or (mask is not None and x.shape[1] != mask.shape[1]):
        return None
    return x


def _counted(x: torch.Tensor, batch: Batch, tokens: Tokens) -> torch.Tensor:
    """Return which tokens count (b, tokens): the real ones, or of these the last."""
    weights = token_weights(
        "last" if tokens == "last" else "all",
        attention_mask=batch.mask,
        input_ids=None,
        n_tokens=x.shape[1],
        batch=len(x),
        device=x.device,
    )
    return weights > 0


def check_finite(rows: torch.Tensor, name: str, where: str, what: str = "inputs") -> None:
    """Raise if a layer's inputs (or ``what``), one vector a row, are not finite."""
    bad = ~rows.isfinite().all(dim=1)
    if bool(bad.any()):
        raise InvalidInputError(
            f"The {what} of {name!r} in `{where}` must be finite, got NaN or infinity in "
            f"{int(bad.sum())} of {len(rows)} rows of a batch. Check the model's weights and its "
            "inputs, or load it in a wider dtype."
        )
