"""What issue 4 asked the benchmark to show, and whether it did, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from _biographies.entries import BASE
from _biographies.judging import Judged, Row
from _biographies.resampling import Pooled

__all__ = ["HALF_A_POINT", "goal_lines"]

HALF_A_POINT = 0.005
SMALL = 0.05
CHANCE = 0.05
HALVED = ("leace", "mimic")

View = Literal["each", "together"]
VIEWS: dict[View, str] = {"each": "Each rule", "together": "Folds together"}


def goal_lines(judged: Judged) -> list[str]:
    """Return a sentence for each goal, by each rule and by the folds together."""
    base = judged.row(BASE)
    if base is None:
        return []
    lines = []
    for view, words in VIEWS.items():
        lines.append(f"{words}. {_control(base, view)}")
        lines.append(f"{words}. {_given(judged, view)}")
        lines += [f"{words}. {line}" for line in _without(judged, view)]
        lines += [f"{words}. {line}" for line in _rivals(judged, view)]
    return lines


def _control(base: Row, view: View) -> str:
    p = gap_of(base, view).p_value
    worst = max(seed.p_value for seed in base.seeds)
    verdict = "is rejected" if p < CHANCE else "is NOT rejected"
    ending = f"; the largest p of a seed is {worst:.4f}" if view == "together" else ""
    return f"Control: untouched {verdict} on the same rows (p = {p:.4f}{ending})."


def _given(judged: Judged, view: View) -> str:
    ours = [row for row in judged.rows if row.family == "isonomy" and row.use == "given"]
    met = [
        row
        for row in ours
        if gap_of(row, view).p_value > CHANCE and gap_of(row, view).high < SMALL and _cheap(row)
    ]
    asked = f"Groups given (p > {CHANCE:g}, upper bound < {SMALL:g}, at most .5 points lost)"
    return f"{asked}: {_told(met, ours, view, lambda row: gap_of(row, view).high)}."


def _without(judged: Judged, view: View) -> list[str]:
    rivals = [judged.row(name) for name in HALVED]
    if None in rivals:
        return []
    limit = min(max(gap_of(row, view).corrected, 0.0) for row in rivals if row) / 2
    ours = [row for row in judged.rows if row.family == "isonomy" and row.use != "given"]
    met = [row for row in ours if gap_of(row, view).corrected <= limit and _cheap(row)]
    asked = (
        f"Groups blind or inferred (corrected gap at most {limit:.4f}, half of LEACE's and of "
        "MiMiC's, at most .5 points lost)"
    )
    return [f"{asked}: {_told(met, ours, view, lambda row: gap_of(row, view).corrected)}."]


def _rivals(judged: Judged, view: View) -> list[str]:
    """Return, for the best of ours with and without groups, the rivals better on both axes."""
    lines = []
    for given in (True, False):
        ours = [r for r in judged.rows if r.family == "isonomy" and (r.use == "given") is given]
        rivals = [r for r in judged.rows if r.family == "rival" and (r.use == "given") is given]
        if not ours or not rivals:
            continue
        best = min([r for r in ours if _cheap(r)] or ours, key=lambda r: gap_of(r, view).corrected)
        better = [r for r in rivals if _beats(r, best, view)]
        found = ", ".join(f"{r.label} ({_figures(r, view)})" for r in better) or "none"
        words = "with groups" if given else "without groups"
        lines.append(
            f"Competitors {words} that are better than {best.label} "
            f"({_figures(best, view)}) on gap and accuracy: {found}."
        )
    return lines


def gap_of(row: Row, view: View) -> Pooled:
    """Return the pooled gap of one of the two views."""
    return row.each if view == "each" else row.together


def _cheap(row: Row) -> bool:
    return row.loss <= HALF_A_POINT


def _beats(rival: Row, row: Row, view: View) -> bool:
    # below 0 there is nothing left to win: a gap inside its noise is no better than another
    gap, own = (max(gap_of(r, view).corrected, 0.0) for r in (rival, row))
    return gap <= own and rival.loss < row.loss


def _told(met: list[Row], ours: list[Row], view: View, by: Callable[[Row], float]) -> str:
    if met:
        return "reached by " + ", ".join(f"{r.label} ({_figures(r, view)})" for r in met)
    if not ours:
        return "not tried"
    nearest = min([row for row in ours if _cheap(row)] or ours, key=by)
    return f"NOT reached; nearest is {nearest.label} ({_figures(nearest, view)})"


def _figures(row: Row, view: View) -> str:
    gap = gap_of(row, view)
    return (
        f"corrected {gap.corrected:.4f}, upper {gap.high:.4f}, p {gap.p_value:.3f}, "
        f"loss {100 * row.loss:+.2f} points"
    )
