"""Steerers and what is built on them: rows in, rows or decisions out."""

from isonomy.steering.calibration import GapCalibrator
from isonomy.steering.classifier import SteeredClassifier
from isonomy.steering.ideal import IdealSteerer
from isonomy.steering.transport import repair

__all__ = ["GapCalibrator", "IdealSteerer", "SteeredClassifier", "repair"]
