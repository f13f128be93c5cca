"""The operator's pages, rendered by the server: fleet, incidents, records, events, alerts and models.

Every page works without JavaScript, keeps its state in its address, and uses the use cases of the API.
"""

from jobs.api.pages.incident_picture import PictureCache
from jobs.api.pages.routes import router
from jobs.api.pages.turns import Turns

__all__ = ["PictureCache", "Turns", "router"]
