"""The fleet: the state of every monitor, and what needs a person."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from jobs import status_texts
from jobs.api.pages.sparkline import Sparkline, sparkline
from jobs.api.service_view import ServiceView
from jobs.settings_in_force import config_in_force
from jobs.store import MonitorOverview
from jobs.store.history import NewestDays
from schemas.config import MonitorConfig

Health: TypeAlias = Literal["failing", "attention", "fine", "untrained"]
DAYS_SHOWN = 14
_ORDER: tuple[Health, ...] = ("failing", "attention", "untrained", "fine")


@dataclass(frozen=True)
class FleetRow:
    """A monitor in the fleet."""

    overview: MonitorOverview
    health: Health
    last_run: str
    next_run: str
    rate: float | None
    """The false-positive rate in force; None if no rate decides."""
    days: Sparkline
    notes: Sequence[str]
    """What needs a person, and what happened on the last day."""
    is_tuned: bool
    """Whether settings are stored in place of those of the configuration."""


def fleet_rows(service: ServiceView) -> list[FleetRow]:
    """Return every monitor of the configuration, those that need a person first."""
    at = service.clock()
    monitors = config_in_force(service.store, service.config).monitors
    tuned = service.store.tunings.all().keys()
    overviews = service.store.overviews.of(monitors, at)
    days = service.store.history.newest_days(monitors, DAYS_SHOWN, at)
    challengers = service.store.models.newest_challengers(monitors)
    rows = [
        _row(overviews[name], monitor, _bars(days[name], DAYS_SHOWN, monitor.asked_rate), at, is_tuned=name in tuned)
        for name, monitor in monitors.items()
    ]
    noted = [_with_challenger(row, challengers.get(row.overview.monitor)) for row in rows]
    return sorted(noted, key=lambda row: _ORDER.index(row.health))


def day_bars(service: ServiceView, name: str, rate: float | None, days: int, at: datetime) -> Sparkline:
    """Return the flagged records of the last days of a monitor, up to its newest record if that is older than now."""
    return _bars(service.store.history.newest_days([name], days, at)[name], days, rate)


def _bars(newest: NewestDays, days: int, rate: float | None) -> Sparkline:
    return sparkline(newest.counts, newest.last, days, rate)


def _row(
    overview: MonitorOverview, monitor: MonitorConfig, days: Sparkline, at: datetime, *, is_tuned: bool
) -> FleetRow:
    return FleetRow(
        overview=overview,
        health=_health(overview),
        last_run=status_texts.last_run(overview, at),
        next_run=status_texts.next_run(overview, monitor, at),
        rate=monitor.asked_rate,
        days=days,
        notes=list(status_texts.notes(overview, at)),
        is_tuned=is_tuned,
    )


def _with_challenger(row: FleetRow, challenger: int | None) -> FleetRow:
    """Return a row with a note if a challenger is newer than the champion."""
    champion = row.overview.champion_id
    if challenger is None or champion is None or challenger < champion:
        return row
    note = f"model {challenger} is newer than the champion and was not promoted: see all models"
    return replace(row, notes=[*row.notes, note])


def _health(overview: MonitorOverview) -> Health:
    if any(run.outcome == "failed" for run in overview.last_runs.values()):
        return "failing"
    if overview.champion_id is None:
        return "untrained"
    needs_person = overview.open_incidents or overview.ongoing_since or overview.unreadable_records
    return "attention" if needs_person else "fine"
