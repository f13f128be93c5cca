"""A watched table that is written to while it is scored, with a clock that the test sets."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import BigInteger, Column, DateTime, Double, MetaData, Table, Text, delete, insert, select, update

from detector.core.about import About
from detector.records.card import RecordCard
from jobs.databases import reading, writing
from jobs.reading.source import Source
from jobs.scoring.run import score_monitor
from jobs.store import NewModel
from schemas.config import MonitorConfig
from schemas.frames import Cause, Explanation
from schemas.tables import anomalies, batch_hours, batches

START = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = NewModel(b"\x00weights", "ab" * 32, {"format": 1}, RecordCard(epochs=5))
NAMES = {
    "table": "readings",
    "key": "id",
    "time": "read_at",
    "updated": "changed_at",
    "entity": "pump",
    "value": "flow",
}
HOSTILE = {
    "table": 'read"ings; DROP TABLE batches --',
    "key": "select",
    "time": "read at",
    "updated": "chan'ged:at",
    "entity": "%(pump)s",
    "value": 'fl"ow',
}


class RuleScorer:
    """Scores a record by one value, in place of a trained model: above the threshold it is an anomaly."""

    about = About()
    profile = None
    context_rows = 0

    def __init__(self, value="flow", threshold=3.0):
        self.value, self.threshold = value, threshold

    def bind(self, _page, _read_past, _trackers=None):
        return self

    def trackers(self, _stored, _usual_after):
        return None

    def unknown_entities(self, _names):
        return []

    def normal_band(self):
        return None

    def score(self, records, _vae_of="none"):
        scores = records[self.value].to_numpy(dtype=float)
        columns = {"anomaly_score": scores, "p_value": 1 / (1 + np.abs(scores)), "severity": np.clip(scores, 0, 100)}
        flags = {"threshold": self.threshold, "is_anomaly": scores > self.threshold}
        vae = {"reconstruction_error": 2 * scores, "elbo": scores - 1}
        return pd.DataFrame(columns | flags | vae, index=records.index)

    def explain(self, _records, scores, _top):
        return [Explanation((Cause(self.value, float(score), 1.0, float(score), 0.0),)) for score in scores]


class MonitoredTable:
    """The records of a few pumps, and the monitor on them.

    Args:
        store: with a current schema; the records are in the same database.
        names: of the table and its columns.
        settings: of the monitor.
    """

    def __init__(self, store, names=NAMES, **settings):
        self.store, self.names, self.now = store, names, START
        columns = [
            Column(names["key"], BigInteger, primary_key=True, autoincrement=False),
            Column(names["time"], DateTime(timezone=True)),
            Column(names["updated"], DateTime(timezone=True)),
            Column(names["entity"], Text),
            Column(names["value"], Double),
        ]
        self.table = Table(names["table"], MetaData(), *columns)
        with writing(store.engine) as connection:
            self.table.create(connection)
        given = {name: names[name] for name in ("table", "key", "time", "updated", "entity")}
        given |= {"numeric": [names["value"]], "batch_size": 5, "store_scores": "all", "score_every": None}
        self.settings = given | settings
        self.models = {}
        self.train("pump")

    def clock(self):
        return self.now

    def wait(self, **duration):
        self.now += timedelta(**duration)

    def train(self, monitor, threshold=3.0):
        """Add a champion with a rule of its own."""
        model_id = self.store.models.add(monitor, MODEL, self.now, promote=True)
        self.models[model_id] = RuleScorer(self.names["value"], threshold)
        return model_id

    def source(self, monitor="pump"):
        given = {key: value for key, value in self.settings.items() if value is not None or key == "score_every"}
        return Source(monitor, MonitorConfig(**given), self.store.engine)

    def load(self, _store, champion, _monitor):
        return self.models[champion.model_id]

    def score(self, monitor="pump", **options):
        source = self.source(monitor)
        try:
            return score_monitor(source, self.store, self.clock, load=self.load, **options)
        finally:
            source.close()

    def put(self, *keys, value=1.0, entity="pump-1", time=None):
        """Insert records, a minute of record time after one another."""
        names = [self.names[name] for name in ("key", "time", "updated", "entity", "value")]
        rows = [
            dict(zip(names, (key, self._stored(time or at(key)), self._stored(self.now), entity, value), strict=True))
            for key in keys
        ]
        with writing(self.store.engine) as connection:
            connection.execute(insert(self.table), rows)

    def correct(self, key, **values):
        changed = {self.names[name]: value for name, value in values.items()}
        change = update(self.table).where(self.table.c[self.names["key"]] == key).values(changed)
        with writing(self.store.engine) as connection:
            connection.execute(change.values({self.names["updated"]: self._stored(self.now)}))

    def remove(self, *keys):
        with writing(self.store.engine) as connection:
            connection.execute(delete(self.table).where(self.table.c[self.names["key"]].in_(keys)))

    def keys(self):
        return self.rows(self.table.c[self.names["key"]])

    def flagged(self, monitor="pump", *columns):
        """Return the keys of current anomalies, with more columns on demand."""
        c = anomalies.c
        return self.rows(c.record_key, *columns, where=(c.monitor == monitor) & c.superseded_at.is_(None))

    def ledger(self, *columns, monitor="pump"):
        return self.rows(*(batches.c[name] for name in columns), where=batches.c.monitor == monitor)

    def hours(self, monitor="pump"):
        """Return records and anomalies by hour."""
        c = batch_hours.c
        frame = pd.DataFrame(self.rows(c.hour, c.records, c.anomalies, where=c.monitor == monitor))
        return [] if frame.empty else frame.groupby(0).sum().reset_index().to_numpy().tolist()

    def rows(self, *columns, where=None):
        """Return rows in order, or the values of a single column."""
        statement = select(*columns) if where is None else select(*columns).where(where)
        with reading(self.store.engine) as connection:
            rows = [tuple(row) for row in connection.execute(statement.order_by(*columns))]
        return [row[0] for row in rows] if len(columns) == 1 else rows

    def _stored(self, time):
        return time if self.store.engine.dialect.name == "postgresql" else time.replace(tzinfo=None)


def at(key):
    """Return the record time of a key."""
    return START + timedelta(minutes=key)
