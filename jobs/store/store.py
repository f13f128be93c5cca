"""The service's own tables, as one object; one method is one transaction."""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from jobs.databases import reading, writing
from jobs.store.anomalies import Anomalies
from jobs.store.api_keys import ApiKeys
from jobs.store.drifts import Drifts
from jobs.store.events import Events
from jobs.store.feedback import FeedbackReader
from jobs.store.incidents import Incidents
from jobs.store.join_view import join_view
from jobs.store.ledger import Ledger
from jobs.store.measures import Measuring
from jobs.store.models import Models
from jobs.store.outbox import Outbox
from jobs.store.overviews import Overviews
from jobs.store.recounts import Recounts
from jobs.store.requests import Requests
from jobs.store.runs import Runs
from jobs.store.schema import refuse_other_revision
from jobs.store.trackers import Trackers
from jobs.store.workers import Workers
from schemas.errors import StoreError
from schemas.views import is_taken, joined_name, replace_view

if TYPE_CHECKING:
    from jobs.reading.source import Source


class Store(
    Models,
    Requests,
    FeedbackReader,
    Ledger,
    Recounts,
    Trackers,
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
        """Build the view of a monitor's anomalies beside their records; its name, None in separate databases.

        Raises:
            StoreError: where the database refuses, or something that is not ours has the name.
            SourceError: where the watched table or a column does not exist.
        """
        if source.engine.url != self.engine.url:
            return None
        statement = join_view(monitor, source.watched())
        name = joined_name(monitor)
        with writing(self.engine) as connection:
            if is_taken(connection, name):
                raise StoreError(_name_taken(name, monitor))
            replace_view(connection, name, statement)
        return name


def _name_taken(name: str, monitor: str) -> str:
    return (
        f"The name {name} of the view of flagged rows beside their records is taken by a table or view that Plumbline "
        f"did not make. Rename that, and the next training of monitor {monitor!r} builds the view."
    )
