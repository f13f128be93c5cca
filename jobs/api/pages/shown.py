"""Dependencies of pages: rows that the caller may see."""

from typing import Annotated

from fastapi import Depends

from jobs.api.anomalies import show_anomaly
from jobs.api.incidents import show_incident
from jobs.api.maintenance import find_window
from jobs.api.models import find_model
from jobs.store import StoredAnomaly, StoredIncident, StoredModel, StoredWindow

ShownIncident = Annotated[StoredIncident, Depends(show_incident)]
ShownAnomaly = Annotated[StoredAnomaly, Depends(show_anomaly)]
ShownModel = Annotated[StoredModel, Depends(find_model)]
ShownWindow = Annotated[StoredWindow, Depends(find_window)]
