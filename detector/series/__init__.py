"""Models of series: consecutive records of entities, scored with their past."""

from detector.core.threshold_tracking import Tracker
from detector.series.entity_model import Causes
from detector.series.model import SeriesModel
from detector.series.series import Series
from detector.series.settings import SeriesSettings

__all__ = ["Causes", "Series", "SeriesModel", "SeriesSettings", "Tracker"]
