"""Metrics for Prometheus: the store in numbers, read anew at each scrape.

Nothing is counted in the process, so that two processes agree and a restart loses nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.api.state import State
from jobs.store.events import EventKind
from jobs.store.metrics import Measures, MonitorMeasures
from jobs.timing import last_due
from schemas.config import MonitorConfig
from schemas.labels import LABELS

_PREFIX = "plumbline_"
_BY_STATE = ("state", ("pending", "running"))
_BY_LABEL = ("label", LABELS)
_BY_KIND = ("kind", get_args(EventKind))
_ALERT_STATES = ("pending", "sending", "failed")
_EDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # seconds


def render(service: State) -> bytes:
    """The metrics of a service as text."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(service))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class ServiceCollector(Collector):
    """The metrics of a service.

    Args:
        service: whose store is read at each collection.
    """

    def __init__(self, service: State) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """Nothing: or the registry would read the store to find the names out."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric, all of one moment."""
        service, now = self._service, self._service.clock()
        monitors = service.config.monitors
        measures = service.store.metrics.read(monitors, now)
        found = measures.monitors
        yield from _of_ledger(found, now)
        yield from _of_findings(found)
        yield from _of_events({"": measures.events} | {name: item.events for name, item in found.items()})
        yield from _of_runs(found)
        yield from _of_settings(monitors, now)
        yield from _of_outbox(service.config.alerts.channels, measures, now)
        alive = _family("scheduler_alive", "1 where the scheduler of this process does its work.")
        alive.add_metric([], int(service.is_alive()))
        yield alive


def _of_ledger(found: Mapping[str, MonitorMeasures], now: datetime) -> Iterator[Metric]:
    yield _by_monitor("records_scored", "Records in the ledger. It falls where a record vanished.", found, "records")
    yield _by_monitor("anomalies", "Records flagged, by the ledger.", found, "anomalies")
    yield _by_monitor("late_records", "Records found late and scored then.", found, "late_records")
    yield _by_monitor("too_late_records", "Records that came too late to be scored.", found, "too_late_records")
    yield _by_monitor("rescored_batches", "Batches scored again.", found, "rescorings")
    yield _by_key("batches", "Batches that wait or are being scored, by state.", _BY_STATE, found, "batches")
    lag = _family("lag_seconds", "How long ago the newest record that was scored was made.", "monitor")
    for name, measures in found.items():
        if measures.scored_until is not None:
            lag.add_metric([name], (now - measures.scored_until).total_seconds())
    yield lag


def _of_findings(found: Mapping[str, MonitorMeasures]) -> Iterator[Metric]:
    yield _by_monitor("open_incidents", "Incidents that may still go on.", found, "open_incidents")
    yield _by_key("anomalies_labelled", "The champion's anomalies by label.", _BY_LABEL, found, "labels")
    realised = "False-positive rate of the champion as labels tell it: share flagged, of it the part judged false."
    yield _by_monitor("false_positive_rate_realised", realised, found, "realised_rate")
    yield _by_key("retrain_requests", "Requests that wait or are being served, by state.", _BY_STATE, found, "requests")
    yield _by_key("ongoing_events", "Events that go on, by kind: a gap, a failure.", _BY_KIND, found, "ongoing")


def _of_events(found: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    ever = CounterMetricFamily(
        f"{_PREFIX}events", "Events, by kind; without monitor, of the service.", labels=["monitor", "kind"]
    )
    for name, events in found.items():
        for kind in _BY_KIND[1]:
            ever.add_metric([name, kind], events.get(kind, 0))
    yield ever


def _of_runs(found: Mapping[str, MonitorMeasures]) -> Iterator[Metric]:
    success = _family("last_success_timestamp_seconds", "When a run of this kind last ended well.", "monitor", "kind")
    ended = _family("runs_last_day", "Runs begun and ended within 24 hours.", "monitor", "kind", "outcome")
    lasted = GaugeHistogramMetricFamily(
        f"{_PREFIX}run_seconds", "How long the runs of the last 24 hours took.", labels=["monitor", "kind"]
    )
    for name, measures in found.items():
        for kind, at in measures.last_success.items():
            success.add_metric([name, kind], at.timestamp())
        for (kind, outcome), count in Counter((run.kind, run.outcome) for run in measures.runs).items():
            ended.add_metric([name, kind, outcome], count)
        for kind in sorted({run.kind for run in measures.runs}):
            seconds = [run.seconds for run in measures.runs if run.kind == kind]
            lasted.add_metric([name, kind], _buckets(seconds), sum(seconds))
    yield from (success, ended, lasted)


def _of_outbox(channels: Iterable[str], measures: Measures, now: datetime) -> Iterator[Metric]:
    unsent = _family("alerts", "Alerts that wait or were given up, by channel and state.", "channel", "state")
    oldest = _family("oldest_alert_seconds", "How long the oldest alert that waits has waited.", "channel")
    for channel in channels:
        for state in _ALERT_STATES:
            unsent.add_metric([channel, state], measures.alerts.get((channel, state), 0))
        since = measures.alerts_since.get(channel, now)
        oldest.add_metric([channel], (now - since).total_seconds())
    yield from (unsent, oldest)


def _of_settings(monitors: Mapping[str, MonitorConfig], now: datetime) -> Iterator[Metric]:
    asked = _family("false_positive_rate_asked", "Share of normal records that may be flagged.", "monitor")
    due = _family("last_due_timestamp_seconds", "When the schedule last wanted the monitor scored.", "monitor")
    for name, monitor in monitors.items():
        asked.add_metric([name], monitor.false_positive_rate)
        at = monitor.score_every and last_due(monitor.score_every, monitor.time_zone, now)
        if at:
            due.add_metric([name], at.timestamp())
    yield from (asked, due)


def _by_monitor(name: str, text: str, found: Mapping[str, MonitorMeasures], attribute: str) -> Metric:
    """A gauge with one value for each monitor that has one."""
    gauge = _family(name, text, "monitor")
    for monitor, measures in found.items():
        value = getattr(measures, attribute)
        if value is not None:
            gauge.add_metric([monitor], value)
    return gauge


def _by_key(
    name: str, text: str, keyed: tuple[str, Sequence[str]], found: Mapping[str, MonitorMeasures], attribute: str
) -> Metric:
    """A gauge with one value for each monitor and key: 0 where there is nothing, or its first change would not show."""
    label, keys = keyed
    gauge = _family(name, text, "monitor", label)
    for monitor, measures in found.items():
        for key in keys:
            gauge.add_metric([monitor, key], getattr(measures, attribute).get(key, 0))
    return gauge


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, text, labels=labels)


def _buckets(seconds: Sequence[float]) -> list[tuple[str, float]]:
    """How many values are at most each edge."""
    counts = [(str(edge), float(sum(value <= edge for value in seconds))) for edge in _EDGES]
    return [*counts, ("+Inf", float(len(seconds)))]
