"""What ``isonomy steer`` was asked to learn, checked before any work is done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isonomy.cli._steering_options import Steering
from isonomy.cli.exits import one_line
from isonomy.errors import InvalidInputError

__all__ = ["ApplyRequest", "Mode", "SteerRequest", "refuse_with_apply"]

Mode = Literal["blind", "given", "infer"]


@dataclass(frozen=True)
class SteerRequest:
    """The options of a fit.

    Raises
    ------
    InvalidInputError
        If label, groups or features are missing (``--apply`` alone can do without), or an
        option of steering cannot be read.
    """

    label: str
    groups: tuple[str, ...]
    features: str
    mode: Mode = "blind"
    test_size: float = 0.3
    drop_missing: bool = False
    missing_groups: Literal["raise", "own_group"] = "raise"
    random_state: int = 0
    batch_rows: int | None = None
    steering: Steering = field(default_factory=Steering)

    def __post_init__(self) -> None:
        given = {"--label": self.label, "--group": self.groups, "--features": self.features}
        absent = [name for name, value in given.items() if not value]
        if absent:
            raise InvalidInputError(
                f"`isonomy steer` needs {', '.join(absent)} to learn from FILE, or --apply with "
                "the artefact of an earlier run. See `isonomy steer --help`."
            )
        doubled = {n for n in self.groups if self.groups.count(n) > 1 or n == self.label}
        if doubled:
            raise InvalidInputError(
                f"--group must name columns once each, other than the label, got "
                f"{', '.join(sorted(doubled))}."
            )
        self.steering.check(self.mode)

    def steerer_parameters(self, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return what `IdealSteerer` is made of, its group columns aside.

        ``columns`` puts positions among them in the place of names, for rows without any.
        """
        chosen = self.steering.parameters(columns)
        return {"groups": self.mode, **chosen, "random_state": self.random_state}

    def command_line(self, file: Path) -> str:
        """Return the command that does this again, quoted for a shell."""
        words = ["isonomy", "steer", str(file), "--label", self.label]
        for name in self.groups:
            words += ["--group", name]
        words += ["--features", self.features, "--mode", self.mode, *self.steering.words()]
        words += ["--test-size", f"{self.test_size:g}", "--random-state", str(self.random_state)]
        words += ["--drop-missing"] * self.drop_missing
        words += ["--missing-groups", "own_group"] * (self.missing_groups == "own_group")
        if self.batch_rows is not None:
            words += ["--batch-rows", str(self.batch_rows)]
        return one_line(shlex.join([*words, "-o", "OUT"]))


@dataclass(frozen=True)
class ApplyRequest:
    """The options of ``--apply``."""

    artefact: Path
    groups: tuple[str, ...] = ()
    drop_missing: bool = False
    batch_rows: int | None = None


def refuse_with_apply(label: str | None, features: str | None, steering: Steering) -> None:
    """Raise if options of a fit come with ``--apply``, where they would do nothing.

    Raises
    ------
    InvalidInputError
        Naming those that do not belong.
    """
    given = {"--label": label, "--features": features}
    extra = [name for name, value in given.items() if value is not None] + steering.named()
    if extra:
        raise InvalidInputError(
            f"--apply takes its columns and maps from the artefact, so {' and '.join(extra)} must "
            "be left out. To learn anew, leave out --apply."
        )
