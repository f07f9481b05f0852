"""What ``isonomy finetune`` was asked to do, checked before any work is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isonomy.cli._criteria import Criterion, parse_criterion
from isonomy.cli._finetune_criteria import check_criteria
from isonomy.cli._finetune_options import OfData, OfLoading, OfModel, OfTraining
from isonomy.cli._model_options import option_words, quoted
from isonomy.cli.exits import one_line
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["FinetuneRequest"]


@dataclass(frozen=True)
class FinetuneRequest:
    """The options of a run.

    Raises
    ------
    InvalidInputError
        If something that is needed is missing, or an option cannot be read.
    """

    model: str
    dataset: str
    text: str | None
    label: str | None
    groups: tuple[str, ...]
    strategy: str
    of_data: OfData
    of_model: OfModel
    of_training: OfTraining
    of_loading: OfLoading
    no_before: bool
    min_cell: int
    seed: int
    criteria: tuple[Criterion, ...]

    @classmethod
    def of(
        cls, *, fail_if: Sequence[str] | None, group: Sequence[str] | None, **others: Any
    ) -> FinetuneRequest:
        """Return the request, criteria read and checked."""
        criteria = tuple(parse_criterion(text) for text in fail_if or ())
        return cls(groups=tuple(group or ()), criteria=criteria, **others)

    def __post_init__(self) -> None:
        needed = {
            "--text (or --image)": self.text or self.of_data.image,
            "--label": self.label,
        }
        absent = [name for name, value in needed.items() if not value]
        if absent:
            raise InvalidInputError(
                f"`isonomy finetune` needs {' and '.join(absent)}. See `isonomy finetune --help`."
            )
        check_criteria(self.criteria, has_groups=bool(self.groups))
        _ = self.arguments()

    def arguments(self) -> dict[str, Any]:
        """Return what `finetune` takes, beside the output."""
        of_data, of_model = asdict(self.of_data), asdict(self.of_model)
        of_training, of_loading = asdict(self.of_training), asdict(self.of_loading)
        of_loading["quantization"] = of_loading.pop("quantize")
        if of_loading["dtype"] == "auto":
            of_loading["dtype"] = None
        return {
            "label": str(self.label),
            "text": self.text,
            "group": list(self.groups) or None,
            "strategy": self.strategy,
            **of_data,
            "classes": _classes(self.of_data.classes),
            **of_model,
            "layer": _layer(self.of_model.layer),
            **of_training,
            "loss_settings": _settings(self.of_training.loss_settings),
            **of_loading,
            "before": not self.no_before,
            "min_cell": self.min_cell,
            "random_state": self.seed,
        }

    def command_line(self) -> str:
        """Return the command that does this again, quoted for a shell."""
        words = ["isonomy", "finetune", "--model", self.model, "--dataset", self.dataset]
        words += ["--text", self.text] if self.text else []
        words += ["--label", str(self.label)]
        for name in self.groups:
            words += ["--group", name]
        words += ["--strategy", self.strategy]
        for part in (self.of_data, self.of_model, self.of_training, self.of_loading):
            words += option_words(part)
        words += ["--no-before"] * self.no_before
        words += ["--min-cell", str(self.min_cell)] if self.min_cell != 10 else []
        return one_line(quoted([*words, "--seed", str(self.seed), "-o", "OUT"]))


def _classes(asked: str | None) -> list[str] | None:
    if asked is None:
        return None
    path = Path(asked)
    if "," not in asked and path.suffix:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataFileError(
                f"--classes must be names with commas between, or a file with one a line; "
                f"{asked!r} cannot be read: {error.strerror or error}."
            ) from error
        return [line.strip() for line in lines if line.strip()]
    return [name.strip() for name in asked.split(",") if name.strip()]


def _layer(asked: str) -> int | None:
    if asked == "auto":
        return None
    try:
        number = int(asked)
    except ValueError:
        number = -1
    if number < 0:
        raise InvalidInputError(
            f"--layer must be a layer's number from 0 on, or 'auto', got {asked!r}."
        )
    return number


def _settings(asked: str | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    try:
        found = json.loads(asked)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f'--loss-settings must be JSON such as {{"tau": 1.5}}, got {asked!r}: {error}.'
        ) from error
    if not isinstance(found, dict):
        raise InvalidInputError(
            f'--loss-settings must be a JSON object such as {{"tau": 1.5}}, got {asked!r}.'
        )
    return found
