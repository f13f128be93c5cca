"""Flagged records in a row: how many of the last records of an entity are flagged, whatever the cutting of batches.

Records of an entity follow each other in the order of their keys. A flagged row has its place among the records of its
entity in its batch, and `batch_entities` the number of these records, so that the unflagged records between two
flagged rows are known. A batch that is not scored yet counts as if it had no records. Rows that no alert is about, in
maintenance windows, left out by a rule or suppressed by a label, count as unflagged.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from jobs.store.alert_rule import IncidentRule
from jobs.store.chunks import chunks
from jobs.store.incident_grouping import ChangedTimes
from jobs.store.writing import Origin
from schemas.tables import anomalies, batch_entities, batches

_ROWS_PER_STATEMENT = 1_000
_MAX_LATER_BATCHES = 64  # whose flagged rows are looked at to find the entities that a batch is counted for


@dataclass(frozen=True)
class _Row:
    """A flagged row of an entity, at its place: 1 for the entity's first record of the batch at hand."""

    id: int
    entity: str | None
    place: int
    time: datetime
    in_row: int | None


@dataclass(frozen=True)
class _Recount:
    """The batch whose rows changed, and the rule by which rows around it are counted."""

    connection: Connection
    origin: Origin
    of: int
    gap: timedelta

    def changed_rows(self, entity: str, records: int) -> list[_Row]:
        """Return the rows of an entity with another `in_row` than stored: in the batch, and shortly after it."""
        rows = self._rows_around(entity, records)
        is_affected = range(1, records + self.of)
        return [
            _Row(row.id, row.entity, row.place, row.time, count)
            for index, row in enumerate(rows)
            if row.place in is_affected and (count := self._flagged_up_to(rows, index)) != row.in_row
        ]

    def _flagged_up_to(self, rows: Sequence[_Row], index: int) -> int:
        """Return the number of rows among the last records up to a row; a pause longer than the gap ends the count."""
        count, last = 0, rows[index]
        for row in reversed(rows[: index + 1]):
            if row.place <= rows[index].place - self.of or abs(row.time - last.time) > self.gap:
                break
            count, last = count + 1, row
        return count

    def _rows_around(self, entity: str, records: int) -> list[_Row]:
        """Return the rows of an entity in the batch and in those before and after that hold its nearest records."""
        starts, start = {self.origin.batch_id: 0}, 0
        for batch_id, count in self._nearest(entity, "before"):
            start -= count
            starts[batch_id] = start
        start = records
        for batch_id, count in self._nearest(entity, "after"):
            starts[batch_id] = start
            start += count
        c = anomalies.c
        time = func.coalesce(c.record_time, c.flagged_at)
        is_current = and_(c.superseded_at.is_(None), c.suppressed_by.is_(None))
        is_counted = and_(is_current, c.is_muted.is_(False), c.held_back.is_(None))
        # As an expression, it leaves the choice of the index to the batches: an entity may have a long history.
        is_of_entity = func.coalesce(c.entity, "") == entity
        is_placed = and_(c.batch_id.in_(starts), c.entity_position.is_not(None), is_of_entity)
        found = self.connection.execute(
            select(c.id, c.entity, c.batch_id, c.entity_position, time, c.in_row).where(is_placed, is_counted)
        )
        rows = [
            _Row(row_id, name, starts[batch_id] + position, at, in_row)
            for row_id, name, batch_id, position, at, in_row in found
        ]
        return sorted(rows, key=lambda row: row.place)

    def _nearest(self, entity: str, side: Literal["before", "after"]) -> list[tuple[int, int]]:
        """Return the nearest batches with records of an entity and their number, up to as many as the rule needs."""
        c, batch_id = batch_entities.c, self.origin.batch_id
        is_beside = c.batch_id < batch_id if side == "before" else c.batch_id > batch_id
        order = c.batch_id.desc() if side == "before" else c.batch_id
        of_entity = select(c.batch_id, c.records).where(c.monitor == self.origin.monitor, c.entity == entity, is_beside)
        nearest: list[tuple[int, int]] = []
        for row in self.connection.execute(of_entity.order_by(order).limit(self.of - 1)):
            if sum(count for _, count in nearest) >= self.of - 1:
                break
            nearest.append((row.batch_id, row.records))
        return nearest


def count_in_row(
    connection: Connection,
    origin: Origin,
    counts: Mapping[str, int] | None,
    changed: ChangedTimes,
    rule: IncidentRule,
) -> ChangedTimes:
    """Count flagged records in a row in a batch, and again in the records that follow it.

    Args:
        connection: in the transaction that wrote the batch.
        origin: of the batch.
        counts: number of records of each entity in the batch; None if they are not counted.
        changed: the times of flagged rows that the batch has changed.
        rule: of the monitor.

    Returns:
        These times, and those of rows of later batches that count differently now.
    """
    recounted = _replace_counts(connection, origin, counts or {})
    if counts is None or rule.alerts.in_row_of == 1:
        return changed
    recount = _Recount(connection, origin, rule.alerts.in_row_of, rule.gap)
    entities = {name or "" for name in changed} | _before_flagged(connection, origin, recounted)
    rows = [row for name in sorted(entities) for row in recount.changed_rows(name, counts.get(name, 0))]
    _update(connection, rows)
    return _with_times(changed, rows)


def _replace_counts(connection: Connection, origin: Origin, counts: Mapping[str, int]) -> set[str]:
    """Replace the numbers of records of a batch, and return the entities whose number has changed."""
    c = batch_entities.c
    of_batch = select(c.entity, c.records).where(c.batch_id == origin.batch_id)
    before = {row.entity: row.records for row in connection.execute(of_batch)}
    changed = {name for name in {*before, *counts} if before.get(name) != counts.get(name)}
    if changed:
        connection.execute(delete(batch_entities).where(c.batch_id == origin.batch_id))
        rows = [{"entity": name, "records": count} | origin.batch_columns for name, count in counts.items()]
        for chunk in chunks(rows, _ROWS_PER_STATEMENT):
            connection.execute(insert(batch_entities), chunk)
    return changed


def _before_flagged(connection: Connection, origin: Origin, entities: set[str]) -> set[str]:
    """Return the entities that a later batch may have flagged; all of them if many batches are later."""
    b, c = batches.c, anomalies.c
    later = select(b.id).where(b.monitor == origin.monitor, b.state == "done", b.id > origin.batch_id)
    later_ids = connection.scalars(later.order_by(b.id).limit(_MAX_LATER_BATCHES + 1)).all() if entities else ()
    if not later_ids or len(later_ids) > _MAX_LATER_BATCHES:
        return entities if later_ids else set()
    placed = select(c.entity).where(c.batch_id.in_(later_ids), c.entity_position.is_not(None)).distinct()
    return entities & {name or "" for name in connection.scalars(placed)}


def _update(connection: Connection, rows: Iterable[_Row]) -> None:
    change = update(anomalies).where(anomalies.c.id == bindparam("row_id")).values(in_row=bindparam("count"))
    for chunk in chunks([{"row_id": row.id, "count": row.in_row} for row in rows], _ROWS_PER_STATEMENT):
        connection.execute(change, chunk)


def _with_times(changed: ChangedTimes, rows: Collection[_Row]) -> ChangedTimes:
    times = {entity: [*of_entity] for entity, of_entity in changed.items()}
    for row in rows:
        of_entity = times.setdefault(row.entity, [])
        if row.time not in of_entity:
            of_entity.append(row.time)
    return times
