"""Diagnoses of alerts that are never sent."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from statistics import median

from jobs.diagnosis.case import Case, Diagnosis, Problem
from jobs.maintenance import Maintenance
from jobs.wording import duration, shown
from schemas.section import interval_of

_HOURS_OF_A_WEEK = 168


def unreachable_severity(case: Case) -> Iterator[Problem]:
    """Report an alert limit above the highest severity that the model can give."""
    if not case.monitor.channels:
        return
    highest = case.scorer.highest_severity
    stored = case.store.tunings.get(case.name)
    tuned = {} if stored is None else stored.settings.get("alert", {})
    limits = {"severity": case.monitor.alert.severity, "escalate_severity": case.monitor.alert.escalate_severity}
    for name, limit in limits.items():
        if limit > highest:
            place = f"by plumbline tune set {case.name}" if name in tuned else f"under [monitors.{case.name}.alert]"
            yield Problem(
                f"alert.{name} = {shown(limit)} is never reached: the highest severity of this model is "
                f"{shown(round(highest, 1))}, as its calibration scores are too few or all equal.",
                f"Set it to at most {shown(float(int(highest)))} {place}, or train on more normal records.",
            )


def outdated_alerts(case: Case) -> Iterator[Problem]:
    """Report that records are scored only after alerts about them are too old to be sent."""
    interval = interval_of(case.monitor.score_every) if case.monitor.score_every else None
    newest, delay = case.monitor.alert.newest, case.monitor.settle + (interval or timedelta(0))
    if case.monitor.channels and newest < delay:
        yield Problem(
            f"Incidents older than alert.newest ({duration(newest.total_seconds())}) are summed up in one message, and "
            f"records are scored up to {duration(delay.total_seconds())} after their time (settle and score_every).",
            f"Raise newest under [monitors.{case.name}.alert].",
        )


def unreachable_row(case: Case) -> Iterator[Problem]:
    """Report that records usually come too far apart for several flagged ones in a row to be one incident."""
    needed, gap = case.monitor.alert.flagged_of.records, case.incident_gap.total_seconds()
    if needed == 1 or not case.monitor.channels:
        return
    activity = case.store.entities.activity(case.name)
    pauses = [entity.rhythm.usual_seconds for entity in activity.entities if entity.rhythm.pauses]
    if pauses and median(pauses) > gap:
        yield Problem(
            f"alert.consecutive needs {needed:,} flagged records at most incident_gap ({duration(gap)}) apart, and "
            f"the usual pause between two records of an entity is {duration(median(pauses))}.",
            f"Raise incident_gap under [monitors.{case.name}] above that pause.",
        )


def permanent_maintenance(case: Case) -> Iterator[Problem]:
    """Report maintenance windows that mute every hour of the coming week."""
    if not case.monitor.maintenance:
        return
    maintenance = Maintenance.of(case.monitor)
    if all(maintenance.mutes(None, case.at + timedelta(hours=hour)) for hour in range(_HOURS_OF_A_WEEK)):
        yield Problem(
            "Maintenance windows cover the whole week, so that no alert is sent.",
            f"Shorten [[monitors.{case.name}.maintenance]] in config.toml, or end stored ones. List them: plumbline "
            f"maintenance list {case.name}",
        )


DIAGNOSES: Sequence[Diagnosis] = (unreachable_severity, outdated_alerts, unreachable_row, permanent_maintenance)
