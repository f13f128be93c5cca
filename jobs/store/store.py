"""The service's own tables, with one part for each purpose; one method is one transaction."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select

from jobs.databases import reading, writing
from jobs.dialects import dialect_of
from jobs.store.schema import refuse_other_revision
from schemas.errors import StoreError
from schemas.views import drop_own_view, is_taken, joined_name, replace_view

if TYPE_CHECKING:
    from jobs.store.alert_history import AlertHistory
    from jobs.store.alerts import AlertTexts
    from jobs.store.anomalies import Anomalies
    from jobs.store.api_keys import ApiKeys
    from jobs.store.audit import Audit
    from jobs.store.drifts import Drifts
    from jobs.store.entities import Entities
    from jobs.store.events import EventLog, Events
    from jobs.store.feedback import FeedbackReader
    from jobs.store.history import History
    from jobs.store.incident_notes import IncidentNotes
    from jobs.store.incidents import Incidents
    from jobs.store.labelled_examples import LabelledExamples
    from jobs.store.ledger import Ledger
    from jobs.store.maintenance_windows import MaintenanceWindows
    from jobs.store.metrics import MetricsReader
    from jobs.store.models import CardReader, Models
    from jobs.store.monitors import Monitors
    from jobs.store.outbox import Outbox
    from jobs.store.overviews import Overviews
    from jobs.store.recounting import Recounting
    from jobs.store.requests import RetrainRequests
    from jobs.store.retention import Retention
    from jobs.store.runs import Runs
    from jobs.store.threshold_states import ThresholdStates
    from jobs.store.tunings import Tunings
    from jobs.store.turns import Turns
    from jobs.store.unannounced import UnannouncedIncidents
    from jobs.store.unreadable import UnreadableRecords
    from jobs.store.workers import Workers


class Store:
    """The store, composed of its parts, which are imported when they are first used.

    Args:
        engine: of the store's database.
        texts: write the texts of alerts.
        read_card: reads the JSON of a model card.

    Raises:
        StoreError: If the database cannot be reached, or its schema is not this version's.
    """

    def __init__(self, engine: Engine, texts: "AlertTexts", read_card: "CardReader") -> None:
        self.engine, self._texts, self._read_card = engine, texts, read_card
        self.refuse_unready()

    @cached_property
    def ledger(self) -> "Ledger":
        """Batches, from planned to done."""
        from jobs.store.ledger import Ledger

        return Ledger(self.engine, self._texts)

    @cached_property
    def recounting(self) -> "Recounting":
        """Recounts of finished batches."""
        from jobs.store.recounting import Recounting

        return Recounting(self.engine, self._event_log)

    @cached_property
    def unreadable(self) -> "UnreadableRecords":
        """Records that cannot be read."""
        from jobs.store.unreadable import UnreadableRecords

        return UnreadableRecords(self.engine)

    @cached_property
    def threshold_states(self) -> "ThresholdStates":
        """Tracked thresholds of entities."""
        from jobs.store.threshold_states import ThresholdStates

        return ThresholdStates(self.engine)

    @cached_property
    def turns(self) -> "Turns":
        """Of batches that decide in order."""
        from jobs.store.turns import Turns

        return Turns(self.engine)

    @cached_property
    def models(self) -> "Models":
        """Trained models."""
        from jobs.store.models import Models

        return Models(self.engine, self._event_log, self._read_card)

    @cached_property
    def requests(self) -> "RetrainRequests":
        """Retrain requests."""
        from jobs.store.requests import RetrainRequests

        return RetrainRequests(self.engine, self._event_log)

    @cached_property
    def feedback(self) -> "FeedbackReader":
        """Labels and incidents for training."""
        from jobs.store.feedback import FeedbackReader

        return FeedbackReader(self.engine)

    @cached_property
    def labelled_examples(self) -> "LabelledExamples":
        """Labelled records, by which look-alikes are recognised."""
        from jobs.store.labelled_examples import LabelledExamples

        return LabelledExamples(self.engine)

    @cached_property
    def anomalies(self) -> "Anomalies":
        """Flagged records."""
        from jobs.store.anomalies import Anomalies

        return Anomalies(self.engine)

    @cached_property
    def incidents(self) -> "Incidents":
        """Anomalies of one entity close in time, merged."""
        from jobs.store.incidents import Incidents

        return Incidents(self.engine, self._texts)

    @cached_property
    def incident_notes(self) -> "IncidentNotes":
        """Who acknowledged, assigned and commented incidents."""
        from jobs.store.incident_notes import IncidentNotes

        return IncidentNotes(self.engine)

    @cached_property
    def unannounced(self) -> "UnannouncedIncidents":
        """Incidents that were found too late to be alerted."""
        from jobs.store.unannounced import UnannouncedIncidents

        return UnannouncedIncidents(self.engine, self._event_log)

    @cached_property
    def events(self) -> "Events":
        """Gaps, late records, drift and other events."""
        from jobs.store.events import Events

        return Events(self.engine, self._event_log)

    @cached_property
    def entities(self) -> "Entities":
        """Rhythms of entities, and which are retired."""
        from jobs.store.entities import Entities

        return Entities(self.engine, self._event_log)

    @cached_property
    def drifts(self) -> "Drifts":
        """Drift assessments."""
        from jobs.store.drifts import Drifts

        return Drifts(self.engine, self._event_log)

    @cached_property
    def outbox(self) -> "Outbox":
        """Alerts to deliver."""
        from jobs.store.outbox import Outbox

        return Outbox(self.engine)

    @cached_property
    def runs(self) -> "Runs":
        """Executions of jobs."""
        from jobs.store.runs import Runs

        return Runs(self.engine)

    @cached_property
    def workers(self) -> "Workers":
        """Processes that serve."""
        from jobs.store.workers import Workers

        return Workers(self.engine)

    @cached_property
    def overviews(self) -> "Overviews":
        """Status and recent numbers of a monitor."""
        from jobs.store.overviews import Overviews

        return Overviews(self.engine)

    @cached_property
    def history(self) -> "History":
        """Numbers of a monitor over time, for reports."""
        from jobs.store.history import History

        return History(self.engine)

    @cached_property
    def alert_history(self) -> "AlertHistory":
        """Numbers of alerts, and of incidents that were held back."""
        from jobs.store.alert_history import AlertHistory

        return AlertHistory(self.engine)

    @cached_property
    def metrics(self) -> "MetricsReader":
        """Numbers of every monitor, for Prometheus."""
        from jobs.store.metrics import MetricsReader

        return MetricsReader(self.engine)

    @cached_property
    def api_keys(self) -> "ApiKeys":
        """Digests of API keys."""
        from jobs.store.api_keys import ApiKeys

        return ApiKeys(self.engine)

    @cached_property
    def audit(self) -> "Audit":
        """Who did what."""
        from jobs.store.audit import Audit

        return Audit(self.engine)

    @cached_property
    def maintenance_windows(self) -> "MaintenanceWindows":
        """Maintenance windows that people stored."""
        from jobs.store.maintenance_windows import MaintenanceWindows

        return MaintenanceWindows(self.engine)

    @cached_property
    def tunings(self) -> "Tunings":
        """Settings of monitors that people stored."""
        from jobs.store.tunings import Tunings

        return Tunings(self.engine)

    @cached_property
    def monitors(self) -> "Monitors":
        """Their names; a monitor is renamed or deleted with all its rows."""
        from jobs.store.monitors import Monitors

        return Monitors(self.engine)

    @cached_property
    def retention(self) -> "Retention":
        """Deletion of old rows."""
        from jobs.store.retention import Retention

        return Retention(self.engine)

    @cached_property
    def _event_log(self) -> "EventLog":
        from jobs.store.events import EventLog

        return EventLog(self._texts)

    @property
    def serves_threads(self) -> bool:
        """Whether threads may use it side by side; a database in memory belongs to the thread that opened it."""
        return not dialect_of(self.engine).is_in_memory(self.engine.url)

    def refuse_unready(self) -> None:
        """Check that the database is reachable and has this version's tables.

        Raises:
            StoreError: If the database is not reachable, or its tables are of another version.
        """
        with reading(self.engine) as connection:
            refuse_other_revision(connection)

    def replace_join_view(self, monitor: str, statement: Select[Any]) -> str:
        """Create the view of a monitor's anomalies next to their records and return its name.

        Raises:
            StoreError: If the database refuses, or a table or view that is not ours has the name.
        """
        name = joined_name(monitor)
        with writing(self.engine) as connection:
            if is_taken(connection, name):
                raise StoreError(_name_taken(name, monitor))
            replace_view(connection, name, statement)
        return name

    def drop_join_view(self, monitor: str) -> None:
        """Drop the view of a monitor's anomalies next to their records, if there is one.

        Raises:
            StoreError: If the database refuses.
        """
        with writing(self.engine) as connection:
            drop_own_view(connection, joined_name(monitor))


def _name_taken(name: str, monitor: str) -> str:
    return (
        f"The name {name} of the view of flagged records next to their source rows is taken by a table or view that "
        f"Plumbline did not create. Rename it; the next training of monitor {monitor!r} creates the view."
    )
