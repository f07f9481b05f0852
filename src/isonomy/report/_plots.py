"""``plot_audit``: one chart of an audit as a Matplotlib figure, for notebooks and papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from isonomy._validation import check_choice
from isonomy.errors import InvalidInputError
from isonomy.report._calibration import calibration_charts
from isonomy.report._document import Block, Chart, Fold
from isonomy.report._group_rates import group_rate_charts
from isonomy.report._rates import gap_section, rates_section
from isonomy.report._results import as_plain, check_result
from isonomy.report._words import clean_result
from isonomy.report.frontier import plot_frontier
from isonomy.report.layer_profile import plot_layer_profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PlotKind", "draw_figure", "plot_audit"]

PlotKind = Literal["class_gaps", "rates", "groups", "calibration"]


def plot_audit(result: Mapping[str, Any], kind: PlotKind = "class_gaps") -> Figure:
    """Return one chart of an audit.

    Parameters
    ----------
    result : dict
        What ``AuditResult.to_dict()`` returned.
    kind : {"class_gaps", "rates", "groups", "calibration"}
        The TPR gap of every class (of the first group that is not the reference), the
        rates of the first group, accuracy by group, or how often scores came true.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot: save it with ``figure.savefig(path)``.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed.
    InvalidInputError
        If ``kind`` is unknown, or the audit holds too few rows (or no scores) for it.
    """
    check_choice("kind", kind, get_args(PlotKind), where="plot_audit")
    audit = clean_result(as_plain(check_result(result)))
    if kind == "groups":
        charts: Sequence[Chart] = group_rate_charts(None, audit)
    elif kind == "calibration":
        charts = calibration_charts(audit)
    else:
        section = gap_section if kind == "class_gaps" else rates_section
        charts = list(_charts(section(None, audit, mark="blind").blocks))
    if not charts:
        raise InvalidInputError(
            f"`result` passed to `plot_audit` must hold enough rows for the chart {kind!r}, but "
            "all its numbers are undefined, withheld or were not asked for; see its `not_computed`."
        )
    return charts[0].draw("wide")


def draw_figure(result: Mapping[str, Any], kind: str = "class_gaps") -> Figure:
    """Return one figure of a result, whatever its kind: the plugin ``figure``.

    Parameters
    ----------
    result : dict
        An audit, or what ``LayerProfile.to_dict()`` returned.
    kind : str
        Of an audit the chart, as for `plot_audit`; of a layer profile "layer_profile",
        of a frontier "frontier".

    Returns
    -------
    matplotlib.figure.Figure
    """
    if isinstance(result, Mapping) and result.get("kind") == "frontier":
        check_choice("kind", kind, ("frontier",), where="draw_figure")
        return plot_frontier(result)
    if isinstance(result, Mapping) and result.get("kind") == "layer_profile":
        check_choice("kind", kind, ("layer_profile",), where="draw_figure")
        return plot_layer_profile(result)
    check_choice("kind", kind, get_args(PlotKind), where="plot_audit")
    return plot_audit(result, cast(PlotKind, kind))


def _charts(blocks: Sequence[Block]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Fold):
            yield from _charts(block.blocks)
