"""Alerts of incidents, written to the outbox with the change that they report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from jobs.store.alert_rule import AlertRule, IncidentChange, Reason, SentAlert, main_causes, new_causes, reason_for
from jobs.store.alerts import AlertTexts, IncidentNews, insert_alert
from jobs.store.incident_summary import IncidentSummary
from schemas.tables import alerts, anomalies, incident_notes, incidents

_MAX_RECORDS_COMPARED = 1_000  # the oldest of an incident, since an event is known by its beginning


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

    def add_change(self, change: IncidentChange) -> None:
        """Alert that an incident opened, became worse, or has a new cause, once for each channel and occasion."""
        summary = change.summary
        raised_by = self._raised_by(change.incident_id, summary)
        suppressed_by = self._suppressed_by(change.incident_id, summary)
        marks = {"is_raised": raised_by is not None, "is_suppressed": suppressed_by is not None}
        held_back = self.rule.held_back(summary, self.at, **marks)
        self._record_marks(change, held_back, suppressed_by if held_back == "label" else None, raised_by)
        if held_back == "age":
            self._mark_unannounced(change)
        if held_back is not None:
            return
        for channel, sent in self._sent_before(change).items():
            if summary.peak_severity < self.rule.severity_of(channel, is_raised=raised_by is not None):
                continue
            reason = reason_for(change, self.rule, sent)
            if reason is not None:
                self._add(change.incident_id, summary, reason, channel, sent)

    def add_end(self, incident_id: int, summary: IncidentSummary, over_since: datetime) -> None:
        """Alert that an incident has ended, to the channels that heard of it before it was over."""
        if "end" in self.rule.on and not self._is_dismissed(incident_id):
            for channel, sent in self._sent(incident_id, self.rule.channels).items():
                if sent and sent[-1].created_at < over_since:
                    self._add(incident_id, summary, "ended", channel, sent)

    def add_reminder(self, incident_id: int, summary: IncidentSummary) -> None:
        """Remind the channels that heard of an open incident, if they have heard nothing more for a time.

        Nobody is reminded of an incident that a person has acknowledged or labelled as a false alarm.
        """
        if "reminder" not in self.rule.on:
            return
        is_raised = self._raised_by(incident_id, summary) is not None
        is_suppressed = self._suppressed_by(incident_id, summary) is not None
        if self.rule.held_back(summary, self.at, is_raised=is_raised, is_suppressed=is_suppressed) is not None:
            return
        if not self._is_dismissed(incident_id) and not self._is_acknowledged(incident_id):
            for channel, sent in self._sent(incident_id, self.rule.channels).items():
                if sent and sent[-1].created_at <= self.at - self.rule.remind_every:
                    self._add(incident_id, summary, "reminder", channel, sent)

    def _suppressed_by(self, incident_id: int, summary: IncidentSummary) -> int | None:
        """Return the row labelled as a false alarm whose incident this one repeats so far, or None."""
        return self.rule.suppressed_by(summary, partial(self._causes_of, incident_id))

    def _causes_of(self, incident_id: int) -> Sequence[Sequence[Mapping[str, Any]]]:
        c = anomalies.c
        is_inside = and_(c.incident_id == incident_id, c.superseded_at.is_(None))
        oldest = select(c.attribution).where(is_inside).order_by(func.coalesce(c.record_time, c.flagged_at), c.id)
        return self.connection.scalars(oldest.limit(_MAX_RECORDS_COMPARED)).all()

    def _raised_by(self, incident_id: int, summary: IncidentSummary) -> int | None:
        """Return the confirmed row of another incident that an incident resembles, or None."""
        if self.rule.raised_by(summary, ()) is None:
            return None
        c = anomalies.c
        own = select(c.id).where(c.incident_id == incident_id, c.label == "confirmed")
        return self.rule.raised_by(summary, set(self.connection.scalars(own)))

    def _record_marks(
        self, change: IncidentChange, held_back: str | None, suppressed_by: int | None, raised_by: int | None
    ) -> None:
        """Record why an incident is held back and which labelled rows it resembles; a new one has no such marks yet."""
        marks = {"held_back": held_back, "suppressed_by": suppressed_by, "raised_by": raised_by}
        if change.is_new and not any(mark is not None for mark in marks.values()):
            return
        c = incidents.c
        is_changed = or_(*(c[name].is_distinct_from(mark) for name, mark in marks.items()))
        self.connection.execute(update(incidents).where(c.id == change.incident_id, is_changed).values(marks))

    def _mark_unannounced(self, change: IncidentChange) -> None:
        """Mark an incident that ended too long ago to be alerted, unless it was alerted or summed up before.

        That counts for the incidents that were merged into it too.
        """
        c = incidents.c
        if not self._was_summed_up(change) and not any(self._sent_before(change).values()):
            is_first = and_(c.id == change.incident_id, c.not_announced.is_(None))
            self.connection.execute(update(incidents).where(is_first).values(not_announced="pending"))

    def _was_summed_up(self, change: IncidentChange) -> bool:
        if change.is_new:
            return False
        c = incidents.c
        was_summed = and_(c.merged_into == change.incident_id, c.not_announced == "summed")
        return self.connection.execute(select(c.id).where(was_summed).limit(1)).first() is not None

    def _sent_before(self, change: IncidentChange) -> Mapping[str, list[SentAlert]]:
        """Return the alerts of an incident before its change, by channel; a new incident has none."""
        if change.is_new:
            return {channel: [] for channel in self.rule.channels}
        return self._sent(change.incident_id, self.rule.channels)

    def _is_dismissed(self, incident_id: int) -> bool:
        """Return whether people have labelled an incident as a false alarm: all records that it held at that time."""
        c = anomalies.c
        of_incident = and_(c.incident_id == incident_id, c.superseded_at.is_(None))
        is_false = c.label == "false_positive"
        last = self.connection.scalar(select(func.max(c.labelled_at)).where(of_incident, is_false))
        if last is None:
            return False
        others = select(c.id).where(of_incident, ~is_false, c.flagged_at <= last).limit(1)
        return self.connection.execute(others).first() is None

    def _is_acknowledged(self, incident_id: int) -> bool:
        """Return whether a person has acknowledged an incident, or one that was merged into it."""
        c, i = incident_notes.c, incidents.c
        ids = [incident_id, *self.connection.scalars(select(i.id).where(i.merged_into == incident_id))]
        is_acknowledgement = and_(c.incident_id.in_(ids), c.kind == "acknowledge")
        return self.connection.execute(select(c.id).where(is_acknowledgement).limit(1)).first() is not None

    def _sent(self, incident_id: int, channels: Sequence[str]) -> Mapping[str, list[SentAlert]]:
        """Return the alerts of an incident and of those merged into it, by channel, oldest first."""
        a, c = alerts.c, incidents.c
        columns = (a.channel, a.reason, a.created_at, a.peak_severity, a.peak_score, a.causes)
        is_about = or_(
            a.incident_id == incident_id, a.incident_id.in_(select(c.id).where(c.merged_into == incident_id))
        )
        rows = self.connection.execute(select(*columns).where(is_about).order_by(a.id))
        sent: dict[str, list[SentAlert]] = {channel: [] for channel in channels}
        for row in rows:
            if row.channel in sent:
                sent[row.channel].append(SentAlert(*row))
        return sent

    def _add(
        self, incident_id: int, summary: IncidentSummary, reason: Reason, channel: str, sent: Sequence[SentAlert]
    ) -> None:
        link = self.rule.link.replace("{id}", str(incident_id)) if self.rule.link else None
        causes = new_causes(summary, sent) if reason == "new_cause" else []
        number = sum(alert.reason == reason for alert in sent)
        raised_by = self._raised_by(incident_id, summary)
        news = IncidentNews(self.monitor, incident_id, summary, reason, tuple(causes), link, number > 0, raised_by)
        subject = {
            "monitor": self.monitor,
            "incident_id": incident_id,
            "reason": reason,
            "number": number,
            "peak_severity": summary.peak_severity,
            "peak_score": summary.peak_score,
            "causes": main_causes(summary),
            "not_before": self.rule.not_before(summary, self.at),
        }
        insert_alert(self.connection, subject, channel, self.texts.incident(news), self.at)


def withdraw_incident_alerts(connection: Connection, incident_ids: Sequence[int]) -> None:
    """Delete the pending alerts of incidents that no longer exist."""
    c = alerts.c
    connection.execute(delete(alerts).where(c.incident_id.in_(incident_ids), c.state == "pending"))
