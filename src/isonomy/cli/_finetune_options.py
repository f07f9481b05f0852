"""The options of ``isonomy finetune``, in the groups in which they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

__all__ = ["OfData", "OfLoading", "OfModel", "OfTraining"]


@dataclass(frozen=True)
class OfData:
    """Which rows are trained on and which are judged."""

    image: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of pictures, in place of --text.")
    ] = None
    classes: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="All classes: a,b,c, or a file with one a line."),
    ] = None
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split to train on, where data have several.")
    ] = None
    validation_split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split to watch the training by.")
    ] = None
    test_split: Annotated[str | None, typer.Option(metavar="NAME", help="Split to judge on.")] = (
        None
    )
    split_column: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column that says train, validation or test."),
    ] = None
    validation_size: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of every class to watch by, else.")
    ] = 0.1
    test_size: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of every class to judge on, else.")
    ] = 0.2
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Drop rows without text, label or group.")
    ] = False
    max_bad_share: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of pictures that may not open; they are listed."),
    ] = 0.01


@dataclass(frozen=True)
class OfModel:
    """What decides, and which weights train."""

    head: Annotated[
        Literal["auto", "classification", "label_words", "clip"],
        typer.Option(help="What decides; auto: a classification head, for pictures CLIP's names."),
    ] = "auto"
    init: Annotated[
        Literal["auto", "default", "tail_structure", "tail_gradient"],
        typer.Option(help="How LoRA starts; auto: as the strategy says."),
    ] = "auto"
    finish: Annotated[
        Literal["auto", "none", "class_means"],
        typer.Option(help="Join the trained head with class means; auto: as the strategy says."),
    ] = "auto"
    finish_weight: Annotated[
        float, typer.Option(metavar="X", help="Weight of the class means, the head's being 1.")
    ] = 2.0
    layer: Annotated[
        str, typer.Option(metavar="N", help="The one layer of 'intermediate' (from 0), or auto.")
    ] = "auto"
    r: Annotated[int, typer.Option(metavar="N", min=1, help="Rank of LoRA.")] = 8
    lora_alpha: Annotated[int, typer.Option(metavar="N", min=1, help="Scale of LoRA.")] = 16
    lora_dropout: Annotated[float, typer.Option(metavar="SHARE", help="Dropout of LoRA.")] = 0.0
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Prompt of label_words ({text}, {label}) or clip ({label})."
        ),
    ] = None


@dataclass(frozen=True)
class OfTraining:
    """How long and how fast."""

    loss: Annotated[
        str | None, typer.Option(metavar="NAME", help="Objective in place of the strategy's.")
    ] = None
    loss_settings: Annotated[
        str | None, typer.Option(metavar="JSON", help='Settings of it, such as {"tau": 1.5}.')
    ] = None
    epochs: Annotated[float, typer.Option(metavar="N", help="Times through the rows.")] = 3.0
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps, in place of --epochs.")
    ] = None
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows through the model at once.")
    ] = 16
    accumulate: Annotated[
        int, typer.Option(metavar="N", min=1, help="Batches that make one step.")
    ] = 1
    learning_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="Default: the strategy's own.")
    ] = None
    warmup: Annotated[
        float, typer.Option(metavar="SHARE", help="Steps in which the rate grows.")
    ] = 0.1
    weight_decay: Annotated[float, typer.Option(metavar="X", help="Pull of weights to 0.")] = 0.0
    patience: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Stop when the worst third is no better N times."),
    ] = None
    max_length: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Cut texts after N tokens.")
    ] = None
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False


@dataclass(frozen=True)
class OfLoading:
    """How the model is loaded."""

    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="Numbers that the model computes in."),
    ] = "auto"
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu, cuda, mps; default: the best.")
    ] = None
    quantize: Annotated[
        Literal["8bit", "4bit"] | None, typer.Option(help="Load the weights in fewer bits.")
    ] = None
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a hub model.")
    ] = None
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False
