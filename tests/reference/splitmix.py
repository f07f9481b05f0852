"""SplitMix64 in plain Python integers, step by step as published."""

from __future__ import annotations

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    """Return the finaliser of Steele, Lea and Flood (2014), figure 16."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def splitmix_draw(row: int, seed: int) -> float:
    """Return output number ``row`` of the generator started at the mixed seed, in [0, 1)."""
    state = mix((seed + GOLDEN) & MASK)
    state = (state + (row + 1) * GOLDEN) & MASK
    return (mix(state) >> 11) / 2**53
