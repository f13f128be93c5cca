"""Numbers of a monitor over time: records and flagged rows by day, causes, labels, drift, and moving thresholds."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, func, select

from jobs.databases import reading
from jobs.store.ledger import key_range_of
from jobs.store.unions import rows_of_each
from schemas.frames import UNGROUPED_ENTITY
from schemas.keys import KeyRange
from schemas.tables import anomalies, batch_hours, batches, drift_features, drifts, monitors, trackers

_MAX_BATCHES = 10_000


@dataclass(frozen=True)
class DayCount:
    """Scored and flagged records of one day of record time, in UTC."""

    day: date
    records: int
    anomalies: int


@dataclass(frozen=True)
class NewestDays:
    """The counts of the newest days of a monitor, of which the last is that of its newest record."""

    last: date
    counts: list[DayCount]


@dataclass(frozen=True)
class ScoredBatch:
    """A finished batch."""

    id: int
    key_range: KeyRange
    records: int


@dataclass(frozen=True)
class CauseCount:
    """How often a feature was the main cause of a flagged record."""

    feature: str
    anomalies: int
    max_severity: float


@dataclass(frozen=True)
class StoredDrift:
    """An assessment of drift, with the stability index of each feature, the largest first."""

    id: int
    model_id: int
    assessed_at: datetime
    records: int
    ks_statistic: float
    is_drift: bool
    psi: Mapping[str, float]


class History:
    """The history of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def newest_hour(self, monitor: str) -> datetime | None:
        """Return the newest hour that has scored records, or None."""
        with reading(self.engine) as connection:
            newest: datetime | None = connection.scalar(
                select(func.max(batch_hours.c.hour)).where(batch_hours.c.monitor == monitor)
            )
        return newest

    def days(self, monitor: str, since: datetime | None = None) -> list[DayCount]:
        """Return the counts of each day that has records, from a time on or all."""
        with reading(self.engine) as connection:
            return _day_counts(connection.execute(_hours(monitor, since)).mappings())

    def newest_days(self, names: Collection[str], days: int, at: datetime) -> dict[str, NewestDays]:
        """Return the counts of the newest days of monitors by name, read in one transaction.

        Args:
            names: of the monitors.
            days: their number, up to the newest hour that has scored records.
            at: the time up to which the days of a monitor without scored records are.
        """
        with reading(self.engine) as connection:
            newest = dict.fromkeys(names, at) | _newest_hours(connection, names)
            hours: dict[str, list[RowMapping]] = {name: [] for name in names}
            since = timedelta(days=days)
            for row in rows_of_each(connection, [_hours(name, end - since) for name, end in newest.items()]):
                hours[row["monitor"]].append(row)
        return {name: NewestDays(newest[name].date(), _day_counts(hours[name])) for name in names}

    def first_batch(self, monitor: str, since: datetime) -> int | None:
        """Return the first batch that has a record since a time, or None."""
        with reading(self.engine) as connection:
            first: int | None = connection.scalar(_first_batch(monitor, since))
        return first

    def newest_batches(self, monitor: str, since: datetime, max_records: int) -> list[ScoredBatch]:
        """Return the finished batches from the first with a record since a time on, oldest first.

        Args:
            monitor: the name of the monitor.
            since: the time.
            max_records: the maximum number of records of all batches but the newest; older batches are left out.
        """
        b = batches.c
        is_recent = (b.monitor == monitor, b.state == "done", b.id >= _first_batch(monitor, since).scalar_subquery())
        newest = select(b.id, b.after_key, b.upto_key, b.records).where(*is_recent).order_by(b.id.desc())
        chosen: list[ScoredBatch] = []
        with reading(self.engine) as connection:
            for row in connection.execute(newest.limit(_MAX_BATCHES)).mappings():
                batch = ScoredBatch(row["id"], key_range_of(row), row["records"] or 0)
                if chosen and batch.records + sum(item.records for item in chosen) > max_records:
                    break
                chosen.append(batch)
        return chosen[::-1]

    def causes(self, monitor: str, limit: int) -> list[CauseCount]:
        """Return the most frequent main causes of the current flagged rows, with their number."""
        c = anomalies.c
        is_current = (c.monitor == monitor, c.superseded_at.is_(None), c.top_feature.is_not(None))
        count = func.count()
        causes = select(c.top_feature, count, func.max(c.severity)).where(*is_current).group_by(c.top_feature)
        with reading(self.engine) as connection:
            rows = connection.execute(causes.order_by(count.desc(), c.top_feature).limit(limit)).all()
        return [CauseCount(feature, int(number), float(severity)) for feature, number, severity in rows]

    def labels(self, monitor: str) -> dict[str, int]:
        """Return the number of current flagged rows by label."""
        c = anomalies.c
        counts = select(c.label, func.count()).where(c.monitor == monitor, c.superseded_at.is_(None))
        with reading(self.engine) as connection:
            return dict(connection.execute(counts.group_by(c.label).order_by(c.label)).all())

    def drifts(self, monitor: str, limit: int) -> list[StoredDrift]:
        """Return the newest assessments of drift, newest first."""
        d = drifts.c
        columns = (d.id, d.model_id, d.assessed_at, d.records, d.ks_statistic, d.is_drift)
        newest = select(*columns).where(d.monitor == monitor).order_by(d.id.desc()).limit(limit)
        with reading(self.engine) as connection:
            rows = connection.execute(newest).all()
            return [StoredDrift(*row, psi=_indexes(connection, row.id)) for row in rows]

    def threshold_after(self, monitor: str, model_id: int, entity: str | None, time: datetime) -> float | None:
        """Return the moving threshold of an entity at its first flagged record after a time, or else the newest one.

        None if the entity's threshold has not moved, as that of a model that scored no record yet.

        Args:
            monitor: the name of the monitor.
            model_id: its model.
            entity: the name of the entity, empty for records of none; None if the monitor has no entities.
            time: of a record.
        """
        a, t = anomalies.c, trackers.c
        is_own = (a.monitor == monitor, a.model_id == model_id, a.entity.is_not_distinct_from(entity or None))
        is_later = (a.superseded_at.is_(None), a.record_time > time)
        flagged = select(a.threshold).where(*is_own, *is_later).order_by(a.record_time, a.id).limit(1)
        name = UNGROUPED_ENTITY if entity is None else entity
        states = select(t.state_after).where(t.model_id == model_id, t.entity == name)
        with reading(self.engine) as connection:
            threshold = connection.scalar(flagged)
            if threshold is None and (state := connection.scalar(states.order_by(t.batch_id.desc()).limit(1))):
                threshold = state["threshold"]
        return None if threshold is None else float(threshold)


def _newest_hours(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    """Return the newest hour of each monitor that has scored records, by one look-up in an index for each."""
    h, m = batch_hours.c, monitors.c  # every monitor that has a batch has a row
    newest = select(h.hour).where(h.monitor == m.monitor).order_by(h.hour.desc()).limit(1).scalar_subquery()
    rows = connection.execute(select(m.monitor, newest).where(m.monitor.in_(names)))
    return {name: hour for name, hour in rows if hour is not None}


def _hours(monitor: str, since: datetime | None) -> Select[Any]:
    """Select the counts of each hour of a monitor, from a time on or all."""
    c = batch_hours.c
    sums = (func.sum(c.records).label("records"), func.sum(c.anomalies).label("anomalies"))
    hours = select(c.monitor, c.hour, *sums).where(c.monitor == monitor).group_by(c.monitor, c.hour)
    return hours if since is None else hours.where(c.hour >= since)


def _day_counts(hours: Iterable[RowMapping]) -> list[DayCount]:
    """Return the counts of days, the oldest first."""
    counts: dict[date, list[int]] = defaultdict(lambda: [0, 0])
    for row in hours:
        counts[row["hour"].date()][0] += int(row["records"])
        counts[row["hour"].date()][1] += int(row["anomalies"])
    return [DayCount(day, *both) for day, both in sorted(counts.items())]


def _first_batch(monitor: str, since: datetime) -> Select[Any]:
    h = batch_hours.c
    return select(func.min(h.batch_id)).where(h.monitor == monitor, h.hour >= since)


def _indexes(connection: Connection, drift_id: int) -> dict[str, float]:
    f = drift_features.c
    rows = connection.execute(select(f.feature, f.psi).where(f.drift_id == drift_id).order_by(f.psi.desc(), f.feature))
    return {feature: float(psi) for feature, psi in rows}
