"""The command `status`: an overview of every monitor."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import NO_MONITOR, with_app
from jobs.status_texts import last_run, next_run, notes, stored_settings_note
from jobs.wording import duration, percent

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.output import Output
    from jobs.store.overviews import MonitorOverview
    from jobs.store.tunings import StoredTuning
    from schemas.config import MonitorConfig

_PROGRESS_COLUMNS = ("monitor", "champion", "records", "late", "pending", "lag", "last run", "next run")
_LAST_DAY_COLUMNS = ("monitor", "records", "anomalies", "rate ≤", "target", "incidents", "unlabelled", "requests")
_LAST_DAY_TITLE = "Last day, and open items"


@click.command("status")
@with_app
def status_command(app: "App", out: "Output") -> None:
    """Show champion, progress and open items of each monitor."""
    from jobs.settings_in_force import config_with

    at, monitors = app.clock(), app.config.monitors
    overviews = list(app.store.overviews.of(monitors, at).values())
    stored = app.store.tunings.all()
    in_force = config_with(stored, app.config).monitors
    unconfigured = [name for name in app.store.monitors.names() if name not in monitors]

    def describe() -> None:
        if not overviews:
            out.line(NO_MONITOR)
            if unconfigured:
                out.line(_unconfigured_note(unconfigured))
            return
        out.table(_PROGRESS_COLUMNS, [_progress(item, monitors[item.monitor], at) for item in overviews])
        out.table(_LAST_DAY_COLUMNS, [_last_day(item, in_force[item.monitor]) for item in overviews], _LAST_DAY_TITLE)
        for line in (f"{item.monitor}: {note}" for item in overviews for note in notes(item, at)):
            out.line(line)
        for name in stored.keys() & monitors.keys():
            out.line(f"{name}: {stored_settings_note(stored[name])}")
        if unconfigured:
            out.line(_unconfigured_note(unconfigured))

    rates = [
        {"false_positive_rate": in_force[name].false_positive_rate, "stored_settings": _settings(stored.get(name))}
        for name in monitors
    ]
    out.result([{**asdict(item), **rate} for item, rate in zip(overviews, rates, strict=True)], describe)


def _settings(stored: "StoredTuning | None") -> dict[str, Any]:
    return {} if stored is None else dict(stored.settings)


def _progress(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> tuple[Any, ...]:
    champion = "none" if item.champion_id is None else f"model {item.champion_id}"
    lag = "" if item.lag_seconds is None else duration(item.lag_seconds)
    pending = item.pending_batches + item.running_batches
    runs = (last_run(item, at), next_run(item, monitor, at))
    return (item.monitor, champion, item.records, item.late_records, pending, lag, *runs)


def _last_day(item: "MonitorOverview", monitor: "MonitorConfig") -> tuple[Any, ...]:
    day = item.last_day
    rate = "" if day.realised_rate_at_most is None else percent(day.realised_rate_at_most)
    counts = (day.records, day.anomalies, rate, percent(monitor.false_positive_rate))
    return (item.monitor, *counts, item.open_incidents, item.open_anomalies, item.pending_requests)


def _unconfigured_note(names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return (
        f"In the store but not in the configuration: {listed}. Keep the history, add the section again, or: "
        f"plumbline monitors rename {names[0]} NEW; plumbline monitors delete {names[0]}"
    )
