"""The options of commands that read a language model, each said once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import typer

__all__ = ["Model", "Reading", "Rows", "Site", "option_words", "quoted"]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Positions = Literal["last", "mean", "cls"]
Task = Literal["auto", "causal", "encoder", "classification", "clip_text", "clip_vision"]
Rows = Literal["none", "safetensors", "parquet"]
Site = Literal[
    "head_input",
    "norm_output",
    "mlp_norm_output",
    "attention_output",
    "mlp_output",
    "residual",
]

Model = Annotated[
    str,
    typer.Option("--model", metavar="NAME", help="Folder or hub name of a Hugging Face model."),
]


@dataclass(frozen=True)
class Reading:
    """How the model is loaded and the texts are run through it."""

    positions: Annotated[
        Positions, typer.Option(help="Tokens whose state stands for the text.")
    ] = "last"
    dtype: Annotated[Dtype, typer.Option(help="Numbers that the model computes in.")] = "auto"
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps; default: the best.")
    ] = None
    device_map: Annotated[
        str | None, typer.Option(metavar="MAP", help="auto: spread the model over all devices.")
    ] = None
    quantize: Annotated[
        Literal["8bit", "4bit"] | None, typer.Option(help="Load the weights in fewer bits.")
    ] = None
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Texts run through the model at once.")
    ] = 32
    max_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cut texts after N tokens.")
    ] = None
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split of a data set that has several.")
    ] = None
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False
    task: Annotated[
        Task, typer.Option(help="How to load the model; auto: as its configuration says.")
    ] = "auto"
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a hub model.")
    ] = None

    def identity(self) -> dict[str, Any]:
        """Return the options that a resumed run must share, under their names."""
        return {_flag(field.name): getattr(self, field.name) for field in fields(self)}

    def loading(self) -> dict[str, Any]:
        """Return what `load_model` takes of these."""
        return {
            "task": self.task,
            "dtype": self.dtype,
            "device": self.device,
            "device_map": self.device_map,
            "quantization": self.quantize,
            "trust_remote_code": self.trust_remote_code,
            "revision": self.revision,
        }


def option_words(options: Any, *, leave_out: Mapping[str, Any] | None = None) -> list[str]:
    """Return the options of a dataclass that are not at their default, as words of a command."""
    words: list[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name in (leave_out or {}):
            continue
        words += [_flag(field.name)] if value is True else [_flag(field.name), str(value)]
    return words


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def quoted(words: list[str]) -> str:
    """Return words as one line for a shell."""
    return shlex.join(words)
