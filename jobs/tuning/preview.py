"""What settings would have made of a scored history: flagged records, incidents and alerts, compared with labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from jobs.alert_preview import AlertPreview
from jobs.incident_gap import with_fixed_gap
from jobs.look_alikes import NO_LOOK_ALIKES, LookAlikes, look_alikes_of
from jobs.store import Store
from jobs.store.alert_history import AlertCounts
from jobs.store.incidents import StoredIncident
from jobs.tuning.history import ScoredHistory
from jobs.tuning.labelled import LabelCounts, compared, known_faults, verdicts_of_people
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.frames import IS_ANOMALY

MAX_FLAGGED = 1_000  # with more, alerts are not counted
Report: TypeAlias = Callable[[Callable[[], str]], None]
"""Receives a function that returns how far the work is; other threads may call it."""


def report_nothing(_text: Callable[[], str]) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Outcome:
    """What settings would have made of a history.

    Attributes:
        records: number of scored records.
        flagged: number of flagged records.
        days: length of the history; None without times.
        alerts: alerts and incidents; None without times, or if too many records are flagged.
        alerted_incidents: number of incidents that a channel is alerted of; None likewise.
        verdicts: alarms compared with what people labelled; None without labels.
        faults: alarms compared with the label column; None without one.
    """

    records: int
    flagged: int
    days: float | None
    alerts: AlertCounts | None
    alerted_incidents: int | None
    verdicts: LabelCounts | None
    faults: LabelCounts | None

    def a_day(self, count: int) -> float | None:
        """Return a count as one of a day; None without times."""
        return count / self.days if self.days else None


def outcome_of(
    history: ScoredHistory, store: Store, monitor: MonitorConfig, now: datetime, report: Report = report_nothing
) -> Outcome:
    """Return what settings would have made of a history.

    Each record is judged as if the settings had been in force from the first record on. An incident that began
    earlier counts from the first record.

    Args:
        history: scored at the rate in force.
        store: the service's own database, which has labels and tracked thresholds.
        monitor: the settings to try.
        now: the time now; a later time of a record is no time of an alert.
        report: receives how many flagged records were judged.

    Raises:
        RateTooSmall: If the calibration records cannot resolve the rate.
    """
    span = history.span(now)
    examples = store.labelled_examples.read(history.name)
    trial = _Trial(history, store, monitor, now, report)
    flagged, alerts, alerted = trial.run(look_alikes_of(monitor, examples))
    alerted_incidents = None if alerts is None else len(alerted)
    verdicts = faults = None
    if span is not None and alerts is not None:
        events = verdicts_of_people(store, history.name, *span)
        marked = known_faults(history)
        if examples:  # a label suppresses its own alarm, which would count as right
            _, _, alerted = trial.run(NO_LOOK_ALIKES)
        verdicts = compared(alerted, events, all_known=False) if events else None
        faults = None if marked is None else compared(alerted, marked, all_known=True)
    days = None if span is None else (span[1] - span[0]) / timedelta(days=1) or None
    return Outcome(history.records, flagged, days, alerts, alerted_incidents, verdicts, faults)


@dataclass(frozen=True)
class _Trial:
    """A run of settings over a history."""

    history: ScoredHistory
    store: Store
    monitor: MonitorConfig
    now: datetime
    report: Report

    def run(self, look_alikes: LookAlikes) -> tuple[int, AlertCounts | None, Sequence[StoredIncident]]:
        """Return the number of flagged records, the counts of alerts, and the alerted incidents."""
        judged, name = list(self.history.judged(self.monitor, self.store)), self.history.name
        flagged = sum(int(scored[IS_ANOMALY].sum()) for _, scored, _ in judged)
        monitor = with_fixed_gap(self.monitor, self.history.scorer.about.pace)
        with AlertPreview.opened(name, monitor, self.now, look_alikes, MAX_FLAGGED) as preview:
            self.report(lambda: f"{preview.collected:,} of {counted_noun(flagged, 'flagged record')}")
            for records, scored, bound in judged:
                if self.monitor.time is not None and len(records) and not preview.is_full:
                    preview.add(records, scored, bound)
            counts = preview.counts() if self.monitor.time is not None else None
            return flagged, counts, () if counts is None else preview.alerted()
