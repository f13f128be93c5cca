"""Flagged rows in the store: paged for people and programs, and labelled by people."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import eq, ge, lt
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, select, update

from jobs.databases import reading, writing
from jobs.store.locking import lock_monitor
from schemas.errors import UsageError
from schemas.labels import LABELS
from schemas.tables import anomalies, scores

if TYPE_CHECKING:
    import pandas as pd


_KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class AnomalyQuery:
    """Which anomalies are asked for; a part that is None does not restrict.

    A page is followed by the next with `before_id` set to the last id seen.
    """

    monitor: str | None = None
    label: str | None = None
    entity: str | None = None
    since: datetime | None = None
    """The earliest record time."""
    until: datetime | None = None
    """Record times before this."""
    incident_id: int | None = None
    is_current: bool | None = True
    """Whether the newest scoring of the record says so too; both kinds where None."""
    limit: int = 50
    before_id: int | None = None


@dataclass(frozen=True)
class StoredAnomaly:
    """A flagged row."""

    id: int
    monitor: str
    record_key: str
    record_time: datetime | None
    entity: str | None
    anomaly_score: float
    p_value: float
    severity: float
    threshold: float
    top_feature: str | None
    attribution: Sequence[dict[str, Any]]
    model_id: int
    batch_id: int
    flagged_at: datetime
    label: str
    labelled_at: datetime | None
    superseded_at: datetime | None
    """When a later scoring of the record no longer flagged it, or another model did."""
    incident_id: int | None
    is_muted: bool
    """Whether it lies in a maintenance window."""


_STORED = [anomalies.c[field.name] for field in fields(StoredAnomaly)]


class Anomalies:
    """The anomalies of every monitor.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self, query: AnomalyQuery) -> list[StoredAnomaly]:
        """A page of anomalies, newest first."""
        with reading(self.engine) as connection:
            return [StoredAnomaly(**row) for row in connection.execute(_page(query)).mappings()]

    def get(self, anomaly_id: int) -> StoredAnomaly:
        """One anomaly."""
        with reading(self.engine) as connection:
            row = connection.execute(select(*_STORED).where(anomalies.c.id == anomaly_id)).mappings().first()
        if row is None:
            raise _no_anomaly(anomaly_id)
        return StoredAnomaly(**row)

    def scores(self, monitor: str) -> "pd.DataFrame":
        """Every stored score of a monitor, in the order of scoring; only with store_scores = "all"."""
        import pandas as pd

        c = scores.c
        wanted = select(c.record_key, c.record_time, c.entity, c.anomaly_score, c.p_value, c.is_anomaly)
        ordered = wanted.where(c.monitor == monitor).order_by(c.batch_id, c.record_key_int, c.record_key)
        with reading(self.engine) as connection:
            result = connection.execute(ordered)
            return pd.DataFrame(result.all(), columns=list(result.keys()))

    def label(self, anomaly_id: int, label: str, at: datetime) -> None:
        """Record what a person made of an anomaly."""
        refuse_unknown_label(label)
        with writing(self.engine) as connection:
            if label_records(connection, anomalies.c.id == anomaly_id, label, at) == 0:
                raise _no_anomaly(anomaly_id)


def label_records(connection: Connection, is_meant: ColumnElement[bool], label: str, at: datetime) -> int:
    """Label the records of some flagged rows; how many rows were meant.

    A label is about the record, so every row that a model ever wrote for it gets it. The monitor's lock keeps a
    scoring that writes such a row at this moment from missing it.
    """
    c = anomalies.c
    monitors = connection.scalars(select(c.monitor).where(is_meant).distinct()).all()
    for monitor in sorted(monitors):
        lock_monitor(connection, monitor)
    meant = connection.execute(select(c.monitor, c.record_key).where(is_meant)).all()
    for monitor in monitors:
        keys = [row.record_key for row in meant if row.monitor == monitor]
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            of_records = and_(c.monitor == monitor, c.record_key.in_(keys[start : start + _KEYS_AT_ONCE]))
            connection.execute(update(anomalies).where(of_records).values(label=label, labelled_at=at))
    return len(meant)


def refuse_unknown_label(label: str) -> None:
    """Raise where a text is no label."""
    if label not in LABELS:
        msg = f"{label!r} is no label. Expected one of: {', '.join(LABELS)}."
        raise UsageError(msg)


def _page(query: AnomalyQuery) -> Select[Any]:
    c = anomalies.c
    conditions = (
        (c.monitor, eq, query.monitor),
        (c.label, eq, query.label),
        (c.entity, eq, query.entity),
        (c.record_time, ge, query.since),
        (c.record_time, lt, query.until),
        (c.incident_id, eq, query.incident_id),
        (c.superseded_at.is_(None), eq, query.is_current),
        (c.id, lt, query.before_id),
    )
    asked = [compare(column, value) for column, compare, value in conditions if value is not None]
    return select(*_STORED).where(*asked).order_by(c.id.desc()).limit(query.limit)


def _no_anomaly(anomaly_id: int) -> UsageError:
    return UsageError(f"There is no anomaly {anomaly_id}. List them with: plumbline anomalies list")
