"""Incidents that resemble another one by their causes, whatever their entity."""

import numpy as np

from jobs.look_alikes import distances_of
from jobs.store import IncidentQuery, Store, StoredIncident

_MAX_COMPARED = 300  # of the newest incidents of a monitor
_MAX_SIMILAR = 10
_RADIUS = 0.5  # the largest distance between causes


def similar_incidents(incident: StoredIncident, store: Store) -> list[StoredIncident]:
    """Return up to ten of the newest incidents of a monitor with the same main cause, the most similar first."""
    newest = store.incidents.page(IncidentQuery(incident.monitor, limit=_MAX_COMPARED))
    same_cause = [other for other in newest if other.top_feature == incident.top_feature and other.causes]
    compared = [other for other in same_cause if other.id != incident.id]
    if not compared or not incident.causes:
        return []
    distances = distances_of(incident.causes, [other.causes for other in compared])
    nearest = np.argsort(distances, kind="stable")[:_MAX_SIMILAR]
    return [compared[position] for position in nearest if distances[position] <= _RADIUS]
