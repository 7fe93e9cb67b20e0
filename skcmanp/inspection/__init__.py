"""Displays, in scikit-learn's manner, of any regressor whose ``predict`` knows ``return_std``; they need matplotlib."""

from skcmanp.inspection.calibration import CalibrationDisplay
from skcmanp.inspection.intervals import PredictionIntervalDisplay
from skcmanp.inspection.stream import StreamDisplay

__all__ = ["CalibrationDisplay", "PredictionIntervalDisplay", "StreamDisplay"]
