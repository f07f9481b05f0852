"""What ``isonomy steer --model`` was asked to do, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import typer

from isonomy.cli._model_options import Reading, Site, option_words, quoted
from isonomy.cli._steer_request import Mode
from isonomy.cli.exits import one_line
from isonomy.errors import InvalidInputError

__all__ = ["ModelRequest", "OfModel", "refuse_without_model"]

N_CHOOSE = 5_000
"""Rows on which the curves are drawn: their intervals are some points wide, and each layer's
rows are held at once."""


@dataclass(frozen=True)
class OfModel(Reading):
    """The options of ``isonomy steer`` that go with ``--model``."""

    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Steer a language model: its folder or hub name."),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Labelled texts for --model, in place of FILE."),
    ] = None
    text: Annotated[str | None, typer.Option(metavar="COL", help="Column of the text.")] = None
    layer: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Block whose state is steered (from 0); 'head': the head's input; 'auto': that "
            "too, unless a block is more accurate or has a gap smaller beyond its noise.",
        ),
    ] = "auto"
    site: Annotated[Site, typer.Option(help="Where in the block.")] = "residual"
    choose_rows: Annotated[
        int, typer.Option(metavar="N", min=100, help="Rows on which 'auto' compares the layers.")
    ] = N_CHOOSE
    no_model_copy: Annotated[
        bool, typer.Option("--no-model-copy", help="Write no classifier folder and no adapters.")
    ] = False


@dataclass(frozen=True)
class ModelRequest:
    """The options of a run, all of them.

    Raises
    ------
    InvalidInputError
        If something that is needed is missing, or options do not go together.
    """

    dataset: str
    label: str
    groups: tuple[str, ...]
    of_model: OfModel
    mode: Mode = "blind"
    test_size: float = 0.3
    drop_missing: bool = False
    missing_groups: Literal["raise", "own_group"] = "raise"
    random_state: int = 0
    given: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {
            "a data file (FILE or --dataset)": self.dataset,
            "--text": self.of_model.text,
            "--label": self.label,
            "--group": self.groups,
        }
        absent = [name for name, value in needed.items() if not value]
        if absent:
            raise InvalidInputError(
                f"`isonomy steer --model` needs {', '.join(absent)}. See `isonomy steer --help`."
            )
        columns = [self.of_model.text, self.label, *self.groups]
        doubled = sorted({str(c) for c in columns if columns.count(c) > 1})
        if doubled:
            raise InvalidInputError(
                "--text, --label and --group must name different columns, got "
                f"{', '.join(doubled)} more than once."
            )
        extra = [name for name, value in self.given.items() if value]
        if extra:
            raise InvalidInputError(
                f"{' and '.join(extra)} belong to a file of numbers, and --model reads texts: "
                "leave them out."
            )
        _ = self.block
        if self.of_model.layer == "head" and self.of_model.site not in ("residual", "head_input"):
            raise InvalidInputError(
                f"--layer head is the input of the head, so --site {self.of_model.site} does "
                "nothing there: leave it out, or name a block."
            )
        if self.of_model.choose_rows != N_CHOOSE and self.block != "auto":
            raise InvalidInputError(
                "--choose-rows is for --layer auto, which compares layers: leave it out, or ask "
                "for that."
            )
        if self.of_model.site == "head_input" and isinstance(self.block, int):
            raise InvalidInputError(
                "--site head_input is not in a block: leave out --layer's number, or name "
                "another site."
            )

    @property
    def block(self) -> int | Literal["auto", "head"]:
        """The block asked for, "head", or "auto"."""
        asked = self.of_model.layer
        if asked == "auto":
            return "head" if self.of_model.site == "head_input" else "auto"
        if asked == "head":
            return "head"
        try:
            number = int(asked)
        except ValueError:
            number = -1
        if number < 0:
            raise InvalidInputError(
                f"--layer must be a block's number from 0 on, 'head' or 'auto', got {asked!r}."
            )
        return number

    @property
    def text(self) -> str:
        """The column of the text."""
        return self.of_model.text or ""

    @property
    def model(self) -> str:
        """The folder or hub name of the model."""
        return self.of_model.model or ""

    def identity(self) -> dict[str, Any]:
        """Return what must be the same when a run goes on."""
        kept = [f.name for f in fields(self) if f.name not in ("of_model", "given", "groups")]
        said = {name: getattr(self, name) for name in kept} | {"groups": list(self.groups)}
        of_model = {f.name: getattr(self.of_model, f.name) for f in fields(self.of_model)}
        return said | of_model

    def command_line(self) -> str:
        """Return the command that does this again, quoted for a shell."""
        words = ["isonomy", "steer", "--model", self.model, "--dataset", self.dataset]
        words += ["--text", self.text, "--label", self.label]
        for name in self.groups:
            words += ["--group", name]
        words += ["--layer", self.of_model.layer, "--mode", self.mode]
        said = dict.fromkeys(("model", "dataset", "text", "layer"))
        words += option_words(self.of_model, leave_out=said)
        words += ["--test-size", f"{self.test_size:g}", "--random-state", str(self.random_state)]
        words += ["--drop-missing"] * self.drop_missing
        words += ["--missing-groups", "own_group"] * (self.missing_groups == "own_group")
        return one_line(quoted([*words, "-o", "OUT"]))


def refuse_without_model(options: OfModel) -> None:
    """Raise if options that need ``--model`` come without it, where they would do nothing.

    Raises
    ------
    InvalidInputError
        Naming them.
    """
    stray = [word for word in option_words(options) if word.startswith("--")]
    if stray:
        raise InvalidInputError(
            f"{' and '.join(stray)} belong to a language model: name it with --model, or leave "
            "them out."
        )
