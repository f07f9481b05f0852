"""Time calls side by side: one round of all of them after another, wall and CPU."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Timing", "side_by_side"]


@dataclass
class Timing:
    """Seconds of every run of one call; ``cpu`` sums all threads of this process."""

    wall_runs: list[float] = field(default_factory=list)
    cpu_runs: list[float] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """Median wall seconds."""
        return statistics.median(self.wall_runs)

    @property
    def cpu(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu_runs)

    @property
    def n_runs(self) -> int:
        """How many runs were timed."""
        return len(self.wall_runs)


def side_by_side(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """Return the timings of every call: ``repeats`` rounds, each call once a round.

    Other work on the machine then falls on all of them alike. Warm up before.
    """
    found = {name: Timing() for name in calls}
    for turn in range(repeats):
        for name, call in calls.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            found[name].cpu_runs.append(time.process_time() - cpu)
            found[name].wall_runs.append(time.perf_counter() - wall)
            print(
                f"round {turn + 1}/{repeats}  {name}: {found[name].cpu_runs[-1]:.4f} CPU s",
                file=sys.stderr,
                flush=True,
            )
    return found
