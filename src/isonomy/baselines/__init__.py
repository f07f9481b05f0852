"""Methods to stand beside isonomy's own, one per file, behind the same interface."""

from isonomy.baselines.difference_of_means import DifferenceOfMeans
from isonomy.baselines.disparate_impact import DisparateImpactRemover
from isonomy.baselines.inlp import INLP
from isonomy.baselines.leace import LEACE
from isonomy.baselines.leace_oracle import OracleLEACE
from isonomy.baselines.leace_quadratic import QuadraticLEACE
from isonomy.baselines.linear_post import LinearPost
from isonomy.baselines.mean_matching import MeanMatching
from isonomy.baselines.mimic import MiMiC
from isonomy.baselines.oversampling import Oversampling
from isonomy.baselines.reweighing import Reweighing
from isonomy.baselines.undersampling import Undersampling

__all__ = [
    "INLP",
    "LEACE",
    "DifferenceOfMeans",
    "DisparateImpactRemover",
    "LinearPost",
    "MeanMatching",
    "MiMiC",
    "OracleLEACE",
    "Oversampling",
    "QuadraticLEACE",
    "Reweighing",
    "Undersampling",
]
