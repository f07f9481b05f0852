"""Several methods on one split, judged on the same rows by the same audit."""

from isonomy.comparison._compare import compare_methods
from isonomy.comparison.methods import BUILT_IN, DEFAULT_METHODS, Method, find_method

__all__ = ["BUILT_IN", "DEFAULT_METHODS", "Method", "compare_methods", "find_method"]
