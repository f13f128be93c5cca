"""The operator's pages, rendered by the server: fleet, incidents, records, events, alerts, models and settings.

Every page works without JavaScript, keeps its state in its address, and uses the use cases of the API.
"""

from jobs.api.pages.incident_picture import MAX_PICTURES
from jobs.api.pages.latent_map import MAX_MAPS
from jobs.api.pages.managing import router as managing
from jobs.api.pages.operating import router as operating
from jobs.api.pages.routes import router
from jobs.api.pages.slow_work import ResultCache, SlowWork
from jobs.api.pages.tuning import router as tuning

ROUTERS = (operating, tuning, managing, router)  # the last one answers every other path

__all__ = ["MAX_MAPS", "MAX_PICTURES", "ROUTERS", "ResultCache", "SlowWork"]
