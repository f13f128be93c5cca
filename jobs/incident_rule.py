"""The rule of a monitor's configuration by which anomalies become incidents and alerts."""

from jobs.store.alerts import AlertRule
from jobs.store.incident_grouping import IncidentRule
from schemas.config import MonitorConfig


def incident_rule(monitor: MonitorConfig) -> IncidentRule:
    """Return the rule of a monitor."""
    alert = monitor.alert
    alerts = AlertRule(monitor.channels, alert.severity, alert.escalate_severity, alert.newest)
    return IncidentRule(monitor.incident_gap, alerts)
