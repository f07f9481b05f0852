"""Laws of cells and their joint laws, their moments, affine maps and transforms."""

from isonomy.distributions.affine import AffineMap
from isonomy.distributions.categorical import Categorical
from isonomy.distributions.categorical_joint import CategoricalJoint
from isonomy.distributions.families import FamilyChoice, choose_family
from isonomy.distributions.goodness import GoodnessOfFit, goodness_of_fit
from isonomy.distributions.joint import JointDistribution
from isonomy.distributions.lognormal import LogNormal
from isonomy.distributions.mixed import MixedJoint
from isonomy.distributions.mixture import NormalMixture
from isonomy.distributions.mixture_joint import MixtureJoint
from isonomy.distributions.moments import CellMoments
from isonomy.distributions.monotone import MonotoneSpline
from isonomy.distributions.nonparanormal import Nonparanormal
from isonomy.distributions.normal import Normal, kl_divergence
from isonomy.distributions.student_t import StudentT
from isonomy.distributions.transforms import MarginalTransform

__all__ = [
    "AffineMap",
    "Categorical",
    "CategoricalJoint",
    "CellMoments",
    "FamilyChoice",
    "GoodnessOfFit",
    "JointDistribution",
    "LogNormal",
    "MarginalTransform",
    "MixedJoint",
    "MixtureJoint",
    "MonotoneSpline",
    "Nonparanormal",
    "Normal",
    "NormalMixture",
    "StudentT",
    "choose_family",
    "goodness_of_fit",
    "kl_divergence",
]
