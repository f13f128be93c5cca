"""Merges old batches that follow each other into one, so that the ledger grows with records and not with runs.

A merged batch is the union of its key ranges. Its fingerprint is the sum of theirs, so that later recounts detect
changed and late records as before, and all its rows belong to the first of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, delete, exists, func, insert, null, select, update

from jobs.databases import reading, writing
from jobs.store.chunks import chunks
from jobs.store.locking import lock_monitor
from jobs.store.portions import Deletion, Portions
from jobs.store.retention_limits import BatchBounds, RetentionLimits
from schemas.tables import (
    anomalies,
    batch_entities,
    batch_hours,
    batch_profiles,
    batches,
    scores,
    trackers,
    unreadable_records,
)

_MAX_BATCHES = 200  # in one transaction
_COLUMNS = ("id", "after_key", "upto_key", "records", "counted", "checksum", "model_id")
_ROWS_PER_FETCH = 1_000

Group = list[int]


def merging(limits: RetentionLimits, bounds: BatchBounds) -> Deletion:
    """Return the merging of old batches, as the deletion of all but the first of each group."""

    def count(connection: Connection) -> int:
        return sum(len(group) - 1 for group in _groups(connection, limits, bounds))

    def portions(engine: Engine) -> Portions:
        with reading(engine) as connection:
            groups = list(_groups(connection, limits, bounds))
        for group in groups:
            with writing(engine) as connection:
                merged = _merge(connection, limits.monitor, group)
            yield merged

    return Deletion("batches, merged into others", count, portions)


def _groups(connection: Connection, limits: RetentionLimits, bounds: BatchBounds) -> Iterator[Group]:
    """Yield the ids of old batches that become one, oldest first."""
    group: list[Row[Any]] = []
    with connection.execute(_mergeable(limits, bounds).execution_options(yield_per=_ROWS_PER_FETCH)) as rows:
        for row in rows:
            if group and not _continues(group, row, limits.max_batch_records):
                if len(group) > 1:
                    yield [item.id for item in group]
                group = []
            group.append(row)
    if len(group) > 1:
        yield [item.id for item in group]


def _mergeable(limits: RetentionLimits, bounds: BatchBounds) -> Select[Any]:
    """Return the select of old batches, oldest first, without those whose profile a drift assessment still needs."""
    c = batches.c
    is_old = and_(c.monitor == limits.monitor, c.state == "done", c.id < bounds.details)
    is_recounted = and_(c.recounted_at.is_not(None), c.recount_at.is_not(None), c.counted.is_not(None))
    has_profile = exists().where(batch_profiles.c.batch_id == c.id)
    return select(*(c[name] for name in _COLUMNS)).where(is_old, is_recounted, ~has_profile).order_by(c.id)


def _continues(group: Sequence[Row[Any]], row: Row[Any], max_records: int) -> bool:
    """Return whether a batch can be merged with those before it."""
    last = group[-1]
    is_next = row.after_key == last.upto_key and row.model_id == last.model_id
    records = sum(item.records or 0 for item in group) + (row.records or 0)
    is_alike = _sums(row.checksum) is not None and _sums(row.checksum) == _sums(last.checksum)
    return is_next and is_alike and len(group) < _MAX_BATCHES and records <= max_records


def _sums(checksum: str | None) -> int | None:
    """Return the number of sums in a checksum; None if they cannot be added.

    >>> _sums("12 -34"), _sums("12 None"), _sums(None), _sums("1.5")
    (2, 2, 0, None)
    """
    parts = [] if checksum is None else checksum.split(" ")
    return len(parts) if all(part == "None" or part.removeprefix("-").isdecimal() for part in parts) else None


def _merge(connection: Connection, monitor: str, ids: Group) -> int:
    """Merge batches, and return the number of deleted ones; none if one of them was reopened meanwhile."""
    c = batches.c
    lock_monitor(connection, monitor)
    locked = select(batches).where(c.id.in_(ids)).order_by(c.id).with_for_update()
    rows = connection.execute(locked).all()
    if [row.id for row in rows] != ids or any(row.state != "done" for row in rows):
        return 0
    first, others = ids[0], ids[1:]
    hours = _hours(connection, ids)
    _merge_places(connection, monitor, ids)
    for table in (anomalies, scores, unreadable_records):
        connection.execute(update(table).where(table.c.batch_id.in_(others)).values(batch_id=first))
    _merge_trackers(connection, ids)
    connection.execute(delete(batch_hours).where(batch_hours.c.batch_id.in_(ids)))
    connection.execute(delete(batch_profiles).where(batch_profiles.c.batch_id.in_(others)))
    connection.execute(delete(batches).where(c.id.in_(others)))
    for chunk in chunks({"batch_id": first, "monitor": monitor, **hour} for hour in hours):
        connection.execute(insert(batch_hours), chunk)
    connection.execute(update(batches).where(c.id == first).values(_merged(rows)))
    return len(others)


def _hours(connection: Connection, ids: Group) -> list[dict[str, Any]]:
    """Return the records and anomalies of batches by hour."""
    c = batch_hours.c
    sums = select(c.hour, func.sum(c.records), func.sum(c.anomalies)).where(c.batch_id.in_(ids)).group_by(c.hour)
    return [
        {"hour": hour, "records": int(records), "anomalies": int(flagged)}
        for hour, records, flagged in connection.execute(sums)
    ]


def _merge_places(connection: Connection, monitor: str, ids: Group) -> None:
    """Move flagged rows to their places among the records of their entity in the merged batch, and add up these."""
    c, a = batch_entities.c, anomalies.c
    of_batches = select(c.batch_id, c.entity, c.records).where(c.batch_id.in_(ids)).order_by(c.batch_id)
    counts = connection.execute(of_batches).all()
    placed = select(a.batch_id, a.entity).where(a.batch_id.in_(ids), a.entity_position.is_not(None)).distinct()
    flagged = {(row.batch_id, row.entity or "") for row in connection.execute(placed)}
    totals: Counter[str] = Counter()
    for batch_id, entity, records in counts:
        if totals[entity] and (batch_id, entity) in flagged:
            is_moved = and_(a.batch_id == batch_id, func.coalesce(a.entity, "") == entity)
            moved = update(anomalies).where(is_moved).values(entity_position=a.entity_position + totals[entity])
            connection.execute(moved)
        totals[entity] += records
    connection.execute(delete(batch_entities).where(c.batch_id.in_(ids)))
    rows = [{"batch_id": ids[0], "monitor": monitor, "entity": name, "records": n} for name, n in totals.items()]
    for chunk in chunks(rows):
        connection.execute(insert(batch_entities), chunk)


def _merge_trackers(connection: Connection, ids: Group) -> None:
    """Move the newest state of each tracked threshold to the merged batch, and delete the others."""
    c, newer = trackers.c, trackers.alias("newer")
    same = (newer.c.model_id == c.model_id) & (newer.c.entity == c.entity)
    is_followed = exists().where(same, newer.c.batch_id > c.batch_id, newer.c.batch_id.in_(ids))
    followed = connection.execute(
        select(c.model_id, c.entity, c.batch_id).where(c.batch_id.in_(ids), is_followed)
    ).all()
    for row in followed:
        is_row = (c.model_id == row.model_id) & (c.entity == row.entity) & (c.batch_id == row.batch_id)
        connection.execute(delete(trackers).where(is_row))
    connection.execute(update(trackers).where(c.batch_id.in_(ids)).values(batch_id=ids[0]))


def _merged(rows: Sequence[Row[Any]]) -> dict[str, Any]:
    """Return the values of a merged batch. Its times are the earliest, so that it is not watched again."""
    totals = ("records", "anomalies", "attempts", "rescorings", "late_records", "counted")
    return {
        "upto_key": rows[-1].upto_key,
        **{name: sum(getattr(row, name) or 0 for row in rows) for name in totals},
        **{name: min(getattr(row, name) for row in rows) for name in ("planned_at", "recounted_at", "recount_at")},
        "finished_at": max(row.finished_at for row in rows),
        "checksum": _total_checksum([row.checksum for row in rows]),
        "entities": _total_entities([row.entities for row in rows]),
        "has_changed": any(row.has_changed for row in rows),
    }


def _total_checksum(checksums: Sequence[str | None]) -> str | None:
    """Return the checksum of several key ranges; an empty range has no sums.

    >>> _total_checksum(["1 20", "None None", "2 30"])
    '3 50'
    """
    if None in checksums:
        return None
    parts = [[None if part == "None" else int(part) for part in text.split(" ")] for text in checksums if text]
    columns = [[value for value in column if value is not None] for column in zip(*parts, strict=True)]
    return " ".join(str(sum(values)) if values else "None" for values in columns)


def _total_entities(counts: Sequence[dict[str, int] | None]) -> Any:
    """Return the number of records of each entity; unknown if it is for one of the batches."""
    if any(part is None for part in counts):
        return null()
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part or {})
    return dict(total)
