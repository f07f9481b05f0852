"""Find places for short labels beside points, so that they cover neither each other nor a point."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["place_labels"]

Place = tuple[float, float]
Box = tuple[float, float, float, float]

_DOT = 5.0
_RADII = (10.0, 16.0, 26.0, 38.0, 52.0)
_DIRECTIONS = 12


def place_labels(points: Sequence[Place], sizes: Sequence[Place], frame: Place) -> list[Place]:
    """Return the lower left corner of every label, in the pixels of ``points``.

    Parameters
    ----------
    points : sequence of (x, y)
        Inside the frame.
    sizes : sequence of (width, height)
        Of the labels.
    frame : (width, height)
        Labels stay inside.

    Returns
    -------
    list of (x, y)
        One after another each label takes the nearest free place around its point, above
        to the right first; where none is free, the one that covers least.

    Examples
    --------
    >>> place_labels([(50, 50)], [(10, 14)], (100, 100))
    [(55.607, 55.021)]
    """
    taken: list[Box] = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
    found = []
    for point, size in zip(points, sizes, strict=True):
        boxes = [b for b in _around(point, size) if _inside(b, frame)]
        best = min(boxes or _around(point, size), key=lambda b: sum(_overlap(b, t) for t in taken))
        taken.append(best)
        found.append((round(best[0], 3), round(best[1], 3)))
    return found


def _around(point: Place, size: Place) -> list[Box]:
    """Return boxes at growing distance from the point; the nearer comes first."""
    boxes = []
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            angle = math.pi / 4 + 2 * math.pi * step / _DIRECTIONS
            across, up = math.cos(angle), math.sin(angle)
            x = point[0] + radius * across + (across - 1) / 2 * size[0]
            y = point[1] + radius * up + (up - 1) / 2 * size[1]
            boxes.append((x, y, x + size[0], y + size[1]))
    return boxes


def _inside(box: Box, frame: Place) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= frame[0] and box[3] <= frame[1]


def _overlap(a: Box, b: Box) -> float:
    across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return round(max(across, 0.0) * max(up, 0.0), 6)
