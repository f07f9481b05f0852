"""Several methods on one split, judged on the same rows by the same audit."""

from isonomy.comparison._compare import compare_methods
from isonomy.comparison._inferred import compare_inferred
from isonomy.comparison.methods import (
    BUILT_IN,
    DEFAULT_METHODS,
    Method,
    calibrated,
    find_method,
)
from isonomy.comparison.probe_cost import CostPoint, ProbeCost, probe_cost_curve

__all__ = [
    "BUILT_IN",
    "DEFAULT_METHODS",
    "CostPoint",
    "Method",
    "ProbeCost",
    "calibrated",
    "compare_inferred",
    "compare_methods",
    "find_method",
    "probe_cost_curve",
]
