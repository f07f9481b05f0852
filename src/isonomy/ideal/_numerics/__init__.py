"""Roots, orthogonal factors and descent: numerical tools of several programmes."""
