"""What ``layer_curves`` returns: the points of all layers, the choice, and their file."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np

from isonomy._atomic import write_text_atomic
from isonomy._validation import check_choice, check_real
from isonomy._version import __version__
from isonomy.errors import CorruptArtefactError, InvalidInputError, MissingExtraError
from isonomy.hidden_states._curve._points import LayerPoint, Part

__all__ = ["LayerCurves", "Rule", "Utility"]

Rule = Literal["gap", "utility", "probe"]
Utility = Literal["accuracy", "macro_f1"]
Backend = Literal["pandas", "polars", "pyarrow", "dict"]

_MEASURED = ("probe_accuracy", "probe_within", "accuracy", "macro_f1", "gap")


@dataclass(frozen=True, eq=False)
class LayerCurves:
    """Probe accuracy, utility and gap of every layer, on rows that no part was fitted on.

    Parameters
    ----------
    points : tuple of LayerPoint
        One a layer and part ("validation" chooses, "test" reports).
    n_rows : dict
        Rows for "train", "validation" and "test".
    classes, groups : tuple
    method : str
        How states were steered before head and probes were fitted; "none" for not at all.
    random_state : int
        Of the split, the fits and the intervals.
    """

    points: tuple[LayerPoint, ...]
    n_rows: Mapping[str, int]
    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    method: str
    random_state: int

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The layers, in the order in which they were measured; None is the head's input."""
        return tuple(dict.fromkeys(point.layer for point in self.points))

    def part(self, name: Part) -> tuple[LayerPoint, ...]:
        """Return the points of one part, one a layer.

        Parameters
        ----------
        name : "validation" or "test"
        """
        check_choice("name", name, ("validation", "test"), where="LayerCurves.part")
        return tuple(point for point in self.points if point.part == name)

    def best(
        self, rule: Rule = "gap", *, utility: Utility = "accuracy", tolerance: float = 0.01
    ) -> int | None:
        """Return the layer that a rule chooses, by the validation rows alone.

        Parameters
        ----------
        rule : "gap", "utility" or "probe"
            All compare layers whose utility is within ``tolerance`` of the best one's.
            "gap": the first choice among them is the head's input, or where that is not
            among them the most useful layer; another takes its place only if the upper end
            of its gap's interval is below the lower end of the first choice's, and of such
            the one with the smallest gap does. "probe": the one whose probe knows least of
            the group within classes, beyond chance. "utility": the most useful layer,
            whatever the tolerance.
        utility : "accuracy" or "macro_f1"
        tolerance : float
            In [0, 1], in units of the utility.

        Returns
        -------
        int or None
            The layer; None is the head's input. Of equals the more useful one, then the
            later one.

        Raises
        ------
        InvalidInputError
            If an argument is wrong, or no layer within the tolerance has a defined gap.

        Notes
        -----
        The least of several noisy gaps is a lucky one, and what it gains is lost on other
        rows: so a gap moves the choice only where it differs beyond its noise. All layers
        are measured on the same rows, whose luck they share: intervals that do not overlap
        ask for more than a 5 % test of the difference would. Read the chosen layer's
        numbers off the test rows (:meth:`result`), which had no part in the choice.
        """
        where = "LayerCurves.best"
        check_choice("rule", rule, ("gap", "utility", "probe"), where=where)
        check_choice("utility", utility, ("accuracy", "macro_f1"), where=where)
        check_real("tolerance", tolerance, where=where, low=0, high=1)
        ranked = _most_useful_first(self.part("validation"), utility)
        if rule == "utility":
            return ranked[0].layer
        least = float(getattr(ranked[0], utility).value) - tolerance - 1e-12
        near = [p for p in ranked if getattr(p, utility).value >= least]
        if rule == "probe":
            return min(near, key=lambda p: p.leakage).layer
        known = [p for p in near if not np.isnan(p.gap.value)]
        if not known:
            raise InvalidInputError(
                f"`{where}` cannot compare gaps: no layer within the tolerance has one, because "
                "no class has two validation rows in two groups. Pass more rows, or use "
                '`rule="utility"`.'
            )
        first = _first_choice(known)
        clear = [p for p in known if p.gap.high < first.gap.low]
        return min(clear or [first], key=lambda p: p.gap.value).layer

    def result(self, layer: int | Literal["best"] | None = "best") -> LayerPoint:
        """Return what the test rows say of a layer; by default of the one `best` chooses.

        Parameters
        ----------
        layer : int, None or "best"

        Raises
        ------
        InvalidInputError
            If the layer was not measured.
        """
        wanted = self.best() if layer == "best" else layer
        for point in self.part("test"):
            if point.layer == wanted:
                return point
        raise InvalidInputError(
            f"`layer` of `LayerCurves.result` must be one of {list(self.layers)} or 'best', got "
            f"{layer!r}."
        )

    def to_frame(self, backend: Backend | None = None) -> Any:
        """Return one row a layer and part.

        Parameters
        ----------
        backend : "pandas", "polars", "pyarrow" or "dict", optional
            By default the first of pandas and polars that is installed, else a dict.

        Returns
        -------
        data frame or dict of columns
            Every measured number with its ``_low``, ``_high`` and ``_n``. The head's input
            is a null layer.

        Raises
        ------
        MissingExtraError
            If the library asked for is not installed.
        """
        where = "LayerCurves.to_frame"
        check_choice("backend", backend, (None, "pandas", "polars", "pyarrow", "dict"), where=where)
        rows = [_flat(point) for point in self.points]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        names: tuple[Backend, ...] = ("pandas", "polars")
        installed: Backend = next((b for b in names if importlib.util.find_spec(b)), "dict")
        chosen = installed if backend is None else backend
        if chosen == "dict":
            return columns
        if importlib.util.find_spec(chosen) is None:
            raise MissingExtraError(
                f"`backend={chosen!r}` of `{where}` needs {chosen}, which is not installed. "
                f"Install it with: pip install {chosen}"
            )
        return nw.to_native(nw.from_dict(columns, backend=chosen))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, kind "layer_curves"; NaN is None."""
        return {
            "schema": 1,
            "kind": "layer_curves",
            "isonomy_version": __version__,
            "method": self.method,
            "random_state": self.random_state,
            "n_rows": dict(self.n_rows),
            "classes": [str(c) for c in self.classes],
            "groups": [str(g) for g in self.groups],
            "choice": self._choice(),
            "points": [_without_nan(point.to_dict()) for point in self.points],
        }

    def _choice(self) -> dict[str, Any] | None:
        """Return the default choice with its rule in words; None where gaps are undefined."""
        try:
            layer = self.best()
        except InvalidInputError:
            return None
        return {
            "layer": layer,
            "rule": "gap",
            "utility": "accuracy",
            "tolerance": 0.01,
            "sentence": (
                "Of the layers whose accuracy on the validation rows is within 1 point of the "
                "best, the head's input (or else the most accurate), unless the 95 % interval of "
                "another's corrected, precision-weighted TPR gap there lies wholly below its "
                "own: then the smallest such gap. The test rows had no part in the choice."
            ),
            "reason": self._reason(layer),
        }

    def _reason(self, layer: int | None) -> str:
        """Return which part of the rule decided, in words."""
        ranked = _most_useful_first(self.part("validation"), "accuracy")
        chosen = next(p for p in ranked if p.layer == layer)
        n, top = chosen.accuracy.n, ranked[0].accuracy.value
        near = [p for p in ranked if p.accuracy.value >= top - 0.01 - 1e-12]
        first = _first_choice([p for p in near if not np.isnan(p.gap.value)])
        if chosen is not first:
            return (
                f"On {n} validation texts its gap is smaller than that of {first.name} beyond the "
                "noise of both, at an accuracy within a point of the best."
            )
        no_other = "no other such place has a gap that is smaller beyond its noise"
        if len(near) == 1:
            return f"On {n} validation texts no other place is within a point of its accuracy."
        if layer is None:
            return (
                f"On {n} validation texts its accuracy is within a point of the best, and "
                f"{no_other}; where gaps cannot be told apart, the input of the head comes first."
            )
        return f"On {n} validation texts it is the most accurate, and {no_other}."

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_dict` as JSON, wholly or not at all.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return write_text_atomic(path, text + "\n")

    @classmethod
    def load(cls, path: str | Path) -> LayerCurves:
        """Return the curves saved at ``path``; labels come back as text.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        CorruptArtefactError
            If the file is missing or holds something else.
        """
        try:
            data = json.loads(Path(path).read_text("utf-8"))
            if data["kind"] != "layer_curves":
                raise KeyError("kind")
            points = tuple(LayerPoint.from_dict(p) for p in data["points"])
            labels = tuple(data["classes"]), tuple(data["groups"])
            head = data["n_rows"], *labels, data["method"], data["random_state"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptArtefactError(
                f"`path` passed to `LayerCurves.load` must be a file that `LayerCurves.save` "
                f"wrote, got {str(path)!r}: {error}."
            ) from error
        return cls(points, *head)


def _most_useful_first(points: Sequence[LayerPoint], utility: Utility) -> list[LayerPoint]:
    """Return the points in falling order of utility, the later layer first at a tie."""
    return sorted(reversed(points), key=lambda p: -float(getattr(p, utility).value))


def _first_choice(ranked: Sequence[LayerPoint]) -> LayerPoint:
    """Return the head's input if it is among them, else the first."""
    return next((p for p in ranked if p.layer is None), ranked[0])


def _flat(point: LayerPoint) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in _without_nan(point.to_dict()).items():
        if name in _MEASURED:
            row[name] = value["value"]
            row.update({f"{name}_{k}": value[k] for k in ("low", "high", "n")})
        else:
            row[name] = value
    return row


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            plain[name] = _without_nan(value)
        else:
            plain[name] = None if isinstance(value, float) and np.isnan(value) else value
    return plain
