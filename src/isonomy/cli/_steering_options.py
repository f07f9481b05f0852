"""How rows are steered: the options of ``isonomy steer`` that an ``IdealSteerer`` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import typer

from isonomy.errors import InvalidInputError

__all__ = ["Family", "MapFamily", "Steering"]

Family = Literal["normal", "lognormal", "nonparanormal", "student_t", "auto"]
MapFamily = Literal["affine", "symmetric", "diagonal"]


@dataclass(frozen=True)
class Steering:
    """The options of that name of `IdealSteerer`, as words of a command line."""

    family: Annotated[
        Family, typer.Option(help="Law of a cell; auto: chosen on held-out rows.")
    ] = "normal"
    map_family: Annotated[
        MapFamily, typer.Option(help="Maps searched in mode given or infer; diagonal: by column.")
    ] = "affine"
    strength: Annotated[
        float, typer.Option(metavar="S", min=0.0, max=1.0, help="How far rows go: 0 to 1.")
    ] = 1.0
    protected: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Feature that must not move; repeat for several."),
    ] = None
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL=LOW:HIGH",
            help="Keep a feature within bounds, either end may be empty; repeat for several. "
            "'observed': all, within what FILE holds.",
        ),
    ] = None
    integer_columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL",
            help="Round a feature; repeat for several. 'auto': all that hold whole numbers alone.",
        ),
    ] = None

    def named(self) -> list[str]:
        """Return the options that are not at their default."""
        return [
            "--" + field.name.replace("_", "-")
            for field in fields(self)
            if getattr(self, field.name) not in (field.default, [])
        ]

    def words(self) -> list[str]:
        """Return those options as words of a command."""
        found: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value in (field.default, []):
                continue
            flag = "--" + field.name.replace("_", "-")
            for each in value if isinstance(value, list) else [value]:
                found += [flag, f"{each:g}" if isinstance(each, float) else str(each)]
        return found

    def check(self, mode: str) -> None:
        """Raise where an option cannot be read, or would do nothing in this mode.

        Raises
        ------
        InvalidInputError
            Naming it.
        """
        if mode == "blind" and self.map_family != "affine":
            raise InvalidInputError(
                f"--map-family {self.map_family} does nothing with --mode blind, whose one map "
                "erases directions: leave it out, or choose --mode given or infer."
            )
        if mode == "blind" and self.family == "student_t":
            raise InvalidInputError(
                "--family student_t does nothing with --mode blind, which needs means and "
                "covariances alone: leave it out, or choose --mode given or infer."
            )
        for option, word, asked in self._listed():
            if word in asked and len(asked) > 1:
                raise InvalidInputError(
                    f"{option} {word} speaks of all columns and must stand alone, got "
                    f"{', '.join(asked)}."
                )
        self._pairs()

    def check_columns(self, features: Sequence[str]) -> None:
        """Raise where an option names a column that is not steered.

        Raises
        ------
        InvalidInputError
            Naming the option and the columns there are.
        """
        asked = {
            "--protected": self.protected or [],
            "--bounds": list(self._pairs()) if self.bounds != ["observed"] else [],
            "--integer-columns": [] if self.integer_columns == ["auto"] else self.integer_columns,
        }
        for option, names in asked.items():
            lost = [name for name in names or [] if name not in features]
            if lost:
                shown = ", ".join(features[:8]) + (", ..." if len(features) > 8 else "")
                raise InvalidInputError(
                    f"{option} must name columns among the features ({shown}), got {lost[0]!r}."
                )

    def parameters(self, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return what `IdealSteerer` takes that is not its default.

        ``columns`` puts positions among them in the place of names, for rows without any.
        """
        found: dict[str, Any] = {}
        key = str if columns is None else list(columns).index
        for name in ("family", "map_family", "strength"):
            if getattr(self, name) != getattr(Steering, name):
                found[name] = getattr(self, name)
        if self.map_family == "diagonal":
            found["covariance"] = "diagonal"
        if self.protected:
            found["protected"] = [key(name) for name in self.protected]
        if self.bounds:
            pairs = {key(name): pair for name, pair in self._pairs().items()}
            found["bounds"] = pairs or "observed"
        if self.integer_columns:
            whole = [key(name) for name in self.integer_columns if name != "auto"]
            found["integer_columns"] = whole or "auto"
        return found

    def _listed(self) -> list[tuple[str, str, list[str]]]:
        return [
            ("--bounds", "observed", self.bounds or []),
            ("--integer-columns", "auto", self.integer_columns or []),
        ]

    def _pairs(self) -> dict[str, tuple[float | None, float | None]]:
        found: dict[str, tuple[float | None, float | None]] = {}
        for text in self.bounds or []:
            if text == "observed":
                continue
            # a column's name may hold the sign, a number does not
            name, sign, ends = text.rpartition("=")
            low, colon, high = ends.partition(":")
            try:
                pair = _end(low), _end(high)
            except ValueError:
                colon = ""
            if not (name and sign and colon):
                raise InvalidInputError(
                    "--bounds must be COL=LOW:HIGH with numbers, either of which may be empty, or "
                    f"'observed', got {text!r}."
                )
            if name in found:
                raise InvalidInputError(f"--bounds must name each column once, got {name!r} twice.")
            if pair[0] is not None and pair[1] is not None and pair[0] > pair[1]:
                raise InvalidInputError(
                    f"--bounds must have the lower end first, got {text!r}. Exchange them."
                )
            found[name] = pair
        return found


def _end(text: str) -> float | None:
    if not text.strip():
        return None
    number = float(text)
    if number != number:
        raise ValueError
    return number
