"""Alerts of incidents, written to the outbox with the changes that they report, many at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Connection, and_, delete, or_, select, update

from jobs.store.alert_past import acknowledged, confirmed_rows, dismissed, sent_alerts, summed_up
from jobs.store.alert_rule import (
    AlertRule,
    HeldBack,
    IncidentChange,
    Reason,
    SentAlert,
    main_causes,
    new_causes,
    reason_for,
)
from jobs.store.alerts import AlertTexts, IncidentNews, alert_row, insert_alerts
from jobs.store.chunks import chunks
from jobs.store.incident_summary import IncidentSummary
from schemas.tables import alerts, anomalies, incidents

_MAX_RECORDS_COMPARED = 1_000  # of an incident, those with the highest scores: the last record may be the worst

NumberedIncident: TypeAlias = tuple[int, IncidentSummary]  # an incident: its number and its summary


@dataclass(frozen=True)
class _Marks:
    """Why an incident is held back, and the labelled rows that it resembles."""

    held_back: HeldBack | None
    suppressed_by: int | None
    raised_by: int | None

    def of_alerted(self) -> "_Marks":
        """Return the marks of an incident that was alerted before: its age has held nothing back."""
        return replace(self, held_back=None) if self.held_back == "age" else self


@dataclass(frozen=True)
class _News:
    """An occasion to alert a channel of an incident, with the alerts before."""

    incident_id: int
    summary: IncidentSummary
    reason: Reason
    channel: str
    sent: Sequence[SentAlert]


@dataclass(frozen=True)
class IncidentAlerts:
    """Writes the alerts of a monitor's incidents, in an open transaction.

    Attributes:
        connection: in a transaction that holds the lock of the monitor.
        monitor: its name.
        rule: of the monitor.
        texts: write the texts of alerts.
        at: the time now.
    """

    connection: Connection
    monitor: str
    rule: AlertRule
    texts: AlertTexts
    at: datetime

    def add_changes(self, changes: Sequence[IncidentChange]) -> None:
        """Alert that incidents opened, became worse, or have a new cause, once for each channel and occasion."""
        marks = [self._marks(change) for change in changes]
        old_ids = [change.incident_id for change in changes if not change.is_new]  # a new incident has no alerts yet
        sent = sent_alerts(self.connection, old_ids, self.rule.channels)
        nothing: dict[str, list[SentAlert]] = {channel: [] for channel in self.rule.channels}
        too_old, news, recorded = [], [], []
        for change, mark in zip(changes, marks, strict=True):
            sent_before = sent.get(change.incident_id, nothing)
            was_alerted = any(sent_before.values())
            if mark.held_back is None:
                for channel in self._channels(change.summary, is_raised=mark.raised_by is not None):
                    reason = reason_for(change, self.rule, sent_before[channel])
                    if reason is not None:
                        news.append(_News(change.incident_id, change.summary, reason, channel, sent_before[channel]))
            elif mark.held_back == "age" and not was_alerted:
                too_old.append(change)
            recorded.append(mark.of_alerted() if was_alerted else mark)
        self._record_marks(changes, recorded)
        self._mark_unannounced(too_old)
        self._insert(news)

    def add_ends(self, ended: Sequence[NumberedIncident], gap: timedelta, started_at: datetime | None = None) -> None:
        """Alert that incidents have ended, to the channels that heard of them before they were over.

        Args:
            ended: the incidents.
            gap: the longest pause inside an incident that goes by time alone.
            started_at: the start of the run: one that follows the scores was not over when an earlier run alerted it.
        """
        if "end" not in self.rule.on:
            return
        sent = sent_alerts(self.connection, [incident_id for incident_id, _ in ended], self.rule.channels)
        news = [
            _News(incident_id, summary, "ended", channel, alerts_before)
            for incident_id, summary in ended
            for channel, alerts_before in sent[incident_id].items()
            if alerts_before and alerts_before[-1].reason != "ended"
            if alerts_before[-1].created_at < _over_at(summary, gap, started_at)
        ]
        self._insert(self._not_dismissed(news))

    def add_reminders(self, still_open: Sequence[NumberedIncident]) -> None:
        """Remind the channels that heard of open incidents, if they have heard nothing more for a time.

        Nobody is reminded of an incident that a person has acknowledged or labelled as a false alarm.
        """
        if "reminder" not in self.rule.on:
            return
        sent = sent_alerts(self.connection, [incident_id for incident_id, _ in still_open], self.rule.channels)
        news = [
            _News(incident_id, summary, "reminder", channel, alerts_before)
            for incident_id, summary in still_open
            for channel, alerts_before in sent[incident_id].items()
            if alerts_before and alerts_before[-1].created_at <= self.at - self.rule.remind_every
        ]
        acknowledged_ids = acknowledged(self.connection, {item.incident_id for item in news})
        news = [item for item in news if item.incident_id not in acknowledged_ids and self._may_remind(item)]
        self._insert(self._not_dismissed(news))

    def _channels(self, summary: IncidentSummary, *, is_raised: bool) -> list[str]:
        """Return the channels that an incident is severe enough for."""
        severity = summary.peak_severity
        channels = dict.fromkeys(self.rule.channels)
        return [channel for channel in channels if severity >= self.rule.severity_of(channel, is_raised=is_raised)]

    def _may_remind(self, news: _News) -> bool:
        is_raised = self._raised_by(news.incident_id, news.summary) is not None
        is_suppressed = self._suppressed_by(news.incident_id, news.summary) is not None
        held_back = self.rule.held_back(news.summary, self.at, is_raised=is_raised, is_suppressed=is_suppressed)
        return held_back is None

    def _not_dismissed(self, news: Sequence[_News]) -> list[_News]:
        dismissed_ids = dismissed(self.connection, {item.incident_id for item in news})
        return [item for item in news if item.incident_id not in dismissed_ids]

    def _suppressed_by(self, incident_id: int, summary: IncidentSummary) -> int | None:
        """Return the row labelled as a false alarm whose incident this one repeats so far, or None."""
        return self.rule.suppressed_by(summary, partial(self._causes_of, incident_id))

    def _causes_of(self, incident_id: int) -> Sequence[Sequence[Mapping[str, Any]]]:
        c = anomalies.c
        is_inside = and_(c.incident_id == incident_id, c.superseded_at.is_(None))
        highest = select(c.attribution).where(is_inside).order_by(c.anomaly_score.desc(), c.id)
        return self.connection.scalars(highest.limit(_MAX_RECORDS_COMPARED)).all()

    def _raised_by(self, incident_id: int, summary: IncidentSummary) -> int | None:
        """Return the confirmed row of another incident that an incident resembles, or None."""
        if self.rule.raised_by(summary, ()) is None:
            return None
        return self.rule.raised_by(summary, confirmed_rows(self.connection, incident_id))

    def _marks(self, change: IncidentChange) -> _Marks:
        raised_by = self._raised_by(change.incident_id, change.summary)
        suppressed_by = self._suppressed_by(change.incident_id, change.summary)
        resembles = {"is_raised": raised_by is not None, "is_suppressed": suppressed_by is not None}
        held_back = self.rule.held_back(change.summary, self.at, **resembles)
        return _Marks(held_back, suppressed_by if held_back == "label" else None, raised_by)

    def _record_marks(self, changes: Sequence[IncidentChange], marks: Sequence[_Marks]) -> None:
        """Record marks of incidents if they differ from the recorded ones; a new incident has none yet."""
        ids_by_marks: dict[_Marks, list[int]] = defaultdict(list)
        for change, mark in zip(changes, marks, strict=True):
            if not change.is_new or mark != _Marks(None, None, None):
                ids_by_marks[mark].append(change.incident_id)
        c = incidents.c
        for mark, incident_ids in ids_by_marks.items():
            is_changed = or_(*(c[name].is_distinct_from(value) for name, value in vars(mark).items()))
            for ids in chunks(incident_ids):
                self.connection.execute(update(incidents).where(c.id.in_(ids), is_changed).values(vars(mark)))

    def _mark_unannounced(self, changes: Sequence[IncidentChange]) -> None:
        """Mark incidents that ended too long ago to be alerted, unless they were summed up before.

        That counts for the incidents that were merged into them too.
        """
        c = incidents.c
        summed_ids = summed_up(self.connection, [change.incident_id for change in changes if not change.is_new])
        for ids in chunks(change.incident_id for change in changes if change.incident_id not in summed_ids):
            is_first = and_(c.id.in_(ids), c.not_announced.is_(None))
            self.connection.execute(update(incidents).where(is_first).values(not_announced="pending"))

    def _insert(self, news: Sequence[_News]) -> None:
        insert_alerts(self.connection, [self._row(item) for item in news])

    def _row(self, item: _News) -> dict[str, object]:
        summary = item.summary
        link = self.rule.link.replace("{id}", str(item.incident_id)) if self.rule.link else None
        causes = tuple(new_causes(summary, item.sent)) if item.reason == "new_cause" else ()
        number = sum(alert.reason == item.reason for alert in item.sent)
        raised_by = self._raised_by(item.incident_id, summary)
        news = IncidentNews(self.monitor, item.incident_id, summary, item.reason, causes, link, number > 0, raised_by)
        subject = {
            "monitor": self.monitor,
            "incident_id": item.incident_id,
            "reason": item.reason,
            "number": number,
            "peak_severity": summary.peak_severity,
            "peak_score": summary.peak_score,
            "causes": main_causes(summary),
            "not_before": self.rule.not_before(summary, self.at),
        }
        return alert_row(subject, item.channel, self.texts.incident(news), self.at)


def _over_at(summary: IncidentSummary, gap: timedelta, started_at: datetime | None) -> datetime:
    """Return the time from which an incident that has ended was over, at the earliest."""
    by_time = summary.end_time + gap
    return by_time if summary.began_at is None or started_at is None else max(by_time, started_at)


def withdraw_incident_alerts(connection: Connection, incident_ids: Sequence[int]) -> None:
    """Delete the pending alerts of incidents that no longer exist."""
    c = alerts.c
    connection.execute(delete(alerts).where(c.incident_id.in_(incident_ids), c.state == "pending"))
