"""Finds entities that stopped sending while others of their monitor send, and entities that are new.

Time is that of the newest scored record, so an outage of the service or of the whole source makes nobody silent.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from jobs.maintenance import Maintenance
from jobs.store import Store
from jobs.store.entities import Activity, Entity
from jobs.store.events import NewEvent
from jobs.store.rhythm import MEMORY, Rhythm
from jobs.wording import counted_noun, duration, first_names, utc
from schemas.config import MonitorConfig

MIN_SILENCE = timedelta(hours=1)
"""The shortest silence that is an event, if it is learned."""
_MIN_PAUSES = 10  # before the rhythm of an entity counts as learned
_RANK = 3  # of the pause that others are compared with, so that two outages do not set the limit
_MAX_SEPARATE_ALERTS = 3
_MAX_NAMES = 20
_MAX_NEW_ENTITIES = 100  # reported at once
_NEW_FACTOR = 10  # records for each earlier entity, after which another one is new


def watch_entities(monitor: MonitorConfig, name: str, store: Store, at: datetime) -> None:
    """Record which entities fell silent and which returned, alert the former, and record which are new.

    Args:
        monitor: the configuration of the monitor.
        name: the name of the monitor.
        store: the service's own database.
        at: the time now.
    """
    if monitor.time is None or monitor.entity is None:
        return
    now = store.ledger.scored_until(name)
    if now is None:
        return
    activity = store.entities.activity(name, since=now - _horizon(monitor))
    silent = [entity for entity in activity.entities if _falls_silent(entity, activity, monitor, at)]
    ended = [entity.name for entity in activity.entities if _ends(entity, monitor)]
    new = _new_entities(activity, monitor)
    events = [_silence(entity, activity, name, new) for entity in silent]
    if events or ended:
        summary = _summary(silent, name) if len(silent) > _MAX_SEPARATE_ALERTS else None
        store.entities.record_silences(name, events, ended, at, monitor.channels, summary)
    if new and monitor.series is None:  # of series, new entities are reported as such by their model
        store.events.add_once([_arrival(entity, name) for entity in new], at, limit=_MAX_NEW_ENTITIES)


def is_silent(rhythm: Rhythm, activity: Activity, silent_after: timedelta | None) -> bool:
    """Return whether an entity has sent nothing for unusually long.

    Args:
        rhythm: of the entity.
        activity: of its monitor.
        silent_after: the configured limit; None to judge by the entity's own pauses.
    """
    if activity.scored_until is None:
        return False
    limit = max(MIN_SILENCE, 3 * timedelta(seconds=rhythm.usual_seconds)) if silent_after is None else silent_after
    if activity.scored_until - max(rhythm.last_at, _resumed_at(rhythm, activity, limit)) <= limit:
        return False
    others = activity.records - 1 - rhythm.last_position
    return silent_after is not None or (_is_learned(rhythm) and others > _unusual_pause(rhythm))


def _resumed_at(rhythm: Rhythm, activity: Activity, limit: timedelta) -> datetime:
    """Return when the whole source last went on after a pause that was long for the entity: none had sent until then.

    A source whose every record comes after such a pause, such as one report a day, is not taken to have paused.
    """
    long = max(limit / 2, 1.5 * timedelta(seconds=rhythm.usual_seconds))
    ends = [pause.ended_at for pause in activity.source_pauses if pause.length >= long]
    return max(ends, default=rhythm.last_at)


def _is_learned(rhythm: Rhythm) -> bool:
    return rhythm.pauses >= _MIN_PAUSES and len(rhythm.longest) >= _RANK


def _unusual_pause(rhythm: Rhythm) -> float:
    """Return the records of others in a pause clearly longer than the third longest of the last four weeks."""
    long, usual = rhythm.longest[_RANK - 1].records - 1, rhythm.usual_records - 1
    return min(3 * long, 1.2 * long + 10 * usual)


def _horizon(monitor: MonitorConfig) -> timedelta:
    """Return for how long an entity that sends nothing is watched."""
    given = monitor.silent_after
    return max(MEMORY, 2 * given) if isinstance(given, timedelta) else MEMORY


def _falls_silent(entity: Entity, activity: Activity, monitor: MonitorConfig, at: datetime) -> bool:
    if entity.silent_since is not None or _is_excused(entity, monitor):
        return False
    given = monitor.silent_after if isinstance(monitor.silent_after, timedelta) else None
    if not is_silent(entity.rhythm, activity, given):
        return False
    maintenance, allowance = Maintenance.of(monitor), given or MIN_SILENCE
    return not any(maintenance.mutes(entity.name, time) for time in (at, at - allowance))


def _ends(entity: Entity, monitor: MonitorConfig) -> bool:
    """Return whether the silence of an entity is over: it sent a record, or is no longer watched."""
    since = entity.silent_since
    return since is not None and (entity.rhythm.last_at > since or _is_excused(entity, monitor))


def _is_excused(entity: Entity, monitor: MonitorConfig) -> bool:
    return monitor.silent_after == "never" or entity.retired_at is not None or entity.name in monitor.retired


def _new_entities(activity: Activity, monitor: MonitorConfig) -> list[Entity]:
    """Return the entities that sent their first record lately, long after the first records of the monitor."""
    until = activity.scored_until
    if until is None:
        return []
    recent = [entity for entity in activity.entities if entity.rhythm.first_at > until - monitor.alert.newest]
    firsts = sorted(entity.rhythm.first_position for entity in activity.entities)
    return [entity for entity in recent if _is_new(entity.rhythm.first_position, firsts)]


def _is_new(first_position: int, firsts: Sequence[int]) -> bool:
    """Return whether an entity is new, by the positions of the first records of all."""
    earlier = sum(position < first_position for position in firsts)
    return earlier > 0 and first_position > _NEW_FACTOR * earlier


def _silence(entity: Entity, activity: Activity, monitor: str, new: Collection[Entity]) -> NewEvent:
    rhythm = entity.rhythm
    others = activity.records - 1 - rhythm.last_position
    message = (
        f"Entity {entity.name!r} of monitor {monitor!r} has sent nothing since {utc(rhythm.last_at)}, while the others "
        f"sent {counted_noun(others, 'record')}. Its usual pause is {duration(rhythm.usual_seconds)}."
    )
    names = [other.name for other in new if other.rhythm.first_at >= rhythm.last_at]
    if names:
        message += f" New since then: {first_names(names, _MAX_NAMES)}."
    message += f" If it is retired: plumbline entities retire {monitor} {entity.name!r}"
    return NewEvent("silent", message, monitor, entity.name, since=rhythm.last_at)


def _summary(silent: Sequence[Entity], monitor: str) -> NewEvent:
    first = min(entity.rhythm.last_at for entity in silent)
    names = [entity.name for entity in silent]
    message = (
        f"{len(silent):,} entities of monitor {monitor!r} fell silent, the first at {utc(first)}: "
        f"{first_names(names, _MAX_NAMES)}. "
        f"See: plumbline entities list {monitor}"
    )
    return NewEvent("silent_entities", message, monitor, counts={"entities": len(silent)})


def _arrival(entity: Entity, monitor: str) -> NewEvent:
    message = f"Entity {entity.name!r} of monitor {monitor!r} sent its first record at {utc(entity.rhythm.first_at)}."
    return NewEvent("new_entity", message, monitor, entity.name)
