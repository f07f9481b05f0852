"""Which of the two uses of ``isonomy steer`` is meant, and whether its options fit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from isonomy.errors import InvalidInputError

__all__ = ["check_apply", "check_fit", "command_line"]


def check_fit(label: str | None, groups: Sequence[str] | None, features: str | None) -> None:
    """Raise unless the options that a fit needs are there.

    Raises
    ------
    InvalidInputError
        Naming those that are missing.
    """
    given = {"--label": label, "--group": groups, "--features": features}
    absent = [name for name, value in given.items() if not value]
    if absent:
        raise InvalidInputError(
            f"`isonomy steer` needs {', '.join(absent)} to learn from FILE, or --apply with the "
            "artefact of an earlier run. See `isonomy steer --help`."
        )


def check_apply(label: str | None, features: str | None) -> None:
    """Raise if options of a fit come with ``--apply``, where they would do nothing.

    Raises
    ------
    InvalidInputError
        Naming those that do not belong.
    """
    given = {"--label": label, "--features": features}
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise InvalidInputError(
            f"--apply takes its columns from the artefact, so {' and '.join(extra)} must be "
            "left out. To learn anew, leave out --apply."
        )


def command_line(
    file: Path, *, label: str, groups: Sequence[str], features: str, **others: object
) -> str:
    """Return the command that was typed, quoted for a shell."""
    words = ["isonomy", "steer", str(file), "--label", label]
    for name in groups:
        words += ["--group", name]
    words += ["--features", features]
    for name, value in others.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
