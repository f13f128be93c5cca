"""status: every monitor at a glance."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import with_app

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.overviews import MonitorOverview
    from schemas.config import MonitorConfig

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_PROGRESS = ("monitor", "champion", "records", "late", "waiting", "lag", "last run", "next run")
_LAST_DAY = ("monitor", "records", "anomalies", "rate ≤", "asked", "incidents", "unjudged", "requests")
_TITLE = "The last day, and what is open"


@click.command("status")
@with_app
def status_command(app: "App", out: "Output") -> None:
    """Show each monitor's champion, progress, last day, and what waits for somebody."""
    at, monitors = app.clock(), app.config.monitors
    found = [app.store.overviews.get(name, at) for name in monitors]

    def describe() -> None:
        if not found:
            out.say("The configuration has no monitor. Add one; see: plumbline init --help")
            return
        out.table(_PROGRESS, [_progress(item, monitors[item.monitor], at) for item in found])
        out.table(_LAST_DAY, [_last_day(item, monitors[item.monitor]) for item in found], _TITLE)
        for line in (line for item in found for line in _notes(item, at)):
            out.say(line)

    asked = [{"false_positive_rate": monitor.false_positive_rate} for monitor in monitors.values()]
    out.result([{**asdict(item), **more} for item, more in zip(found, asked, strict=True)], describe)


def span(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> span(45), span(200), span(7_000), span(400_000)
    ('45 s', '3 min', '2 h', '5 d')
    """
    for unit, size in _UNITS:
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _progress(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> tuple[Any, ...]:
    champion = "none" if item.champion_id is None else f"model {item.champion_id}"
    lag = "" if item.lag_seconds is None else span(item.lag_seconds)
    waiting = item.pending_batches + item.running_batches
    runs = (_last_run(item, at), _next_run(item, monitor, at))
    return (item.monitor, champion, item.records, item.late_records, waiting, lag, *runs)


def _last_run(item: "MonitorOverview", at: datetime) -> str:
    run = item.last_runs.get("score") or item.last_runs.get("train")
    if run is None:
        return "none"
    if run.finished_at is None:
        return f"running for {span((at - run.started_at).total_seconds())}"
    return f"{run.outcome} {span((at - run.finished_at).total_seconds())} ago"


def _next_run(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> str:
    if item.next_run is not None:
        return f"in {span((item.next_run - at).total_seconds())}"
    return "no schedule" if monitor.score_every is None else "not served"


def _last_day(item: "MonitorOverview", monitor: "MonitorConfig") -> tuple[Any, ...]:
    day = item.last_day
    rate = "" if day.realised_rate_at_most is None else f"{day.realised_rate_at_most:.2%}"
    counts = (day.records, day.anomalies, rate, f"{monitor.false_positive_rate:.2%}")
    return (item.monitor, *counts, item.open_incidents, item.open_anomalies, item.pending_requests)


def _notes(item: "MonitorOverview", at: datetime) -> Iterator[str]:
    """What else there is to know of a monitor."""
    from jobs.wording import counted_noun

    for kind, run in item.last_runs.items():
        if run.outcome == "failed" and run.finished_at is not None:
            yield f"{item.monitor}: {kind} failed {span((at - run.finished_at).total_seconds())} ago: {run.message}"
    if item.too_late_records:
        yield f"{item.monitor}: {counted_noun(item.too_late_records, 'record')} came too late to be scored"
    for event, since in item.ongoing_since.items():
        yield f"{item.monitor}: {_words(event)} since {since:%Y-%m-%d %H:%M:%S} UTC"
    if item.events_of_last_day:
        listed = ", ".join(f"{count:,} {_words(kind)}" for kind, count in item.events_of_last_day.items())
        yield f"{item.monitor}: events of the last day: {listed}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
