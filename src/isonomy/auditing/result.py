"""What an audit found: one JSON-able dictionary and the ways to look at it.

Schema (``schema`` 1, ``kind`` "audit")
---------------------------------------
Every number is a float or an int; an undefined or withheld one is ``null`` and the
``reason`` beside it says why. Names of classes and groups are strings. ``low`` and
``high`` bound an interval of the stated ``confidence``.

``schema``, ``kind``, ``isonomy_version``, ``confidence``, ``min_cell``, ``n_boot``,
``random_state`` (int or null)
    How it was made.
``n_samples``
    Rows used everywhere below; rows of withheld groups are in no number.
``weighted``
    Whether sample weights were given: ``n`` counts rows, ``n_effective`` (beside each
    ``n`` of ``by_group``) is Kish's effective size.
``classes``, ``pos_label``
    Sorted class names; the positive class of a binary problem, else null.
``groups``
    ``[{"name", "n", "share", "withheld", "pooled": [names]}]``; ``n`` and ``share`` of a
    withheld group are null, ``pooled`` lists what "(small groups)" is made of.
``reference_group``
    The group that signed gaps are measured from.
``overall``
    ``{"accuracy", "balanced_accuracy", "macro_f1"}``, each ``{"value", "low", "high",
    "n", "reason"}``.
``by_group``
    ``[{"metric", "class" (null for accuracy), "group", "value", "low", "high", "n",
    "n_effective", "reason"}]``; metrics ``accuracy``, ``selection_rate``,
    ``true_positive_rate``, ``false_positive_rate``, ``precision``; Wilson intervals.
``disparities``
    ``[{"metric", "weighting", "value" (plug-in), "corrected", "low", "high", "p_value",
    "pair": [group, group] or null, "class", "predicted", "n_classes",
    "classes_left_out": [str], "reason", "sentence"}]``; metrics
    ``demographic_parity_difference``, ``equal_opportunity_difference``,
    ``equalized_odds_difference``, ``accuracy_difference``, ``rms_tpr_gap`` (weighting
    "equal") and ``rms_tpr_gap_precision`` (weighting "precision"). ``class`` (and
    ``predicted`` for equalized odds) is where the largest difference was found.
    ``corrected`` is set for the rms gaps alone: the signed root of the corrected mean
    square, below 0 when the gap is smaller than its own noise.
``decision``
    ``{"metric": "rms_tpr_gap_precision", "gap_detected": bool or null, "p_value",
    "upper_bound", "sentence"}``: what to conclude, by precision weights.
``class_gaps``
    ``[{"class", "group", "reference_group", "gap" (TPR of group minus reference), "low",
    "high" (Newcombe), "simultaneous_low", "simultaneous_high" (Clopper-Pearson, union
    over all rates), "n_group", "n_reference", "rare": bool, "reason"}]``.
``rare_classes``
    ``[{"class", "reason"}]``: classes with too few people in some group for their own
    gap to say much; listed apart, and light under precision weights.
``marginals``
    With several sensitive columns, each alone: ``[{"column", "groups",
    "reference_group", "by_group", "disparities", "decision", "class_gaps",
    "rare_classes"}]``; empty with one column.
``controls``
    ``[{"column", "level", "n", "disparities", "reason"}]``: the same disparities among
    the rows of one level; ``n`` null and ``disparities`` empty when withheld.
``scores``
    Null without ``y_score``; else ``{"by_group": [{"metric", "class": null, "group" (or
    "(all)"), "value", "low", "high", "n", "reason"}], "disparities": [{"metric",
    "value", "low", "high", "reason", "sentence"}], "calibration": ...}``; metrics
    ``roc_auc`` (binary), ``log_loss``, ``calibration_error``, ``mean_score_minus_rate``.
    ``calibration`` is null unless the scores lie in [0, 1]; else ``{"of": class or null,
    "n_bins", "bins": [{"group", "low_edge", "high_edge", "mean_score", "value", "low",
    "high" (Wilson), "n", "reason"}]}``: how often what the scores say came true, for the
    positive class (``of``) or, with several classes, for the class of the largest score.
    ``calibration_error`` takes all withheld bins of a group as one bin, which makes it
    smaller or leaves it as it is: else it would give them away.
``not_computed``
    ``[{"what", "why"}]``.
``notes``
    Plain sentences that belong under every copy of these numbers.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import narwhals.stable.v2 as nw

from isonomy import plugins
from isonomy._validation import check_choice
from isonomy.artefact import write_text_atomic
from isonomy.errors import (
    ArtefactKindError,
    ArtefactVersionError,
    CorruptArtefactError,
    InvalidInputError,
    MissingExtraError,
)

__all__ = ["SCHEMA", "AuditResult"]

SCHEMA = 1
"""The version of the schema above."""

Section = Literal["by_group", "disparities", "class_gaps", "groups"]
Backend = Literal["pandas", "polars", "pyarrow", "dict"]

_COLUMNS: dict[str, tuple[str, ...]] = {
    "by_group": (
        "metric", "class", "group", "value", "low", "high", "n", "n_effective", "reason",
    ),
    "disparities": (
        "metric", "weighting", "value", "corrected", "low", "high", "p_value", "class",
        "predicted", "n_classes", "reason", "sentence",
    ),
    "class_gaps": (
        "class", "group", "reference_group", "gap", "low", "high", "simultaneous_low",
        "simultaneous_high", "n_group", "n_reference", "rare", "reason",
    ),
    "groups": ("name", "n", "share", "withheld"),
}  # fmt: skip
_NEEDED = ("classes", "groups", "overall", "by_group", "disparities", "class_gaps")


@dataclass(frozen=True, eq=False)
class AuditResult:
    """The findings of :func:`isonomy.audit`; see this module's docstring for the schema.

    ``str()`` gives the sentences. Attributes read the dictionary: ``overall``,
    ``by_group``, ``disparities``, ``class_gaps``, ``decision``.
    """

    data: Mapping[str, Any]

    @property
    def overall(self) -> dict[str, Any]:
        """Accuracy, balanced accuracy and macro F1 over all rows used."""
        part: dict[str, Any] = copy.deepcopy(self.data["overall"])
        return part

    @property
    def by_group(self) -> list[dict[str, Any]]:
        """Every rate of every class and group, with n and interval."""
        part: list[dict[str, Any]] = copy.deepcopy(self.data["by_group"])
        return part

    @property
    def disparities(self) -> list[dict[str, Any]]:
        """Differences between groups, with interval, p-value and a sentence each."""
        part: list[dict[str, Any]] = copy.deepcopy(self.data["disparities"])
        return part

    @property
    def class_gaps(self) -> list[dict[str, Any]]:
        """The signed gap in true-positive rate of every class and group."""
        part: list[dict[str, Any]] = copy.deepcopy(self.data["class_gaps"])
        return part

    @property
    def decision(self) -> dict[str, Any]:
        """What to conclude, by precision weights."""
        part: dict[str, Any] = copy.deepcopy(self.data["decision"])
        return part

    def disparity(self, metric: str) -> dict[str, Any]:
        """Return the disparity of this name.

        Raises
        ------
        InvalidInputError
            If the audit holds none of that name.
        """
        found = {d["metric"]: d for d in self.data["disparities"]}
        if metric not in found:
            raise InvalidInputError(
                f"`metric` passed to `AuditResult.disparity` must be one of {', '.join(found)}, "
                f"got {metric!r}."
            )
        return copy.deepcopy(found[metric])

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of everything as plain JSON-able values."""
        return copy.deepcopy(dict(self.data))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the result that :meth:`to_dict` was called on.

        Raises
        ------
        ArtefactKindError
            If ``data`` is no audit.
        ArtefactVersionError
            If a newer isonomy wrote it.
        CorruptArtefactError
            If a part is missing.
        """
        where = "`data` passed to `AuditResult.from_dict`"
        if not isinstance(data, Mapping) or data.get("kind") != "audit":
            found = data.get("kind") if isinstance(data, Mapping) else type(data).__name__
            raise ArtefactKindError(
                f"{where} must be an audit (`kind` 'audit'), got {found!r}. Pass what "
                "`AuditResult.to_dict()` returned."
            )
        schema = data.get("schema")
        if not isinstance(schema, int) or schema > SCHEMA:
            raise ArtefactVersionError(
                f"{where} must have schema {SCHEMA} or older, got {schema!r}. Install the "
                "isonomy that wrote it, or a newer one."
            )
        missing = [key for key in _NEEDED if key not in data]
        if missing:
            raise CorruptArtefactError(
                f"{where} must hold {', '.join(missing)}, but lacks it. Write the audit again."
            )
        return cls(copy.deepcopy(dict(data)))

    def to_frame(self, backend: Backend | None = None, *, section: Section = "by_group") -> Any:
        """Return one part as a table.

        Parameters
        ----------
        backend : "pandas", "polars", "pyarrow" or "dict", optional
            What kind. By default the first of pandas and polars that is installed, else a
            dict of columns.
        section : "by_group", "disparities", "class_gaps" or "groups"
            Which part.

        Returns
        -------
        data frame or dict
            One row per entry; undefined numbers are null.

        Raises
        ------
        InvalidInputError
            If ``backend`` or ``section`` is unknown.
        MissingExtraError
            If the library asked for is not installed.
        """
        where = "AuditResult.to_frame"
        check_choice("backend", backend, (None, "pandas", "polars", "pyarrow", "dict"), where=where)
        check_choice("section", section, tuple(_COLUMNS), where=where)
        columns = {c: [row.get(c) for row in self.data[section]] for c in _COLUMNS[section]}
        chosen: Backend = backend if backend is not None else _installed()
        if chosen == "dict":
            return columns
        if importlib.util.find_spec(chosen) is None:
            raise MissingExtraError(
                f"`backend={chosen!r}` of `{where}` needs {chosen}, which is not installed. "
                f"Install it with: pip install {chosen}"
            )
        return nw.to_native(nw.from_dict(columns, backend=chosen))

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one self-contained HTML file; whole or not at all.

        Parameters
        ----------
        path : str or path
            Where to; a file there is replaced.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        MissingExtraError
            If the extra ``report`` is not installed.
        OutputError
            If the path cannot be written.
        """
        render = plugins.get("report_formats", "html")
        return Path(write_text_atomic(path, render(self.to_dict())))

    def plot(self, kind: str = "class_gaps") -> Any:
        """Return one chart as a Matplotlib figure.

        Parameters
        ----------
        kind : "class_gaps", "rates", "groups" or "calibration"
            The gap of every class; the rates by class; accuracy by group; how often
            scores came true, by group.

        Raises
        ------
        MissingExtraError
            If the extra ``report`` is not installed.
        InvalidInputError
            If ``kind`` is unknown, or too few rows are there for such a chart.
        """
        return plugins.get("report_formats", "figure")(self.to_dict(), kind)

    def __str__(self) -> str:
        lines = [d["sentence"] for d in self.data["disparities"] if d["sentence"]]
        lines.append(self.data["decision"]["sentence"])
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"AuditResult({self.data['n_samples']} rows, {len(self.data['classes'])} classes, "
            f"{len(self.data['groups'])} groups)"
        )


def _installed() -> Backend:
    candidates: tuple[Backend, ...] = ("pandas", "polars")
    return next((b for b in candidates if importlib.util.find_spec(b)), "dict")
