"""Classify pictures by CLIP: the image's embedding against those of the class names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from isonomy.adapters._head._classes import check_classes
from isonomy.adapters._head._padding import set_padding
from isonomy.adapters._head._parts import tower_paths
from isonomy.adapters._head._text_side import TextSide, features, unit
from isonomy.adapters._head._wrapped import WrappedHead
from isonomy.datasets.class_prompts import class_name_prompts
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import context_limit
from isonomy.hidden_states._collect._images import as_picture
from isonomy.hidden_states._collect._text_data import Example
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["ClassNamePrompts"]

_WHERE = "ClassNamePrompts"


class ClassNamePrompts(WrappedHead):
    r"""CLIP that answers with the class whose name in a sentence is nearest to the picture.

    Parameters
    ----------
    clip_model : Module
        A whole CLIP (``CLIPModel``), with PEFT's adapters or without: ``lora_model`` puts
        them into both towers or one.
    processor : processor
        CLIP's, with its tokenizer and its image processor.
    classes : sequence of K str
        Names in the order of the codes 0 to K-1, as people read them.
    template : str or sequence of M str
        Sentences with "{label}" (and "{article}"), or a name of
        ``datasets.class_prompts.PROMPT_TEMPLATES`` such as "birds".

    Raises
    ------
    InvalidInputError
        If the model is not of two towers, the classes are fewer than two or one is named
        twice, a template lacks "{label}", or two classes give the same prompt.

    Notes
    -----
    With u the embedding of the picture and v_km that of class k in template m, each divided
    by its length::

        logits[k] = exp(logit_scale) u . v_k,   v_k = mean_m v_km / |mean_m v_km|

    (Radford et al. 2021, section 3.1.4, ensembling over the embedding space.)
    Where nothing of the text side is trained, v_k are computed once (in evaluation mode,
    so that no dropout is frozen into them) and kept; where adapters there are trained they
    are computed in every forward pass, with gradient. What is kept is dropped when a text
    weight changes, adapters are switched, or the head goes between training and evaluation.

    Examples
    --------
    >>> import transformers
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> words = {w: i for i, w in enumerate("<pad> <unk> a photo of robin wren .".split())}
    >>> made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    >>> made.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = transformers.PreTrainedTokenizerFast(
    ...     tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", model_max_length=16
    ... )
    >>> tower = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    >>> config = transformers.CLIPConfig(
    ...     text_config={**tower, "vocab_size": 8, "bos_token_id": 0, "eos_token_id": 7},
    ...     vision_config={**tower, "image_size": 8, "patch_size": 4},
    ...     projection_dim=4,
    ... )
    >>> processor = transformers.CLIPProcessor(
    ...     image_processor=transformers.CLIPImageProcessorPil(), tokenizer=tokenizer
    ... )
    >>> head = ClassNamePrompts(transformers.CLIPModel(config), processor, ["robin", "wren"])
    >>> head(pixel_values=torch.zeros(3, 3, 8, 8)).logits.shape
    torch.Size([3, 2])
    """

    kind = "class_name_prompts"
    main_input_name = "pixel_values"

    def __init__(
        self,
        clip_model: Any,
        processor: Any,
        classes: Iterable[str],
        *,
        template: str | Sequence[str] = ("a photo of a {label}.",),
    ) -> None:
        names = check_classes(classes, where=_WHERE)
        _check_clip(clip_model)
        tokenizer = getattr(processor, "tokenizer", processor)
        prompts = class_name_prompts(names, template)
        super().__init__(clip_model, processor, names)
        self.template = template if isinstance(template, str) else list(template)
        text_model: Any = unwrap(clip_model).get_submodule(tower_paths(clip_model)["text"])
        set_padding(text_model, tokenizer, where=_WHERE)
        self._text = TextSide(tokenizer, prompts, context_limit(text_model, tokenizer))

    @property
    def processor(self) -> Any:
        """CLIP's processor."""
        return self.reader

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen, as it is saved."""
        return {"template": self.template}

    def encode(self, images: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Return the pixels of pictures, ready for ``forward``.

        Parameters
        ----------
        images : sequence of n pictures
            PIL's, their bytes, paths, or arrays of bytes (height, width, 3).

        Returns
        -------
        dict
            ``pixel_values`` of shape (n, 3, height, width).

        Raises
        ------
        InvalidInputError
            If a picture does not open; its row is named, counted from 0.
        """
        where = f"{_WHERE}.encode"
        opened = [as_picture(Example(i, v, None, None), where=where) for i, v in enumerate(images)]
        reader = getattr(self.processor, "image_processor", self.processor)
        return {"pixel_values": reader(images=opened, return_tensors="pt")["pixel_values"]}

    def text_embeddings(self) -> torch.Tensor:
        """Return v_k of the classes, (K, width of the shared space), each of length 1."""
        return self._text.embeddings(unwrap(self.model))

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return how near every picture is to every class.

        Parameters
        ----------
        pixel_values : Tensor of shape (n, 3, height, width)
            From ``encode``.
        labels : Tensor of shape (n,), optional
            Class codes; with them the output has ``loss``, the mean cross-entropy.

        Returns
        -------
        SequenceClassifierOutput
            ``logits`` of shape (n, K) in float32.

        Raises
        ------
        InvalidInputError
            If a label is no code of a class; the message names it.
        """
        clip: Any = unwrap(self.model)
        found = clip.get_image_features(pixel_values=pixel_values.to(self.device))
        image = unit(features(found).float())
        logits = clip.logit_scale.float().exp() * image @ self.text_embeddings().float().T
        return self.answer(logits, labels)

    def train(self, mode: bool = True) -> ClassNamePrompts:
        """Go to training or evaluation; kept text embeddings are dropped.

        Parameters
        ----------
        mode : bool
            True for training.
        """
        if "_text" in self.__dict__:
            self._text.forget()
        super().train(mode)
        return self


def _check_clip(model: Any) -> None:
    inner = unwrap(model)
    needed = ("logit_scale", "get_text_features", "get_image_features", "text_projection")
    missing = [name for name in needed if not hasattr(inner, name)]
    if missing or not tower_paths(inner):
        raise InvalidInputError(
            f"`clip_model` passed to `{_WHERE}` must be a whole CLIP with both towers, got a "
            f"{type(inner).__name__}. Load it with `CLIPModel.from_pretrained` or `load_clip`."
        )
