"""Methods to stand beside isonomy's own, one per file, behind the same interface."""

from isonomy.baselines.leace import LEACE
from isonomy.baselines.mean_matching import MeanMatching
from isonomy.baselines.mimic import MiMiC
from isonomy.baselines.reweighing import Reweighing

__all__ = ["LEACE", "MeanMatching", "MiMiC", "Reweighing"]
