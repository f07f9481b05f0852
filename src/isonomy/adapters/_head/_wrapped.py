"""What the heads that wrap a whole model share: classes, the loss, saving, the Trainer's wishes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from isonomy.adapters._head._classes import check_codes
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["WrappedHead"]


class WrappedHead(nn.Module):
    """A model, what reads its inputs, and the classes in the order of their codes.

    Parameters
    ----------
    model : Module
        It may have PEFT's adapters; only they are saved then.
    reader : tokenizer or processor
    classes : tuple of K str
    """

    kind = ""
    """What a saved folder calls this head."""

    def __init__(self, model: Any, reader: Any, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.reader = reader
        self.classes = classes
        self.train(unwrap(model).training)

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, as it is saved."""
        return {}

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return unwrap(self.model).config

    @property
    def device(self) -> torch.device:
        """Where the model reads its inputs."""
        found: torch.device = next(self.model.parameters()).device
        return found

    def get_base_model(self) -> nn.Module:
        """Return the Hugging Face model inside, as PEFT's wrappers do."""
        return unwrap(self.model)

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """Recompute activations in the backward pass, as ``PreTrainedModel`` does it.

        Parameters
        ----------
        **settings
            Passed on to the model.
        """
        _newest(self.model, "checkpointing_enable")(**settings)

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        _newest(self.model, "checkpointing_disable")()

    # the same under the name that transformers gave it later
    activation_checkpointing_enable = gradient_checkpointing_enable
    activation_checkpointing_disable = gradient_checkpointing_disable

    def enable_input_require_grads(self) -> None:
        """Give the embeddings' output a gradient, which reentrant checkpointing needs."""
        self.model.enable_input_require_grads()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Write the adapter (or the whole model), the reader and the classes to a folder.

        Parameters
        ----------
        folder : str or path-like
            ``load_classifier`` reads it back; the adapter in it loads with PEFT alone.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        from isonomy.adapters._head._saving import save_classifier

        return save_classifier(self, folder)

    def answer(self, logits: torch.Tensor, labels: torch.Tensor | None) -> SequenceClassifierOutput:
        """Return logits and, with labels, the mean cross-entropy.

        Parameters
        ----------
        logits : Tensor of shape (n, K)
        labels : Tensor of shape (n,) or None
        """
        if labels is None:
            return SequenceClassifierOutput(logits=logits)
        where = f"{type(self).__name__}.forward"
        codes = check_codes(labels, len(self.classes), n=len(logits), where=where)
        loss = functional.cross_entropy(logits, codes.to(logits.device))
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _newest(model: Any, name: str) -> Callable[..., None]:
    """Return the model's switch by its name of today, or by that of older versions."""
    found: Callable[..., None] = getattr(model, f"activation_{name}", None) or getattr(
        model, f"gradient_{name}"
    )
    return found
