"""Sums up the incidents that a run found too late to alert them one by one."""

from datetime import datetime, timedelta

from jobs.store import Store
from jobs.store.events import NewEvent
from jobs.store.unannounced import Unannounced
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.section import duration_text

_UNITS = ((timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "minute"))


def sum_up_unannounced(monitor: MonitorConfig, name: str, store: Store, at: datetime) -> None:
    """Record one event about the incidents that ended longer than `alert.newest` ago when they were found.

    Args:
        monitor: the configuration of the monitor.
        name: the name of the monitor.
        store: the service's own database.
        at: the time now.
    """
    pending = store.unannounced.pending(name)
    if pending is not None:
        store.unannounced.sum_up(_event(name, pending, monitor.alert.newest, at), at, monitor.channels)


def _event(monitor: str, pending: Unannounced, newest: timedelta, at: datetime) -> NewEvent:
    was_announced = "was not announced because it" if pending.incidents == 1 else "were not announced because they"
    message = (
        f"{counted_noun(pending.incidents, 'incident')} of the last {whole_duration(at - pending.first_start)} "
        f"{was_announced} ended more than {duration_text(newest)} ago. "
        f"List with: plumbline incidents list {monitor} --since {pending.first_start:%Y-%m-%dT%H:%M:%S}"
    )
    counts = {"incidents": pending.incidents}
    return NewEvent("not_announced", message, monitor, since=pending.first_start, counts=counts)


def whole_duration(length: timedelta) -> str:
    """Format a duration in whole units, rounded up.

    >>> whole_duration(timedelta(days=2, hours=20)), whole_duration(timedelta(hours=1))
    ('3 days', '1 hour')
    """
    for unit, name in _UNITS:
        if length >= unit:
            return counted_noun(-(-length // unit), name)
    return counted_noun(1, "minute")
