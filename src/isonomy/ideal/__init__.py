"""Ideal distributions: what they are, the nearest one, and what it certifies."""

from isonomy.ideal._categorical.flips import FlipMap
from isonomy.ideal._state import solution_from_state, solution_to_state
from isonomy.ideal.bayes import BayesRates, bayes_rates
from isonomy.ideal.certificates import Certificate, certify
from isonomy.ideal.criteria import ideal_violation, is_ideal
from isonomy.ideal.frontier import (
    Frontier,
    FrontierPoint,
    least_violation,
    violation_frontier,
)
from isonomy.ideal.nearest import IdealSolution, nearest_ideal
from isonomy.ideal.partial import partial_ideal

__all__ = [
    "BayesRates",
    "Certificate",
    "FlipMap",
    "Frontier",
    "FrontierPoint",
    "IdealSolution",
    "bayes_rates",
    "certify",
    "ideal_violation",
    "is_ideal",
    "least_violation",
    "nearest_ideal",
    "partial_ideal",
    "solution_from_state",
    "solution_to_state",
    "violation_frontier",
]
