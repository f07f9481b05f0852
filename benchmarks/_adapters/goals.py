"""What the issue asked for, and whether it is reached: one sentence each, with the figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from _adapters.cells import ACCEPTANCE, Cell
from _adapters.methods import BASE, METHODS, OURS, RIVALS_AT_F1
from _adapters.results import Results, mean_and_spread

__all__ = ["goal_lines", "judged"]

TAIL = (5.0, 15.0)
HEAD = 1.0
STEP = 1.03
START_STEPS = 20


def goal_lines(
    results: Results, *, step_time: dict[str, Any] | None = None, names: Sequence[str] = OURS
) -> list[str]:
    """Return one line a goal for each of our methods, against plain LoRA with cross-entropy."""
    found = []
    everything, results = results, judged(results)
    for name in names:
        if not results.differences(name, BASE, "tail"):
            continue
        label = METHODS[name].label
        found.append(f"{label}: {_tail_and_head(results, name)}")
        found.append(f"{label}: {_by_part(everything, name)}")
        found.append(f"{label}: {_gap(results, name)}")
        found.append(f"{label}: {_macro_f1(results, name)}")
    return found + _times(step_time)


def judged(results: Results) -> Results:
    """Return the results in the cells that the issue names; in all where there are none."""
    cells = tuple(cell for cell in results.cells if (cell.data, cell.ratio) in ACCEPTANCE)
    return replace(results, cells=cells) if cells else results


def _tail_and_head(results: Results, name: str) -> str:
    tail, head = _change(results, name, "tail"), _change(results, name, "head")
    more = " (more than asked)" if tail > TAIL[1] else ""
    return (
        f"tail +{TAIL[0]:g} to +{TAIL[1]:g} points with the head within {HEAD:g}: "
        f"{_verdict(tail >= TAIL[0] and head >= -HEAD)}, tail {tail:+.1f}{more}, head {head:+.1f} "
        f"in the mean over {_cells(_n(results, name))}."
    )


def _by_part(results: Results, name: str) -> str:
    parts = list(dict.fromkeys((cell.data, cell.ratio) for cell in results.cells))
    said, n = [], 0
    for data, ratio in parts:
        cells = results.part(data, ratio)
        tail, head = (_change(results, name, metric, cells) for metric in ("tail", "head"))
        if not math.isnan(tail):
            n += tail >= TAIL[0] and head >= -HEAD
            at = f" {ratio:g}:1" if ratio else ""
            said.append(f"{data}{at} tail {tail:+.1f}, head {head:+.1f}")
    return f"the same in every data set and ratio: in {n} of {len(said)} ({'; '.join(said)})."


def _gap(results: Results, name: str) -> str:
    own = results.found[name]
    both = [cell for cell in results.cells if cell in own]
    both = [cell for cell in both if cell in results.found.get(BASE, {})]
    ours, base = (mean_and_spread(results.values(m, "gap", both))[0] for m in (name, BASE))
    left = ours / base if base > 0 else float("nan")
    return (
        f"head-tail gap cut by more than half: {_verdict(left < 0.5)}, {100 * base:.1f} to "
        f"{100 * ours:.1f} points ({100 * (1 - left):.0f} % of it is gone)."
    )


def _macro_f1(results: Results, name: str) -> str:
    said, ahead = [], True
    for rival in RIVALS_AT_F1:
        pairs = [100 * v for v in results.differences(name, rival, "macro_f1")]
        mean, deviation = mean_and_spread(pairs)
        if pairs:
            ahead = ahead and mean > 0
            error = deviation / math.sqrt(len(pairs)) if len(pairs) > 1 else float("nan")
            told = "" if math.isnan(error) else f" ± {1.96 * error:.1f}"
            said.append(f"{METHODS[rival].label} {mean:+.1f}{told}")
    if not said:
        return (
            "macro-F1 ahead of the methods made for long tails: NOT judged, none of them was run."
        )
    return (
        "macro-F1 ahead of tuned logit adjustment, balanced softmax and LDAM in the mean over "
        f"cells: {_verdict(ahead)} ({'; '.join(said)}; "
        "± is 1.96 standard errors over cells)."
    )


def _times(step_time: dict[str, Any] | None) -> list[str]:
    if not step_time:
        return []
    found = []
    for name, ratio in step_time["ratios"].items():
        found.append(
            f"step time of {name} at most {STEP:g} times plain LoRA's: {_verdict(ratio <= STEP)}, "
            f"{ratio:.3f} (median of {step_time['rounds']} rounds)."
        )
    for name, steps in step_time["start_in_steps"].items():
        found.append(
            f"start {name} at most the time of {START_STEPS} steps: "
            f"{_verdict(steps <= START_STEPS)}, {steps:.1f} steps."
        )
    return found


def _change(results: Results, name: str, metric: str, cells: Sequence[Cell] | None = None) -> float:
    return 100 * mean_and_spread(results.differences(name, BASE, metric, cells))[0]


def _n(results: Results, name: str) -> int:
    return len(results.differences(name, BASE, "tail"))


def _cells(n: int) -> str:
    return f"{n} cell" + "s" * (n != 1)


def _verdict(reached: bool) -> str:
    return "reached" if reached else "NOT reached"
