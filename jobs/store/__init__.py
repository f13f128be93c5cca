"""The service's own tables: the store and its value objects, each imported when it is first used."""

from typing import TYPE_CHECKING

from schemas.lazy_names import lazy_names

if TYPE_CHECKING:
    from jobs.store.anomalies import AnomalyQuery, StoredAnomaly
    from jobs.store.api_keys import ApiKey
    from jobs.store.audit import AuditQuery, RecordedAct
    from jobs.store.batch_result import Anomaly, BatchResult, HourCount, ThresholdChange
    from jobs.store.events import EventQuery, NewEvent, StoredEvent
    from jobs.store.feedback import Feedback
    from jobs.store.incident_notes import Handling, IncidentNote, NewNote
    from jobs.store.incidents import IncidentQuery, StoredIncident
    from jobs.store.ledger import Batch
    from jobs.store.maintenance_windows import NewWindow, StoredWindow
    from jobs.store.models import Champion, NewModel, ServedRequest, StoredModel
    from jobs.store.outbox import AlertQuery, Delivery, StoredAlert
    from jobs.store.overviews import MonitorOverview
    from jobs.store.requests import ClaimedRequest, RequestQuery, RetrainRequest
    from jobs.store.runs import MonitorStatus, Run
    from jobs.store.store import Store
    from jobs.store.tunings import StoredTuning
    from jobs.store.workers import Worker

__all__ = [
    "AlertQuery",
    "Anomaly",
    "AnomalyQuery",
    "ApiKey",
    "AuditQuery",
    "Batch",
    "BatchResult",
    "Champion",
    "ClaimedRequest",
    "Delivery",
    "EventQuery",
    "Feedback",
    "Handling",
    "HourCount",
    "IncidentNote",
    "IncidentQuery",
    "MonitorOverview",
    "MonitorStatus",
    "NewEvent",
    "NewModel",
    "NewNote",
    "NewWindow",
    "RecordedAct",
    "RequestQuery",
    "RetrainRequest",
    "Run",
    "ServedRequest",
    "Store",
    "StoredAlert",
    "StoredAnomaly",
    "StoredEvent",
    "StoredIncident",
    "StoredModel",
    "StoredTuning",
    "StoredWindow",
    "ThresholdChange",
    "Worker",
]

_MODULES = {
    "AlertQuery": "outbox",
    "Anomaly": "batch_result",
    "AnomalyQuery": "anomalies",
    "ApiKey": "api_keys",
    "AuditQuery": "audit",
    "Batch": "ledger",
    "BatchResult": "batch_result",
    "Champion": "models",
    "ClaimedRequest": "requests",
    "Delivery": "outbox",
    "EventQuery": "events",
    "Feedback": "feedback",
    "Handling": "incident_notes",
    "HourCount": "batch_result",
    "IncidentNote": "incident_notes",
    "IncidentQuery": "incidents",
    "MonitorOverview": "overviews",
    "MonitorStatus": "runs",
    "NewEvent": "events",
    "NewModel": "models",
    "NewNote": "incident_notes",
    "NewWindow": "maintenance_windows",
    "RecordedAct": "audit",
    "RequestQuery": "requests",
    "RetrainRequest": "requests",
    "Run": "runs",
    "ServedRequest": "models",
    "Store": "store",
    "StoredAlert": "outbox",
    "StoredAnomaly": "anomalies",
    "StoredEvent": "events",
    "StoredIncident": "incidents",
    "StoredModel": "models",
    "StoredTuning": "tunings",
    "StoredWindow": "maintenance_windows",
    "ThresholdChange": "batch_result",
    "Worker": "workers",
}


# Most commands need few parts of the store, which all take long to import.
__getattr__ = lazy_names(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
