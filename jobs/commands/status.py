"""The command `status`: an overview of every monitor."""

from collections.abc import Iterator, Mapping, Sequence
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
_MAX_ENTITIES_SHOWN = 5
_LAST_DAY_TITLE = "Last day, and open items"


@click.command("status")
@with_app
def status_command(app: "App", out: "Output") -> None:
    """Show champion, progress and open items of each monitor."""
    at, monitors = app.clock(), app.config.monitors
    overviews = [app.store.overviews.get(name, at) for name in monitors]
    unconfigured = [name for name in app.store.monitors.names() if name not in monitors]

    def describe() -> None:
        if not overviews:
            out.line("The configuration has no monitor. Add one; see: plumbline init --help")
            if unconfigured:
                out.line(_unconfigured_note(unconfigured))
            return
        out.table(_PROGRESS_COLUMNS, [_progress(item, monitors[item.monitor], at) for item in overviews])
        out.table(_LAST_DAY_COLUMNS, [_last_day(item, monitors[item.monitor]) for item in overviews], _LAST_DAY_TITLE)
        for line in (line for item in overviews for line in _notes(item, at)):
            out.line(line)
        if unconfigured:
            out.line(_unconfigured_note(unconfigured))

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
    yield from _failures(item, at)
    if item.too_late_records:
        yield f"{item.monitor}: {counted_noun(item.too_late_records, 'record')} came too late to be scored"
    if item.unreadable_records:
        yield f"{item.monitor}: {_unreadable_records(item)}"
    for event, since in item.ongoing_since.items():
        if event != "silent":
            yield f"{item.monitor}: {_words(event)} since {utc(since)}"
    if item.silent_since:
        yield f"{item.monitor}: {_silent_entities(item.silent_since)}"
    if item.events_of_last_day:
        listed = ", ".join(
            counted_noun(count, _words(kind), _words(kind)) for kind, count in item.events_of_last_day.items()
        )
        yield f"{item.monitor}: events of the last day: {listed}"


def _failures(item: "MonitorOverview", at: datetime) -> Iterator[str]:
    for kind, run in item.last_runs.items():
        if run.outcome == "failed" and run.finished_at is not None:
            yield f"{item.monitor}: {kind} failed {duration((at - run.finished_at).total_seconds())} ago: {run.message}"


def _unreadable_records(item: "MonitorOverview") -> str:
    more = item.unreadable_records - len(item.newest_unreadable)
    listed = ", ".join(item.newest_unreadable) + (f" and {more:,} more" if more else "")
    return f"{counted_noun(item.unreadable_records, 'record')} cannot be read; each is scored once corrected: {listed}"


def _unconfigured_note(names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return (
        f"In the store but not in the configuration: {listed}. Keep the history, add the section again, or: "
        f"plumbline monitors rename {names[0]} NEW; plumbline monitors delete {names[0]}"
    )


def _silent_entities(silent_since: "Mapping[str, datetime]") -> str:
    """List the silent entities, the first to fall silent first."""
    listed = [f"{name} since {utc(since)}" for name, since in list(silent_since.items())[:_MAX_ENTITIES_SHOWN]]
    more = len(silent_since) - len(listed)
    rest = [f"and {more:,} more"] if more else []
    return f"{counted_noun(len(silent_since), 'silent entity', 'silent entities')}: {', '.join([*listed, *rest])}"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
