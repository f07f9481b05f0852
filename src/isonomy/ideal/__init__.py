"""Ideal distributions: what they are, the nearest one, and what it certifies."""

from isonomy.ideal.nearest import IdealSolution, nearest_ideal

__all__ = [
    "IdealSolution",
    "nearest_ideal",
]
