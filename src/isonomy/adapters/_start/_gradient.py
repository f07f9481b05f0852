"""The gradient of the rare classes' loss with respect to each adapted weight, over a draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._start._targets import Target
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._device_moments import accumulation_device

__all__ = ["GradientRecorder", "logits_of"]

Floats = NDArray[np.float64]

_WHERE = "bias_aware_start"


class GradientRecorder:
    """Hooks on adapted layers that add up the gradients of their weights.

    The gradient with respect to W of y = W x is ``sum over tokens of (dL/dy) x'``: it is
    summed here in float64 from the gradients of the outputs. No parameter's
    ``requires_grad`` is touched, and none gets a ``grad``.
    """

    def __init__(self) -> None:
        self.total: dict[str, torch.Tensor] = {}
        self._seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def attach(self, targets: Sequence[Target]) -> list[Any]:
        """Put a hook on every target's own linear map and return the handles."""
        return [t.base.register_forward_hook(self._hook(t.name)) for t in targets]

    def _hook(self, name: str) -> Any:
        def read(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
            # frozen weights below the first target leave no graph: it starts here
            kept = output if output.requires_grad else output.detach().requires_grad_()
            self._seen.append((name, args[0].detach(), kept))
            return kept.clone()

        return read

    def add(self, loss: torch.Tensor) -> None:
        """Add the gradients of ``loss`` through the pass that made it, and forget the pass."""
        seen, self._seen = self._seen, []
        grads = torch.autograd.grad(loss, [kept for _, _, kept in seen], allow_unused=True)
        for (name, x, _), grad in zip(seen, grads, strict=True):
            if grad is not None:
                self._accumulate(name, grad, x)

    def _accumulate(self, name: str, grad: torch.Tensor, x: torch.Tensor) -> None:
        where = accumulation_device(x.device)
        g, read = (t.flatten(0, -2).to(where).to(torch.float64) for t in (grad, x))
        # a padded token has the gradient 0, and 0 times NaN would not be 0
        live = g.ne(0).any(dim=1)
        part = g[live].T @ read[live]
        if not bool(part.isfinite().all()):
            raise InvalidInputError(
                f"The gradient at {name!r} in `{_WHERE}` must be finite, got NaN or infinity. "
                "Check the model's weights and its inputs, or load it in a wider dtype."
            )
        self.total[name] = self.total[name] + part if name in self.total else part

    def gradient(self, name: str) -> Floats | None:
        """Return the summed gradient (d_out, d_in); None if the loss never passed there."""
        found = self.total.get(name)
        return None if found is None else found.cpu().numpy()


def logits_of(output: Any, n_rows: int, n_classes: int, where: str) -> torch.Tensor:
    """Return the class scores (n_rows, n_classes) of a model's output, in float32 at least.

    ``where`` is the caller, for messages.

    Raises
    ------
    InvalidInputError
        If the output has no logits, or not one score a row and class.
    """
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, dict):
        logits = output.get("logits")
    shape = None if logits is None else tuple(logits.shape)
    if logits is None or shape != (n_rows, n_classes):
        raise InvalidInputError(
            f"`peft_model` passed to `{where}` must return `logits` of shape "
            f"({n_rows}, {n_classes}), a score for each of the classes of `class_counts`, got "
            f"{shape}. Use a classification head, `LabelWords` or `ClassNamePrompts`."
        )
    scores: torch.Tensor = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return scores
