"""Normal and log-normal cells, their joint law, their moments and affine maps."""

from isonomy.distributions.affine import AffineMap
from isonomy.distributions.joint import JointDistribution
from isonomy.distributions.lognormal import LogNormal
from isonomy.distributions.moments import CellMoments
from isonomy.distributions.normal import Normal, kl_divergence

__all__ = [
    "AffineMap",
    "CellMoments",
    "JointDistribution",
    "LogNormal",
    "Normal",
    "kl_divergence",
]
