"""Preview of alerts: history is scored as `serve` would have, into a store in memory whose alerts are counted.

So the preview runs the code that groups, judges and alerts incidents, and none of its own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import pandas as pd
from pydantic import SecretStr

from detector.core.scorer import BoundScorer
from detector.records.card import RecordCard
from jobs.alert_messages import ALERT_TEXTS
from jobs.databases import open_engine
from jobs.incident_rule import incident_rule
from jobs.kinds import card_from_json
from jobs.look_alikes import NO_LOOK_ALIKES, LookAlikes
from jobs.scoring.batch_results import anomalies_of, record_times
from jobs.scoring.entity_places import EntityPlaces
from jobs.scoring.unannounced import sum_up_unannounced
from jobs.store import (
    AlertQuery,
    Anomaly,
    BatchResult,
    IncidentQuery,
    NewModel,
    Store,
    StoredIncident,
)
from jobs.store.alert_history import AlertCounts
from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.frames import IS_ANOMALY
from schemas.keys import KeyRange

MAX_FLAGGED = 5_000  # about a minute; with more, alerts are not the first thing to look at
_MOMENT = timedelta(microseconds=1)
_LEASE = timedelta(days=1)
_MAX_OPEN = 10_000
_MAX_ALERTS = 100_000
_NO_MODEL = NewModel(b"", "", {}, RecordCard())
NO_CHANNEL = "any channel"
"""The name of the channel of a preview for a monitor that has none."""


class AlertPreview:
    """Scores the records of a monitor's history as they would have been scored, one run after another.

    Each record is scored by the first scheduled run after its time and `settle`; without a schedule, at its time.

    Args:
        store: an empty store, which takes the flagged records.
        name: of the monitor.
        monitor: its configuration.
        now: the time now; a record of a later time counts as one without a time.
        look_alikes: recognises what a label suppresses or raises.
        max_flagged: the maximum number of flagged records of the preview.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        monitor: MonitorConfig,
        now: datetime,
        look_alikes: LookAlikes = NO_LOOK_ALIKES,
        max_flagged: int = MAX_FLAGGED,
    ) -> None:
        self._now, self._max_flagged = now, max_flagged
        channels = monitor.channels or (NO_CHANNEL,)
        alert = monitor.alert.model_copy(update={"channels": channels})
        self._store, self._name, self._monitor = store, name, monitor.model_copy(update={"alert": alert})
        self._look_alikes = look_alikes
        self._rule = replace(incident_rule(self._monitor, look_alikes), follows_scores=monitor.threshold == "online")
        self._timing = None if monitor.score_every is None else Timing(monitor.score_every, monitor.time_zone)
        self._run_at: datetime | None = None  # of the run whose records are being collected
        self._newest: datetime | None = None
        self._flagged: list[Anomaly] = []
        self._counts: Counter[str] = Counter()  # records of each entity since the last run that flagged one
        self._batches = self._all_flagged = 0
        self.collected = 0
        """The number of flagged records that were handed to runs so far; other threads may read it."""
        self._model_id: int | None = None

    @classmethod
    @contextmanager
    def opened(
        cls,
        name: str,
        monitor: MonitorConfig,
        now: datetime,
        look_alikes: LookAlikes = NO_LOOK_ALIKES,
        max_flagged: int = MAX_FLAGGED,
    ) -> Iterator[Self]:
        """Open a preview with a store of its own, in memory."""
        from jobs.store import migrations  # late, since a process that serves needs no Alembic otherwise

        engine = open_engine(SecretStr("sqlite://"))
        try:
            migrations.upgrade(engine)
            store = Store(engine, ALERT_TEXTS, card_from_json)
            yield cls(store, name, monitor, now, look_alikes, max_flagged)
        finally:
            engine.dispose()

    @property
    def is_full(self) -> bool:
        """Whether more records are flagged than a preview is made of."""
        return self._all_flagged > self._max_flagged

    def add(self, records: pd.DataFrame, scored: pd.DataFrame, scorer: BoundScorer) -> Sequence[Anomaly]:
        """Add the next records in the order of their keys, with their scores, and return the flagged ones."""
        is_flagged = scored[IS_ANOMALY].to_numpy(dtype=bool)
        self._all_flagged += int(is_flagged.sum())
        if self.is_full:
            return ()
        times = record_times(records, self._monitor)
        times = times[times <= self._now]
        if times.empty:
            return ()
        newest, oldest = _moment(times.max()), self._newest or _moment(times.min())
        flagged = (records[is_flagged], scored[is_flagged])
        anomalies = anomalies_of(*flagged, self._monitor, scorer, oldest, self._look_alikes)
        self._collect(anomalies, np.flatnonzero(is_flagged), EntityPlaces.of(records, self._monitor))
        self._newest = newest if self._newest is None else max(self._newest, newest)
        return anomalies

    def counts(self) -> AlertCounts | None:
        """End the preview with the run after its newest record, and return what was alerted; None if it is full."""
        if self.is_full:
            return None
        self._finish_run()
        if self._newest is not None:
            self._follow_up(self._due_at(self._newest) + _MOMENT)
        return self._store.alert_history.counts(self._name)

    def alerted(self) -> list[StoredIncident]:
        """Return the incidents that a channel was alerted of; `counts` comes first."""
        current = self._store.incidents.page(IncidentQuery(self._name, is_current=None, limit=_MAX_OPEN))
        by_id = {incident.id: incident for incident in current}
        query = AlertQuery(limit=_MAX_ALERTS)
        alerted = {alert.incident_id for alert in self._store.outbox.page(query) if alert.incident_id is not None}
        targets = {by_id[number].merged_into or number for number in alerted if number in by_id}
        return [by_id[number] for number in sorted(targets)]

    def _collect(self, anomalies: Sequence[Anomaly], rows: np.ndarray, places: EntityPlaces | None) -> None:
        """Add flagged records, at ascending rows of a page; whenever one belongs to a later run, finish the earlier."""
        start = 0
        for item, row in zip(anomalies, rows.tolist(), strict=True):
            run_at = self._run_of(item)
            if run_at is None:
                continue
            if self._run_at is None or run_at > self._run_at:
                self._finish_run()
                self._run_at = run_at
            if places is not None:
                self._counts.update(places.entities[start : row + 1].tolist())
                item = places.at(item, self._counts)  # noqa: PLW2901 - the same record, with its place
            start = row + 1
            self._flagged.append(item)
            self.collected += 1
        if places is not None:
            self._counts.update(places.entities[start:].tolist())

    def _run_of(self, item: Anomaly) -> datetime | None:
        """Return the time of the run that scores a flagged record, never earlier than that of the one before it.

        A record without a time is scored with the one before it, and left out if it is the first.
        """
        if item.record_time is None or item.record_time > self._now:
            return self._run_at
        due_at = self._due_at(item.record_time)
        return due_at if self._run_at is None else max(due_at, self._run_at)

    def _due_at(self, time: datetime) -> datetime:
        settled_at = time + self._monitor.settle
        return settled_at if self._timing is None else self._timing.next_due(settled_at - _MOMENT) or settled_at

    def _finish_run(self) -> None:
        """Write the collected records as one batch, as a scoring run does, after the runs that found none."""
        if not self._flagged or self._run_at is None:
            return
        self._follow_up(self._run_at)
        self._write(self._run_at)
        sum_up_unannounced(self._monitor, self._name, self._store, self._run_at)
        self._store.incidents.follow_up(self._name, self._rule, self._run_at)
        self._flagged, self._counts = [], Counter()

    def _write(self, at: datetime) -> None:
        self._batches += 1
        key_range = KeyRange((self._batches,), (self._batches + 1,))
        self._store.ledger.plan(self._name, key_range, at)
        if self._model_id is None:
            self._model_id = self._store.models.add(self._name, _NO_MODEL, at, promote=True)
        batch = self._store.ledger.claim(self._name, self._model_id, at, _LEASE)
        if batch is not None:
            counts = self._counts if self._monitor.alert.flagged_of.of > 1 else None
            result = BatchResult(len(self._flagged), tuple(self._flagged), entity_counts=counts)
            self._store.ledger.finish(batch, result, at, self._rule)

    def _follow_up(self, until: datetime) -> None:
        """End incidents and send reminders in the scheduled runs before a time."""
        at = self._run_at
        while at is not None and (at := self._next_follow_up(at)) is not None and at < until:
            self._store.incidents.follow_up(self._name, self._rule, at)

    def _next_follow_up(self, after: datetime) -> datetime | None:
        """Return the next run that may end an incident or remind of one; None while none is open."""
        still_open = self._store.incidents.page(IncidentQuery(self._name, state="open", limit=_MAX_OPEN))
        ends = [incident.end_time for incident in still_open if incident.end_time <= self._now]
        if not ends:
            return None
        first_end = min(ends) + self._rule.gap
        if self._timing is None:
            return max(first_end + _MOMENT, after + _MOMENT)
        return self._timing.next_due(after if "reminder" in self._rule.alerts.on else max(after, first_end))


def _moment(time: pd.Timestamp) -> datetime:
    return time.to_pydatetime()
