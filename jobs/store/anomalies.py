"""Flagged rows: read by page, and labelled by people."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ge, lt
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, select, update

from jobs.databases import reading, writing
from jobs.store.audit import SERVICE, Act, record_act
from jobs.store.chunks import chunks
from jobs.store.labelled import is_labelled
from jobs.store.locking import lock_monitor
from jobs.store.paging import Filter, columns_of, conditions_of, count_rows, is_among, read_page, without_index
from schemas.errors import UsageError
from schemas.frames import SMALLEST_DIVISOR, threshold_ratio
from schemas.labels import LABELS
from schemas.tables import anomalies, scores

if TYPE_CHECKING:
    import pandas as pd

    from jobs.store.models import Champion


@dataclass(frozen=True)
class AnomalyQuery:
    """A filter of anomalies; a field that is None does not restrict.

    The next page has `before_id` set to the last id of this one.
    """

    monitor: str | None = None
    label: str | None = None
    entity: str | None = None
    since: datetime | None = None
    """The earliest record time."""
    until: datetime | None = None
    """The end of the record times, exclusive."""
    incident_id: int | None = None
    is_current: bool | None = True
    """Whether the newest scoring of the record flags it too; None for both kinds."""
    limit: int = 50
    before_id: int | None = None
    order: Literal["newest", "most_anomalous"] = "newest"
    """newest: by record time if that is restricted, otherwise by id; most_anomalous: by score against threshold."""
    monitors: Collection[str] | None = None
    """Only these; None for all."""


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
    reconstruction_error: float | None
    """Of the VAE; null if the model has no network, or an earlier version wrote the row."""
    elbo: float | None
    """The negative ELBO of the VAE in nats, higher is more anomalous; null likewise."""
    suppressed_by: int | None
    """The anomaly labelled false_positive that it resembles, because of which it belongs to no incident."""
    suppressed_distance: float | None
    """The distance between the causes of the two."""
    raised_by: int | None
    """The confirmed anomaly that it resembles."""
    raised_distance: float | None
    """The distance between the causes of the two."""

    @property
    def threshold_ratio(self) -> float | None:
        """The score as a multiple of the threshold; None if the threshold is not positive."""
        return threshold_ratio(self.anomaly_score, self.threshold)


class Anomalies:
    """The anomalies of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def page(self, query: AnomalyQuery) -> list[StoredAnomaly]:
        """Return a page of anomalies, in the order of the query."""
        order: ColumnElement[Any] | None = None
        if query.order == "most_anomalous":
            order = _excess()
        elif query.since is not None or query.until is not None:
            order = anomalies.c.record_time
        return read_page(self.engine, anomalies, StoredAnomaly, query, _filters(query), order)

    def count(self, query: AnomalyQuery) -> int:
        """Return the number of anomalies that a query selects, on all of its pages."""
        return count_rows(self.engine, anomalies, _filters(query))

    def get(self, anomaly_id: int) -> StoredAnomaly:
        """Return one anomaly.

        Raises:
            UsageError: If there is no such anomaly.
        """
        statement = select(*columns_of(anomalies, StoredAnomaly)).where(anomalies.c.id == anomaly_id)
        with reading(self.engine) as connection:
            row = connection.execute(statement).mappings().first()
        if row is None:
            raise no_anomaly(anomaly_id)
        return StoredAnomaly(**row)

    def scores(self, monitor: str) -> "pd.DataFrame":
        """Return every stored score of a monitor, in the order of scoring; there are none without `store_scores`."""
        import pandas as pd

        c = scores.c
        numbers = (c.anomaly_score, c.p_value, c.is_anomaly, c.reconstruction_error, c.elbo)
        order = (c.batch_id, c.record_key_int, c.record_key)
        columns = (c.record_key, c.record_time, c.entity, *numbers)
        statement = select(*columns).where(c.monitor == monitor).order_by(*order)
        with reading(self.engine) as connection:
            result = connection.execute(statement)
            return pd.DataFrame(result.all(), columns=list(result.keys()))

    def top_scores(
        self, champion: "Champion", *, since: datetime | None, until: datetime | None, limit: int
    ) -> tuple[int, list[str]]:
        """Return how many stored scores of a champion lie in a span of record times, and the keys of the highest."""
        c = scores.c
        filters = (
            (c.monitor, eq, champion.monitor),
            (c.model_id, eq, champion.model_id),
            (c.record_time, ge, since),
            (c.record_time, lt, until),
        )
        conditions = conditions_of(filters)
        highest = select(c.record_key).where(*conditions).order_by(c.p_value, c.anomaly_score.desc()).limit(limit)
        count = count_rows(self.engine, scores, filters)
        with reading(self.engine) as connection:
            return count, list(connection.scalars(highest))

    def label(self, anomaly_id: int, label: str, at: datetime, actor: str = SERVICE) -> None:
        """Label the record of an anomaly, for whoever does so.

        Raises:
            UsageError: If there is no such anomaly, or no such label.
        """
        self.label_all([anomaly_id], label, at, actor)

    def label_all(self, anomaly_ids: Collection[int], label: str, at: datetime, actor: str = SERVICE) -> None:
        """Label the records of anomalies, all of them or none; a label that a record has already changes nothing.

        Raises:
            UsageError: If one of the anomalies does not exist, or there is no such label; nothing is labelled then.
        """
        refuse_unknown_label(label)
        c = anomalies.c
        portions = list(chunks(sorted(set(anomaly_ids))))
        with writing(self.engine) as connection:
            for ids in portions:
                existing = set(connection.scalars(select(c.id).where(c.id.in_(ids))))
                for missing in (anomaly_id for anomaly_id in ids if anomaly_id not in existing):
                    raise no_anomaly(missing)
            lock_monitors_of(connection, [c.id.in_(ids) for ids in portions])
            for ids in portions:
                changing = select(c.id, c.monitor).where(c.id.in_(ids), c.label != label).order_by(c.id)
                changed = connection.execute(changing).all()
                label_records(connection, c.id.in_(ids), label, at)
                for anomaly_id, monitor in changed:
                    act = Act(actor, "label", f"anomaly {anomaly_id}", monitor, {"label": label})
                    record_act(connection, act, at)


@dataclass(frozen=True)
class Labelled:
    """Flagged rows whose records were labelled.

    Attributes:
        selected: number of rows that were to be labelled.
        changed: number of rows that had another label.
    """

    selected: int
    changed: int


def label_records(connection: Connection, is_labelled: ColumnElement[bool], label: str, at: datetime) -> Labelled:
    """Label the records of the flagged rows that a condition selects.

    A label is about the record, so every row of the record gets it, whichever model wrote the row. The lock of the
    monitor keeps out a scoring that writes such a row at the same time.
    """
    c = anomalies.c
    monitors = lock_monitors_of(connection, [is_labelled])
    rows, changed = connection.execute(select(c.monitor, c.record_key).where(is_labelled)).all(), 0
    for monitor in monitors:
        for keys in chunks(row.record_key for row in rows if row.monitor == monitor):
            has_another = and_(c.monitor == monitor, c.record_key.in_(keys), c.label != label)
            statement = update(anomalies).where(has_another).values(label=label, labelled_at=at)
            changed += connection.execute(statement).rowcount
    return Labelled(len(rows), changed)


def lock_monitors_of(connection: Connection, selected: Sequence[ColumnElement[bool]]) -> list[str]:
    """Lock the monitors of the flagged rows that conditions select, and return them in the order of their locks."""
    monitor = anomalies.c.monitor
    names = {name for rows in selected for name in connection.scalars(select(monitor).where(rows).distinct())}
    for name in sorted(names):
        lock_monitor(connection, name)
    return sorted(names)


def refuse_unknown_label(label: str) -> None:
    """Raise an error unless the text is a label.

    Raises:
        UsageError: If it is not.
    """
    if label not in LABELS:
        msg = f"{label!r} is not a valid label. Use one of: {', '.join(LABELS)}."
        raise UsageError(msg)


def _filters(query: AnomalyQuery) -> tuple[Filter, ...]:
    c = anomalies.c
    is_timed = query.since is not None or query.until is not None
    is_narrow = query.incident_id is not None or (query.entity is not None and not is_timed)
    monitor = without_index(c.monitor) if is_narrow else c.monitor
    return (
        (monitor, eq, query.monitor),
        (monitor, is_among, query.monitors),
        (c.label, _has_label, query.label),
        (c.entity, eq, query.entity),
        (c.record_time, ge, query.since),
        (c.record_time, lt, query.until),
        (c.incident_id, eq, query.incident_id),
        (c.superseded_at.is_(None), eq, query.is_current),
    )


def _has_label(column: ColumnElement[str], label: str) -> ColumnElement[bool]:
    """Return the condition that a row has a label, in a form that the partial index of labelled rows serves."""
    return column == label if label == "open" else and_(is_labelled(), column == label)


def _excess() -> ColumnElement[float]:
    """Return the score as a multiple of its threshold, or 1 plus the difference if the threshold is not positive."""
    c = anomalies.c
    return case(
        (c.threshold > SMALLEST_DIVISOR, c.anomaly_score / c.threshold), else_=1 + c.anomaly_score - c.threshold
    )


def no_anomaly(anomaly_id: int) -> UsageError:
    """Return the error for an anomaly that does not exist, or that a caller may not see."""
    return UsageError(f"There is no anomaly {anomaly_id}. List them with: plumbline anomalies list")
