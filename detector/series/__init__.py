"""Models of series: consecutive records of entities, scored with their past."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import a public name on first use: scoring of single records needs the modules of segments alone."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_MODULES[name]), name)
