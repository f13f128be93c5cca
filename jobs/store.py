"""The service's own tables, as one object; one method is one transaction."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from jobs.anomalies import Anomalies, AnomalyQuery, StoredAnomaly
from jobs.databases import reading, writing
from jobs.join_view import join_view
from jobs.ledger import Batch, Ledger
from jobs.models import Champion, Models, NewModel, StoredModel
from jobs.results import Anomaly, BatchResult, HourCount
from jobs.runs import MonitorStatus, Run, Runs
from jobs.schema import refuse_other_revision
from schemas.views import joined_name, replace_view

if TYPE_CHECKING:
    from jobs.source import Source

__all__ = [
    "Anomaly",
    "AnomalyQuery",
    "Batch",
    "BatchResult",
    "Champion",
    "HourCount",
    "MonitorStatus",
    "NewModel",
    "Run",
    "Store",
    "StoredAnomaly",
    "StoredModel",
]


class Store(Models, Ledger, Anomalies, Runs):
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
