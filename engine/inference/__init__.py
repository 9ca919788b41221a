"""Use of trained networks: on images outside of any run."""

from engine.inference.calibration import calibrate
from engine.inference.classifier import Classifier, load_classifier

__all__ = ["Classifier", "calibrate", "load_classifier"]
