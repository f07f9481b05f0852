"""Other packages' methods behind our interface; each needs its package, imported when used."""

from isonomy.comparison.bridges.correlation_remover import CorrelationRemoverBridge
from isonomy.comparison.bridges.exponentiated_gradient import ExponentiatedGradientBridge
from isonomy.comparison.bridges.threshold_optimizer import ThresholdOptimizerBridge

__all__ = [
    "CorrelationRemoverBridge",
    "ExponentiatedGradientBridge",
    "ThresholdOptimizerBridge",
]
