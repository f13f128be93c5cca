"""The rule by which incidents are alerted: on which occasions, to which channels, and when not."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from jobs.store.incident_summary import IncidentSummary
from schemas.service import AlertOccasion

Reason = Literal["opened", "escalated", "worse", "new_cause", "ended", "reminder"]
HeldBack = Literal["maintenance", "rules", "label", "severity", "records", "consecutive", "age"]

ReadCauses: TypeAlias = Callable[[], Iterable[Sequence[Mapping[str, Any]]]]
"""Reads the causes of each record of an incident, highest score first; of a long one not all records."""

MAIN_CAUSE_SHARE = 0.5  # of the largest share: a feature with less is not a cause of its own


def _never_quiet(at: datetime) -> datetime | None:  # noqa: ARG001 - no time is quiet
    return None


def _no_label(summary: IncidentSummary, own: Collection[int] = ()) -> int | None:  # noqa: ARG001 - there is none
    return None


def _no_false_alarm(summary: IncidentSummary, read_causes: ReadCauses) -> int | None:  # noqa: ARG001 - there is none
    return None


@dataclass(frozen=True)
class AlertRule:
    """The incidents that are alerted, and the channels."""

    channels: tuple[str, ...] = ()
    severity: float = 0.0
    """The minimum peak severity."""
    escalate_severity: float = 80.0
    """The peak severity from which an incident is severe: alerted again, and in quiet hours as well."""
    newest: timedelta = timedelta(days=1)
    """The maximum age of an incident."""
    on: Collection[AlertOccasion] = ("open", "worse", "new_cause", "end")
    """The occasions of alerts."""
    worse_by: float = 3.0
    """The factor of the peak score from which an incident is alerted again."""
    remind_every: timedelta = timedelta(days=1)
    """The time between two reminders of an open incident."""
    records: int = 1
    """The minimum number of flagged records that no rule leaves out."""
    in_row: int = 1
    """The minimum number of them among `in_row_of` consecutive records of the entity."""
    in_row_of: int = 1
    """The number of consecutive records that `in_row` is about."""
    routes: tuple[tuple[str, float], ...] = ()
    """Channels that receive incidents from a peak severity on, with that severity."""
    quiet_until: Callable[[datetime], datetime | None] = _never_quiet
    """Returns the end of the quiet hours that a time lies in, or None; until then only severe incidents are alerted."""
    suppressed_by: Callable[[IncidentSummary, ReadCauses], int | None] = _no_false_alarm
    """Returns the flagged row labelled as a false positive that an incident resembles, or None."""
    raised_by: Callable[[IncidentSummary, Collection[int]], int | None] = _no_label
    """Returns the confirmed flagged row that an incident resembles, or None; the incident's own rows do not count."""
    link: str | None = None
    """The address of an incident's page, with {id} for its number."""

    def severity_of(self, channel: str, *, is_raised: bool = False) -> float:
        """Return the minimum peak severity for a channel; of what resembles a confirmed record only routes count."""
        return max(0.0 if is_raised else self.severity, dict(self.routes).get(channel, 0.0))

    def not_before(self, summary: IncidentSummary, at: datetime) -> datetime | None:
        """Return the time before which an alert is not sent, or None if it may be sent at once."""
        return None if summary.peak_severity >= self.escalate_severity else self.quiet_until(at)

    def held_back(
        self, summary: IncidentSummary, at: datetime, *, is_raised: bool = False, is_suppressed: bool = False
    ) -> HeldBack | None:
        """Return why no channel is alerted of an incident, or None if one may be.

        Args:
            summary: of the incident.
            at: the time now.
            is_raised: whether it resembles a confirmed row.
            is_suppressed: whether it resembles an incident labelled as a false alarm.
        """
        severities = [self.severity_of(channel, is_raised=is_raised) for channel in self.channels]
        reasons: dict[HeldBack, bool] = {
            "maintenance": summary.is_muted,
            "rules": summary.alert_records == 0,
            "label": is_suppressed,
            "severity": summary.peak_severity < min(severities, default=0.0 if is_raised else self.severity),
            "records": summary.alert_records < self.records and not is_raised,
            "consecutive": summary.in_row < self.in_row and not is_raised,
            "age": summary.end_time < at - self.newest,
        }
        return next((reason for reason, applies in reasons.items() if applies), None)


@dataclass(frozen=True)
class IncidentRule:
    """The longest pause inside an incident, and the rule of its alerts."""

    gap: timedelta
    alerts: AlertRule
    follows_scores: bool = False
    """Whether incidents last until the scores have calmed down; the pause then counts if that is unknown."""


@dataclass(frozen=True)
class IncidentChange:
    """An incident as it is now, and its severity before."""

    incident_id: int
    summary: IncidentSummary
    severity_before: float | None
    """None if the incident is new."""
    is_open: bool = True
    """Whether it may go on."""

    @property
    def is_new(self) -> bool:
        """Whether the incident was written just now, so that it has neither alerts nor marks nor merged incidents."""
        return self.severity_before is None

    def escalates(self, severity: float) -> bool:
        """Return whether the incident has just reached a severity."""
        return self.severity_before is not None and self.severity_before < severity <= self.summary.peak_severity


@dataclass(frozen=True)
class SentAlert:
    """An alert of an incident to a channel; alerts of earlier versions have neither score nor causes."""

    channel: str
    reason: str
    created_at: datetime
    peak_severity: float | None
    peak_score: float | None
    causes: Sequence[str] | None


def main_causes(summary: IncidentSummary) -> list[str]:
    """Return the features whose share is at least half of the largest, largest first."""
    shares = {cause["feature"]: cause["share"] or 0.0 for cause in summary.causes if not cause.get("is_return")}
    largest = max(shares.values(), default=0.0)
    return [name for name, share in shares.items() if share >= MAIN_CAUSE_SHARE * largest]


def new_causes(summary: IncidentSummary, sent: Sequence[SentAlert]) -> list[str]:
    """Return the main causes that no alert has named; none if an alert of an earlier version may have."""
    if any(alert.causes is None for alert in sent):
        return []
    named = {name for alert in sent for name in alert.causes or ()}
    return [name for name in main_causes(summary) if name not in named]


def reason_for(change: IncidentChange, rule: AlertRule, sent: Sequence[SentAlert]) -> Reason | None:
    """Return the reason to alert a channel of an incident now, or None.

    Args:
        change: the incident.
        rule: of its monitor.
        sent: the alerts of the incident to the channel.
    """
    if not sent:
        return "opened" if "open" in rule.on else ("escalated" if _is_severe_now(change, rule, sent) else None)
    if sent[-1].reason == "ended":
        return "opened" if change.is_open and "open" in rule.on else None
    if "worse" in rule.on:
        if _is_severe_now(change, rule, sent):
            return "escalated"
        if _is_several_times_higher(change.summary, rule.worse_by, sent):
            return "worse"
    return "new_cause" if "new_cause" in rule.on and new_causes(change.summary, sent) else None


def _is_severe_now(change: IncidentChange, rule: AlertRule, sent: Sequence[SentAlert]) -> bool:
    """Return whether the incident is severe, and no alert of it was."""
    if any(alert.reason == "escalated" for alert in sent):
        return False
    if any(alert.peak_severity is None for alert in sent):
        return change.escalates(rule.escalate_severity)
    was_severe = any((alert.peak_severity or 0.0) >= rule.escalate_severity for alert in sent)
    return change.summary.peak_severity >= rule.escalate_severity and not was_severe


def _is_several_times_higher(summary: IncidentSummary, factor: float, sent: Sequence[SentAlert]) -> bool:
    last = max((alert.peak_score for alert in sent if alert.peak_score is not None), default=0.0)
    return last > 0 and summary.peak_score >= factor * last
