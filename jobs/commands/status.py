"""The command `status`: an overview of every monitor."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import with_app
from jobs.wording import counted_noun, duration, percent, utc

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.overviews import MonitorOverview
    from schemas.config import MonitorConfig

_PROGRESS_COLUMNS = ("monitor", "champion", "records", "late", "pending", "lag", "last run", "next run")
_LAST_DAY_COLUMNS = ("monitor", "records", "anomalies", "rate ≤", "target", "incidents", "unlabelled", "requests")
_LAST_DAY_TITLE = "Last day, and open items"


@click.command("status")
@with_app
def status_command(app: "App", out: "Output") -> None:
    """Show champion, progress, last day and open items of each monitor."""
    at, monitors = app.clock(), app.config.monitors
    overviews = [app.store.overviews.get(name, at) for name in monitors]

    def describe() -> None:
        if not overviews:
            out.line("The configuration has no monitor. Add one; see: plumbline init --help")
            return
        out.table(_PROGRESS_COLUMNS, [_progress(item, monitors[item.monitor], at) for item in overviews])
        out.table(_LAST_DAY_COLUMNS, [_last_day(item, monitors[item.monitor]) for item in overviews], _LAST_DAY_TITLE)
        for line in (line for item in overviews for line in _notes(item, at)):
            out.line(line)

    rates = [{"false_positive_rate": monitor.false_positive_rate} for monitor in monitors.values()]
    out.result([{**asdict(item), **rate} for item, rate in zip(overviews, rates, strict=True)], describe)


def _progress(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> tuple[Any, ...]:
    champion = "none" if item.champion_id is None else f"model {item.champion_id}"
    lag = "" if item.lag_seconds is None else duration(item.lag_seconds)
    pending = item.pending_batches + item.running_batches
    runs = (_last_run(item, at), _next_run(item, monitor, at))
    return (item.monitor, champion, item.records, item.late_records, pending, lag, *runs)


def _last_run(item: "MonitorOverview", at: datetime) -> str:
    run = item.last_runs.get("score") or item.last_runs.get("train")
    if run is None:
        return "none"
    if run.finished_at is None:
        return f"running for {duration((at - run.started_at).total_seconds())}"
    return f"{run.outcome} {duration((at - run.finished_at).total_seconds())} ago"


def _next_run(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> str:
    if item.next_run is not None:
        return f"in {duration((item.next_run - at).total_seconds())}"
    return "no schedule" if monitor.score_every is None else "not served"


def _last_day(item: "MonitorOverview", monitor: "MonitorConfig") -> tuple[Any, ...]:
    day = item.last_day
    rate = "" if day.realised_rate_at_most is None else percent(day.realised_rate_at_most)
    counts = (day.records, day.anomalies, rate, percent(monitor.false_positive_rate))
    return (item.monitor, *counts, item.open_incidents, item.open_anomalies, item.pending_requests)


def _notes(item: "MonitorOverview", at: datetime) -> Iterator[str]:
    """Yield failures, late records, ongoing events and the events of the last day."""
    for kind, run in item.last_runs.items():
        if run.outcome == "failed" and run.finished_at is not None:
            yield f"{item.monitor}: {kind} failed {duration((at - run.finished_at).total_seconds())} ago: {run.message}"
    if item.too_late_records:
        yield f"{item.monitor}: {counted_noun(item.too_late_records, 'record')} came too late to be scored"
    if item.unreadable_records:
        listed = ", ".join(item.newest_unreadable)
        more = item.unreadable_records - len(item.newest_unreadable)
        yield (
            f"{item.monitor}: {counted_noun(item.unreadable_records, 'record')} cannot be read; each is scored once it "
            f"is corrected: {listed}{f' and {more:,} more' if more else ''}"
        )
    for event, since in item.ongoing_since.items():
        yield f"{item.monitor}: {_words(event)} since {utc(since)}"
    if item.events_of_last_day:
        listed = ", ".join(
            counted_noun(count, _words(kind), _words(kind)) for kind, count in item.events_of_last_day.items()
        )
        yield f"{item.monitor}: events of the last day: {listed}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
