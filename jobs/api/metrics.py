"""Metrics for Prometheus, read from the store at each scrape.

The process counts nothing itself, so processes agree and a restart loses nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.api.service_view import ServiceView
from jobs.settings_in_force import config_in_force
from jobs.store.event_kinds import EventKind
from jobs.store.metrics import Measures, MonitorMeasures
from jobs.timing import Timing
from schemas.config import MonitorConfig
from schemas.labels import LABELS

_PREFIX = "plumbline_"
_WAITING = "How long a run in this process has waited for a database; 0 up to service.waiting_after."
_BY_STATE = ("state", ("pending", "running"))
_BY_LABEL = ("label", LABELS)
_BY_KIND = ("kind", get_args(EventKind))
_ALERT_STATES = ("pending", "sending", "failed")
_BUCKET_EDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # seconds


def render(service: ServiceView, *, of_all: bool = True) -> bytes:
    """Return the metrics of a service in text format, or only those of its monitors."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(service, of_all=of_all))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class ServiceCollector(Collector):
    """The metrics of a service.

    Args:
        service: the service, whose store is read at each collection.
        of_all: whether it includes the events and the alerts of all monitors together.
    """

    def __init__(self, service: ServiceView, *, of_all: bool = True) -> None:
        self._service, self._of_all = service, of_all

    def describe(self) -> Iterable[Metric]:
        """Return no metrics, so that the registry does not read the store for their names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, all of the same moment."""
        service, now = self._service, self._service.clock()
        settings = config_in_force(service.health, service.config).monitors
        measures = service.health.metrics.read(settings, now)
        by_monitor = measures.monitors
        yield from _of_ledger(by_monitor, now)
        yield from _of_anomalies(by_monitor)
        service_events = {"": measures.events} if self._of_all else {}
        yield from _of_events(service_events | {name: item.events for name, item in by_monitor.items()})
        yield from _of_runs(by_monitor)
        yield from _of_settings(settings, now)
        if self._of_all:
            yield from _of_outbox(service.config.alerts.channels, measures, now)
        alive = _family("scheduler_alive", "1 if the scheduler of this process is running.")
        alive.add_metric([], int(service.is_alive()))
        yield alive
        waits, waiting = service.waits(), _family("waiting_seconds", _WAITING, "monitor")
        for name in settings:
            waiting.add_metric([name], waits[name].seconds if name in waits else 0.0)
        yield waiting


def _of_ledger(monitors: Mapping[str, MonitorMeasures], now: datetime) -> Iterator[Metric]:
    yield _by_monitor("records_scored", "Records in the ledger. Decreases if records vanish.", monitors, "records")
    yield _by_monitor("anomalies", "Flagged records in the ledger.", monitors, "anomalies")
    yield _by_monitor("late_records", "Late records that were scored.", monitors, "late_records")
    yield _by_monitor("too_late_records", "Records that arrived too late to be scored.", monitors, "too_late_records")
    yield _by_monitor("rescored_batches", "Rescored batches.", monitors, "rescorings")
    yield _by_key("batches", "Pending and running batches, by state.", _BY_STATE, monitors, "batches")
    lag = _family("lag_seconds", "Age of the newest scored record.", "monitor")
    for name, measures in monitors.items():
        if measures.scored_until is not None:
            lag.add_metric([name], (now - measures.scored_until).total_seconds())
    yield lag


def _of_anomalies(monitors: Mapping[str, MonitorMeasures]) -> Iterator[Metric]:
    yield _by_monitor("open_incidents", "Open incidents.", monitors, "open_incidents")
    yield _by_key("anomalies_labelled", "Anomalies of the champion, by label.", _BY_LABEL, monitors, "labels")
    realised = (
        "False-positive rate of the champion by its labels: flagged share times the share labelled false positive."
    )
    yield _by_monitor("false_positive_rate_realised", realised, monitors, "realised_rate")
    yield _by_key(
        "retrain_requests", "Pending and running retrain requests, by state.", _BY_STATE, monitors, "requests"
    )
    yield _by_key("ongoing_events", "Ongoing events, by kind.", _BY_KIND, monitors, "ongoing")


def _of_events(monitors: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    ever = CounterMetricFamily(
        f"{_PREFIX}events", "Events, by kind; of the service if the monitor is empty.", labels=["monitor", "kind"]
    )
    for name, events in monitors.items():
        for kind in _BY_KIND[1]:
            ever.add_metric([name, kind], events.get(kind, 0))
    yield ever


def _of_runs(monitors: Mapping[str, MonitorMeasures]) -> Iterator[Metric]:
    success = _family(
        "last_success_timestamp_seconds", "Time of the last successful run of this kind.", "monitor", "kind"
    )
    ended = _family(
        "runs_last_day", "Runs that started and ended within the last 24 hours.", "monitor", "kind", "outcome"
    )
    lasted = GaugeHistogramMetricFamily(
        f"{_PREFIX}run_seconds", "Duration of the runs of the last 24 hours.", labels=["monitor", "kind"]
    )
    for name, measures in monitors.items():
        for kind, at in measures.last_success.items():
            success.add_metric([name, kind], at.timestamp())
        for (kind, outcome), count in Counter((run.kind, run.outcome) for run in measures.runs).items():
            ended.add_metric([name, kind, outcome], count)
        for kind in sorted({run.kind for run in measures.runs}):
            seconds = [run.seconds for run in measures.runs if run.kind == kind]
            lasted.add_metric([name, kind], _buckets(seconds), sum(seconds))
    yield from (success, ended, lasted)


def _of_outbox(channels: Iterable[str], measures: Measures, now: datetime) -> Iterator[Metric]:
    unsent = _family("alerts", "Unsent alerts, by channel and state.", "channel", "state")
    oldest = _family("oldest_alert_seconds", "Age of the oldest pending alert.", "channel")
    for channel in channels:
        for state in _ALERT_STATES:
            unsent.add_metric([channel, state], measures.alerts.get((channel, state), 0))
        since = measures.alerts_since.get(channel, now)
        oldest.add_metric([channel], (now - since).total_seconds())
    yield from (unsent, oldest)


def _of_settings(monitors: Mapping[str, MonitorConfig], now: datetime) -> Iterator[Metric]:
    asked = "Configured false-positive rate; none if no rate decides what is flagged."
    configured = _family("false_positive_rate_asked", asked, "monitor")
    due = _family("last_due_timestamp_seconds", "Last due time of the monitor's schedule.", "monitor")
    for name, monitor in monitors.items():
        if monitor.asked_rate is not None:
            configured.add_metric([name], monitor.asked_rate)
        at = monitor.score_every and Timing(monitor.score_every, monitor.time_zone).last_due(now)
        if at:
            due.add_metric([name], at.timestamp())
    yield from (configured, due)


def _by_monitor(name: str, text: str, monitors: Mapping[str, MonitorMeasures], attribute: str) -> Metric:
    """Return a gauge with one value for each monitor that has one."""
    gauge = _family(name, text, "monitor")
    for monitor, measures in monitors.items():
        value = getattr(measures, attribute)
        if value is not None:
            gauge.add_metric([monitor], value)
    return gauge


def _by_key(
    name: str, text: str, keyed: tuple[str, Sequence[str]], monitors: Mapping[str, MonitorMeasures], attribute: str
) -> Metric:
    """Return a gauge with one value for each monitor and key; 0 by default, so that the first increase is visible."""
    label, keys = keyed
    gauge = _family(name, text, "monitor", label)
    for monitor, measures in monitors.items():
        for key in keys:
            gauge.add_metric([monitor, key], getattr(measures, attribute).get(key, 0))
    return gauge


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, text, labels=labels)


def _buckets(seconds: Sequence[float]) -> list[tuple[str, float]]:
    """Count the values up to each edge."""
    counts = [(str(edge), float(sum(value <= edge for value in seconds))) for edge in _BUCKET_EDGES]
    return [*counts, ("+Inf", float(len(seconds)))]
