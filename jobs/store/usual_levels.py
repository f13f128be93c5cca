"""Levels of scores that became usual: events in the transaction of the batch that moved the threshold."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from jobs.store.batch_result import ThresholdChange
from jobs.store.events import EventLog, NewEvent

_MAX_EVENTS = 20  # of one batch; one more sums up the other entities


def report_usual_levels(
    connection: Connection,
    monitor: str,
    changes: Mapping[str, ThresholdChange],
    log: EventLog,
    channels: Sequence[str],
    at: datetime,
) -> None:
    """Record an event for each entity with a level that became usual in a batch, and one for many more entities.

    Args:
        connection: in the transaction of the batch.
        monitor: the name of the monitor.
        changes: of the thresholds over the batch, by entity.
        log: writes the events.
        channels: to alert.
        at: the time now.
    """
    entities = sorted(entity for entity, change in changes.items() if change.usual_levels)
    for entity in entities[:_MAX_EVENTS]:
        log.write(connection, _event(monitor, entity, changes[entity].after["usual_after"]), at, channels)
    if others := entities[_MAX_EVENTS:]:
        log.write(connection, _event_of_others(monitor, others), at, channels)


def _event(monitor: str, entity: str, records: int) -> NewEvent:
    message = (
        f"The scores of entity {entity!r} of monitor {monitor!r} stayed high for {records:,} records, and now count "
        "as usual: records like these are no longer flagged. If it is a fault, repair it; if not, train again."
    )
    return NewEvent("usual_level", message, monitor, entity or None, counts={"records": records})


def _event_of_others(monitor: str, entities: Sequence[str]) -> NewEvent:
    named = ", ".join(map(repr, entities[:_MAX_EVENTS])) + (", ..." if len(entities) > _MAX_EVENTS else "")
    message = (
        f"The scores of {len(entities):,} more entities of monitor {monitor!r} stayed high, and now count as usual: "
        f"{named}. If it is a fault, repair it; if not, train again."
    )
    return NewEvent("usual_level", message, monitor, counts={"entities": len(entities)})
