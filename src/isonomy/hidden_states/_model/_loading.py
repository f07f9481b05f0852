"""Load a model with its tokenizer from the hub or a folder, the same way for both."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import transformers
from safetensors import SafetensorError

from isonomy._validation import check_choice, check_count
from isonomy.errors import InvalidInputError, MissingExtraError

__all__ = ["Quantization", "Task", "load_model", "load_model_for"]

Task = Literal["auto", "causal", "encoder", "classification", "clip_text", "clip_vision"]
Quantization = Literal["8bit", "4bit"]

_AUTO = {
    "causal": "AutoModelForCausalLM",
    "encoder": "AutoModel",
    "classification": "AutoModelForSequenceClassification",
}
_TOWERS = {"clip_text": ("Text", "text_model"), "clip_vision": ("Vision", "vision_model")}
_DTYPES = ("float16", "bfloat16", "float32", "float64")

_WHERE = "load_model"


def load_model(
    name: str,
    *,
    task: Task = "auto",
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    quantization: Quantization | None = None,
    num_labels: int | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> tuple[Any, Any]:
    """Load a model in evaluation mode, with its tokenizer or image processor.

    Parameters
    ----------
    name : str or path-like
        A name on the hub, or a folder in its format.
    task : "auto", "causal", "encoder", "classification", "clip_text" or "clip_vision"
        "auto" is the architecture that the configuration names. "encoder" is the model
        without a head, "clip_text" and "clip_vision" are one tower of two with its
        projection.
    dtype : str or torch.dtype, optional
        "float32", "bfloat16", "float16" or "float64"; default the checkpoint's own.
    device : str or torch.device, optional
        Where the model goes; default an accelerator if there is one, else the CPU.
    device_map : str or dict, optional
        How `accelerate` spreads it over devices ("auto"), instead of ``device``.
    quantization : "8bit" or "4bit", optional
        Weights in 8 or 4 bits, through bitsandbytes; implies ``device_map="auto"``.
    num_labels : int, optional
        Outputs of a new classification head.
    trust_remote_code : bool
        Run code that comes with the checkpoint. Refused by default.
    revision : str, optional
        Branch, tag or commit on the hub.

    Returns
    -------
    model : torch.nn.Module
    tokenizer : tokenizer or image processor
        The image processor where the model reads pictures; it needs Pillow alone.

    Raises
    ------
    InvalidInputError
        If the checkpoint cannot be loaded or wants code of its own to run, or options
        exclude each other.
    MissingExtraError
        If quantisation is asked for without bitsandbytes.

    Examples
    --------
    >>> import tempfile, transformers
    >>> shape = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1)
    >>> config = transformers.CLIPVisionConfig(**shape, num_attention_heads=2, image_size=8,
    ...                                        patch_size=4)
    >>> folder = tempfile.mkdtemp()
    >>> transformers.CLIPVisionModel(config).save_pretrained(folder)
    >>> _ = transformers.CLIPImageProcessorPil().save_pretrained(folder)
    >>> model, processor = load_model(folder, dtype="bfloat16", device="cpu")
    >>> type(model).__name__, model.dtype, model.training
    ('CLIPVisionModel', torch.bfloat16, False)
    """
    hub = {"trust_remote_code": trust_remote_code, "revision": revision}
    model = _load_alone(
        name, task=task, dtype=dtype, device=device, device_map=device_map,
        quantization=quantization, num_labels=num_labels, hub=hub,
    )  # fmt: skip
    return model, _reader_of(model, name, hub)


def load_model_for(name: str, tokenizer: Any, **options: Any) -> tuple[Any, Any]:
    """Load a model by name with ``tokenizer``, or with its own where that is None.

    A checkpoint without a tokenizer can be used with one from elsewhere.
    """
    if tokenizer is None:
        return load_model(name, **options)
    return _load_alone(
        name, hub={"trust_remote_code": False, "revision": None}, **options
    ), tokenizer


def _load_alone(
    name: str,
    *,
    hub: dict[str, Any],
    task: Task = "auto",
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: str | dict[str, Any] | None = None,
    quantization: Quantization | None = None,
    num_labels: int | None = None,
) -> Any:
    check_choice("task", task, get_args(Task), where=_WHERE)
    check_choice("quantization", quantization, (None, *get_args(Quantization)), where=_WHERE)
    if device is not None and (device_map is not None or quantization is not None):
        raise InvalidInputError(
            f"`device` of `{_WHERE}` cannot go with `device_map` or `quantization`, which place "
            "the weights themselves. Leave one out."
        )
    config = _from_hub(transformers.AutoConfig, name, **hub)
    options = hub | {"dtype": _dtype(dtype)}
    if num_labels is not None:
        options["num_labels"] = check_count("num_labels", num_labels, where=_WHERE)
    if quantization is not None:
        options["quantization_config"] = _bits(quantization, dtype)
        device_map = device_map or "auto"
    if device_map is not None:
        options["device_map"] = device_map
    made = _class_for(config, task)
    model = _from_hub(made, name, **options)
    if task in _TOWERS and hasattr(model, _TOWERS[task][1]) and hasattr(model, "logit_scale"):
        model = getattr(model, _TOWERS[task][1])
    if device_map is None:
        model = _moved(model, _device(device))
    return model.eval()


def _moved(model: Any, device: torch.device) -> Any:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # PyTorch built without it asserts
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInputError(
            f"`device` of `{_WHERE}` must be one that this machine has and that holds the model, "
            f"got {str(device)!r}: {first}. Pass another, or a narrower `dtype`."
        ) from error


def _class_for(config: Any, task: Task) -> Any:
    """Return the class to load: what the configuration names, or the task's."""
    if task in _TOWERS:
        middle = _TOWERS[task][0]
        family = type(config).__name__.removesuffix("Config").removesuffix(middle)
        tower = f"{family}{middle}Model"
        found = (getattr(transformers, n, None) for n in (f"{tower}WithProjection", tower))
        # a family with towers of no class of their own: load both, take one
        return next((c for c in found if c is not None), transformers.AutoModel)
    if task != "auto":
        return getattr(transformers, _AUTO[task])
    named = next(iter(getattr(config, "architectures", None) or ()), "")
    if (
        hasattr(config, "text_config")
        and hasattr(config, "vision_config")
        and (not named or named.endswith("Model"))
    ):
        raise InvalidInputError(
            f'`task` of `{_WHERE}` must be "clip_text" or "clip_vision" for a model of two '
            f"towers ({named or type(config).__name__}), got {task!r}."
        )
    remote = getattr(config, "auto_map", None) and not hasattr(transformers, named)
    return (
        transformers.AutoModel if remote else getattr(transformers, named, transformers.AutoModel)
    )


def _dtype(dtype: str | torch.dtype | None) -> Any:
    if dtype is None or dtype == "auto":
        return "auto"
    name = str(dtype).removeprefix("torch.")
    check_choice("dtype", name, _DTYPES, where=_WHERE)
    return getattr(torch, name)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise InvalidInputError(
            f"`device` of `{_WHERE}` must name a device such as 'cpu' or 'cuda:0', got {device!r}."
        ) from error


def _bits(quantization: Quantization, dtype: str | torch.dtype | None) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            f'`quantization="{quantization}"` of `{_WHERE}` needs bitsandbytes. Install it with: '
            "pip install bitsandbytes"
        )
    if quantization == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.bfloat16 if _dtype(dtype) == "auto" else _dtype(dtype)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_compute_dtype=compute, bnb_4bit_quant_type="nf4"
    )


def _reader_of(model: Any, name: str, hub: dict[str, Any]) -> Any:
    if getattr(model, "main_input_name", "input_ids") != "pixel_values":
        return _tokenizer_of(name, hub)
    # the backend that needs Pillow alone
    return _from_hub(transformers.AutoImageProcessor, name, backend="pil", **hub)


def _tokenizer_of(name: str, hub: dict[str, Any]) -> Any:
    try:
        found = _from_hub(transformers.AutoTokenizer, name, **hub)
    except InvalidInputError as error:
        if "trust_remote_code" in str(error):
            raise
        raise _without_tokenizer(name) from error
    # some families come without their files as an empty vocabulary: every word is unknown
    if hasattr(found, "get_vocab") and set(found.get_vocab()) <= set(found.all_special_tokens):
        raise _without_tokenizer(name)
    return found


def _without_tokenizer(name: str) -> InvalidInputError:
    return InvalidInputError(
        f"`name` of `{_WHERE}` must be a checkpoint with its tokenizer, but none could be loaded "
        f"from {str(name)!r}. Save it there with `save_pretrained`, or pass `tokenizer` to "
        "`collect`."
    )


def _from_hub(made: Any, name: str, **options: Any) -> Any:
    try:
        return made.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        path = Path(name)
        if (path.is_absolute() or str(name).startswith(".")) and not path.exists():
            first = "there is no such folder."
        if "trust_remote_code" in str(error):
            raise InvalidInputError(
                f"`name` of `{_WHERE}` is the checkpoint {name!r}, which wants code of its own to "
                "run; that is refused. Read the code first, then pass `trust_remote_code=True`."
            ) from error
        raise InvalidInputError(
            f"`name` of `{_WHERE}` must be a model on the hub or a folder with one, but {name!r} "
            f"could not be loaded: {first}"
        ) from error
