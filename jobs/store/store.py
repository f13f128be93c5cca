"""The service's own tables, as one object; one method is one transaction."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from jobs.databases import reading, writing
from jobs.store.anomalies import Anomalies, AnomalyQuery, StoredAnomaly
from jobs.store.api_keys import ApiKey, ApiKeys
from jobs.store.drifts import Drifts
from jobs.store.events import EventQuery, Events, NewEvent, StoredEvent
from jobs.store.feedback import Feedback, FeedbackReader
from jobs.store.incidents import IncidentQuery, Incidents, StoredIncident
from jobs.store.join_view import join_view
from jobs.store.ledger import Batch, Ledger
from jobs.store.measures import Measuring
from jobs.store.models import Asked, Champion, Models, NewModel, StoredModel
from jobs.store.outbox import Delivery, Outbox
from jobs.store.overviews import MonitorOverview, Overviews
from jobs.store.recounts import Recounts
from jobs.store.requests import ClaimedRequest, RequestQuery, Requests, RetrainRequest
from jobs.store.results import Anomaly, BatchResult, HourCount
from jobs.store.runs import MonitorStatus, Run, Runs
from jobs.store.schema import refuse_other_revision
from jobs.store.workers import Worker, Workers
from schemas.views import joined_name, replace_view

if TYPE_CHECKING:
    from jobs.reading.source import Source

__all__ = [
    "Anomaly",
    "AnomalyQuery",
    "ApiKey",
    "Asked",
    "Batch",
    "BatchResult",
    "Champion",
    "ClaimedRequest",
    "Delivery",
    "EventQuery",
    "Feedback",
    "HourCount",
    "IncidentQuery",
    "MonitorOverview",
    "MonitorStatus",
    "NewEvent",
    "NewModel",
    "RequestQuery",
    "RetrainRequest",
    "Run",
    "Store",
    "StoredAnomaly",
    "StoredEvent",
    "StoredIncident",
    "StoredModel",
    "Worker",
]


class Store(
    Models,
    Requests,
    FeedbackReader,
    Ledger,
    Recounts,
    Drifts,
    Events,
    Anomalies,
    Incidents,
    Outbox,
    Overviews,
    Runs,
    Workers,
    Measuring,
    ApiKeys,
):
    """The store.

    Args:
        engine: of the store's database.

    Raises:
        StoreError: where the database cannot be reached, or its schema is not this version's.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        with reading(engine) as connection:
            refuse_other_revision(connection)

    def create_join_view(self, monitor: str, source: "Source") -> str | None:
        """Build the view of a monitor's anomalies beside their records; its name, None in separate databases."""
        if source.engine.url != self.engine.url:
            return None
        statement = join_view(monitor, source.watched())
        name = joined_name(monitor)
        with writing(self.engine) as connection:
            replace_view(connection, name, statement)
        return name
