"""The operator's pages, rendered by the server: fleet, incidents, records, events, alerts and models.

Every page works without JavaScript, keeps its state in its address, and uses the use cases of the API.
"""

from jobs.api.pages.incident_picture import MAX_PICTURES
from jobs.api.pages.latent_map import MAX_MAPS
from jobs.api.pages.routes import router
from jobs.api.pages.turns import ResultCache, Turns

__all__ = ["MAX_MAPS", "MAX_PICTURES", "ResultCache", "Turns", "router"]
