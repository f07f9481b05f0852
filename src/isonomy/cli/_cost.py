"""What a run cost: rows, seconds, rows a second, peak memory."""

from __future__ import annotations

import sys
import time

__all__ = ["Clock", "peak_megabytes"]


class Clock:
    """Running since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def cost(self, n_rows: int) -> str:
        """Return one line on what was done since."""
        seconds = time.perf_counter() - self._start
        pace = f"{n_rows / seconds:,.0f}" if seconds > 0 else "-"
        peak = peak_megabytes()
        memory = "" if peak is None else f", peak memory {peak:,.0f} MB"
        return f"Cost: {seconds:.1f} s for {n_rows} rows ({pace} rows a second){memory}."


def peak_megabytes() -> float | None:
    """Return the largest resident memory of this process so far; None where not known."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
