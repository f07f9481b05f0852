"""Data with known truth (biased normals, synthetic biographies), and readers of real data."""

from isonomy.datasets.biographies import make_biographies
from isonomy.datasets.encoding import encode_table
from isonomy.datasets.real_biographies import load_biographies
from isonomy.datasets.synthetic import make_biased_normals
from isonomy.datasets.tables import TABLES, load_table

__all__ = [
    "TABLES",
    "encode_table",
    "load_biographies",
    "load_table",
    "make_biased_normals",
    "make_biographies",
]
