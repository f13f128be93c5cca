"""Models of series: consecutive records of entities, scored with their past."""

from typing import TYPE_CHECKING

from schemas.lazy_names import lazy_names

if TYPE_CHECKING:
    from detector.core.threshold_tracking import Tracker
    from detector.series.entity_model import Causes
    from detector.series.model import SeriesModel
    from detector.series.series import Series
    from detector.series.settings import SeriesSettings

__all__ = ["Causes", "Series", "SeriesModel", "SeriesSettings", "Tracker"]

_MODULES = {
    "Causes": "detector.series.entity_model",
    "Series": "detector.series.series",
    "SeriesModel": "detector.series.model",
    "SeriesSettings": "detector.series.settings",
    "Tracker": "detector.core.threshold_tracking",
}


__getattr__ = lazy_names(__name__, _MODULES)  # scoring of single records needs the modules of segments alone
