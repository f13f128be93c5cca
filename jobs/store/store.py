"""The service's own tables, with one part for each purpose; one method is one transaction."""

from typing import Any

from sqlalchemy import Engine, Select

from jobs.databases import reading, writing
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
from jobs.store.schema import refuse_other_revision
from jobs.store.threshold_states import ThresholdStates
from jobs.store.tunings import Tunings
from jobs.store.turns import Turns
from jobs.store.unannounced import UnannouncedIncidents
from jobs.store.unreadable import UnreadableRecords
from jobs.store.workers import Workers
from schemas.errors import StoreError
from schemas.views import drop_own_view, is_taken, joined_name, replace_view


class Store:
    """The store, composed of its parts.

    Args:
        engine: of the store's database.
        texts: write the texts of alerts.
        read_card: reads the JSON of a model card.

    Attributes:
        ledger: batches, from planned to done.
        recounting: recounts of finished batches.
        unreadable: records that cannot be read.
        threshold_states: tracked thresholds of entities.
        turns: of batches that decide in order.
        models: trained models.
        requests: retrain requests.
        feedback: labels and incidents for training.
        labelled_examples: labelled records, by which look-alikes are recognised.
        anomalies: flagged records.
        incidents: anomalies of one entity close in time, merged.
        incident_notes: who acknowledged, assigned and commented incidents.
        unannounced: incidents that were found too late to be alerted.
        events: gaps, late records, drift and other events.
        entities: rhythms of entities, and which are retired.
        drifts: drift assessments.
        outbox: alerts to deliver.
        runs: executions of jobs.
        workers: processes that serve.
        overviews: status and recent numbers of a monitor.
        history: numbers of a monitor over time, for reports.
        alert_history: numbers of alerts, and of incidents that were held back.
        metrics: numbers of every monitor, for Prometheus.
        api_keys: digests of API keys.
        audit: who did what.
        maintenance_windows: maintenance windows that people stored.
        tunings: settings of monitors that people stored.
        monitors: their names; a monitor is renamed or deleted with all its rows.
        retention: deletion of old rows.

    Raises:
        StoreError: If the database cannot be reached, or its schema is not this version's.
    """

    def __init__(self, engine: Engine, texts: AlertTexts, read_card: CardReader) -> None:
        self.engine = engine
        event_log = EventLog(texts)
        self.ledger = Ledger(engine, texts)
        self.recounting = Recounting(engine, event_log)
        self.unreadable = UnreadableRecords(engine)
        self.threshold_states = ThresholdStates(engine)
        self.turns = Turns(engine)
        self.models = Models(engine, event_log, read_card)
        self.requests = RetrainRequests(engine, event_log)
        self.feedback = FeedbackReader(engine)
        self.labelled_examples = LabelledExamples(engine)
        self.anomalies = Anomalies(engine)
        self.incidents = Incidents(engine, texts)
        self.incident_notes = IncidentNotes(engine)
        self.unannounced = UnannouncedIncidents(engine, event_log)
        self.events = Events(engine, event_log)
        self.entities = Entities(engine, event_log)
        self.drifts = Drifts(engine, event_log)
        self.outbox = Outbox(engine)
        self.runs = Runs(engine)
        self.workers = Workers(engine)
        self.overviews = Overviews(engine)
        self.history = History(engine)
        self.alert_history = AlertHistory(engine)
        self.metrics = MetricsReader(engine)
        self.api_keys = ApiKeys(engine)
        self.audit = Audit(engine)
        self.maintenance_windows = MaintenanceWindows(engine)
        self.tunings = Tunings(engine)
        self.monitors = Monitors(engine)
        self.retention = Retention(engine)
        self.refuse_unready()

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
