"""Data with known truth: biased normals and synthetic biographies."""

from isonomy.datasets.biographies import make_biographies
from isonomy.datasets.synthetic import make_biased_normals

__all__ = ["make_biased_normals", "make_biographies"]
