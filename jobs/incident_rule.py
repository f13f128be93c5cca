"""The rule of a monitor's configuration by which anomalies become incidents and alerts."""

from detector.core.about import Pace
from jobs.alert_filter import QuietHours
from jobs.incident_gap import follows_scores, incident_gap
from jobs.look_alikes import NO_LOOK_ALIKES, LookAlikes
from jobs.store.alert_rule import AlertRule, IncidentRule
from schemas.config import MonitorConfig


def incident_rule(
    monitor: MonitorConfig, look_alikes: LookAlikes = NO_LOOK_ALIKES, pace: Pace | None = None
) -> IncidentRule:
    """Return the rule of a monitor.

    Args:
        monitor: whose incidents are alerted.
        look_alikes: of labelled records, which are alerted as these were labelled.
        pace: of the training records of its model; None if it is not recorded.
    """
    alert = monitor.alert
    quiet = {"quiet_until": QuietHours.of(alert.quiet_hours, monitor.time_zone).end_after} if alert.quiet_hours else {}
    alerts = AlertRule(
        channels=monitor.channels,
        severity=alert.severity,
        escalate_severity=alert.escalate_severity,
        newest=alert.newest,
        on=alert.on,
        worse_by=alert.worse_by,
        remind_every=alert.remind_every,
        records=alert.records,
        in_row=alert.flagged_of.records,
        in_row_of=alert.flagged_of.of,
        routes=tuple((channel, route.severity) for route in alert.routes for channel in route.channels),
        link=alert.link,
        suppressed_by=look_alikes.false_alarm_like,
        raised_by=look_alikes.confirmed_like,
        **quiet,
    )
    return IncidentRule(incident_gap(monitor, pace), alerts, follows_scores(monitor))
