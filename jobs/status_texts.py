"""The status of a monitor in words."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.wording import counted_noun, duration, utc, words

if TYPE_CHECKING:
    from jobs.store.overviews import MonitorOverview
    from jobs.store.tunings import StoredTuning
    from schemas.config import MonitorConfig

_MAX_ENTITIES_SHOWN = 5
_HELD_BACK = {
    "maintenance": "all of its records are in a maintenance window",
    "rules": "a rule of features ignores every record",
    "label": "it resembles a record labelled false positive",
    "severity": "its severity is too low",
    "records": "it has too few flagged records",
    "consecutive": "too few of consecutive records are flagged",
    "age": "it had ended too long ago",
}


def held_back(reason: str) -> str:
    """Return why nobody is alerted of an incident, for people.

    >>> held_back("age")
    'it had ended too long ago'
    """
    return _HELD_BACK.get(reason, reason)


def last_run(item: "MonitorOverview", at: datetime) -> str:
    """Return the outcome and the age of the last scoring, or else of the last training."""
    run = item.last_runs.get("score") or item.last_runs.get("train")
    if run is None:
        return "none"
    if run.finished_at is None:
        return f"running for {duration((at - run.started_at).total_seconds())}"
    return f"{run.outcome} {duration((at - run.finished_at).total_seconds())} ago"


def next_run(item: "MonitorOverview", monitor: "MonitorConfig", at: datetime) -> str:
    """Return when the monitor is scored next."""
    if item.next_run is not None:
        return f"in {duration((item.next_run - at).total_seconds())}"
    return "no schedule" if monitor.score_every is None else "not served"


def notes(item: "MonitorOverview", at: datetime) -> Iterator[str]:
    """Yield failures, late records, ongoing events and the events of the last day."""
    yield from _failures(item, at)
    if item.too_late_records:
        yield f"{counted_noun(item.too_late_records, 'record')} came too late to be scored"
    if item.unreadable_records:
        yield _unreadable_records(item)
    for event, since in item.ongoing_since.items():
        if event != "silent":
            yield f"{words(event)} since {utc(since)}"
    if item.silent_since:
        yield _silent_entities(item.silent_since)
    if item.events_of_last_day:
        listed = ", ".join(
            counted_noun(count, words(kind), words(kind)) for kind, count in item.events_of_last_day.items()
        )
        yield f"events of the last day: {listed}"


def _failures(item: "MonitorOverview", at: datetime) -> Iterator[str]:
    for kind, run in item.last_runs.items():
        if run.outcome == "failed" and run.finished_at is not None:
            yield f"{kind} failed {duration((at - run.finished_at).total_seconds())} ago: {run.message}"


def _unreadable_records(item: "MonitorOverview") -> str:
    more = item.unreadable_records - len(item.newest_unreadable)
    listed = ", ".join(item.newest_unreadable) + (f" and {more:,} more" if more else "")
    return f"{counted_noun(item.unreadable_records, 'record')} cannot be read; each is scored once corrected: {listed}"


def _silent_entities(silent_since: Mapping[str, datetime]) -> str:
    """List the silent entities, the first to fall silent first."""
    listed = [f"{name} since {utc(since)}" for name, since in list(silent_since.items())[:_MAX_ENTITIES_SHOWN]]
    more = len(silent_since) - len(listed)
    rest = [f"and {more:,} more"] if more else []
    return f"{counted_noun(len(silent_since), 'silent entity', 'silent entities')}: {', '.join([*listed, *rest])}"


def stored_settings_note(stored: "StoredTuning") -> str:
    """Return a sentence about settings that are stored in place of those of the configuration."""
    rules = stored.settings.get("alert", {})
    names = [name for name in stored.settings if name != "alert"] + [f"alert.{name}" for name in rules]
    return (
        f"The store has other settings than config.toml, and they are in force: {', '.join(names)}, "
        f"by {stored.changed_by} at {utc(stored.changed_at)}."
    )
