"""Feedback for training: the labels of records, and the incidents to keep out."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Row, Select, and_, case, exists, func, select, union_all

from jobs.databases import reading
from jobs.store.labelled import is_labelled
from schemas.labels import LEARNED_LABELS
from schemas.tables import anomalies, incidents, models

_Judged: TypeAlias = Row[str, str, int, int | None]  # record_key, label, id, incident_id
_MAX_FLAGGED_RECORDS = 200_000  # that a training looks at, the newest ones
_ROWS_PER_FETCH = 1_000  # few objects at once, since Python's search for unreachable ones costs more than reading


@dataclass(frozen=True)
class Span:
    """A time in which an entity was not as usual; both ends are included."""

    entity: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class FlaggedRecord:
    """A record that the champion flags; its key is in the form of `schemas.keys.key_label`."""

    key: str
    severity: float
    label: str


@dataclass(frozen=True)
class FlaggedIncident:
    """An incident with its flagged records."""

    span: Span
    records: Sequence[FlaggedRecord]
    is_suppressed: bool = False
    """Whether it resembles one that is still labelled as a false positive, and holds no confirmed record."""
    first_threshold: float | None = None
    """The threshold of its first flagged record; None if another model than the champion flagged that."""


@dataclass(frozen=True)
class Feedback:
    """Feedback on the records of a monitor; keys are in the form of `schemas.keys.key_label`.

    Attributes:
        labels: the newest label of each labelled record, newest record first.
        kept_out: incidents that are open or real, oldest first; no model may learn from them.
        ended: all other incidents, which have ended, oldest first.
    """

    labels: dict[str, str]
    kept_out: tuple[FlaggedIncident, ...] = ()
    ended: tuple[FlaggedIncident, ...] = ()

    def keys(self, *labels: str) -> list[str]:
        """Return the keys of the records that have one of the labels, newest first."""
        return [key for key, label in self.labels.items() if label in labels]


class FeedbackReader:
    """Labels and incidents of every monitor, as a training needs them.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, monitor: str) -> Feedback:
        """Return the labels of a monitor's records, and its incidents with their newest flagged records.

        An incident is kept out if it holds a confirmed anomaly, or if it is open and one of its records is labelled
        neither as a false positive nor as known.
        """
        with reading(self.engine) as connection:
            judged = _judged(connection, monitor)
            kept_out = _confirmed(judged) | _doubtful(connection, monitor)
            by_id = _flagged_incidents(connection, monitor, {row.id for row in judged if row.label == "false_positive"})
        return Feedback(
            _labels(judged),
            kept_out=tuple(incident for number, incident in by_id.items() if number in kept_out),
            ended=tuple(incident for number, incident in by_id.items() if number not in kept_out),
        )


def _judged(connection: Connection, monitor: str) -> Sequence[_Judged]:
    """Return the flagged rows that have a label, or had one, in the order of their labels.

    Two selects, as one condition with OR would use neither partial index; and one order, as times cost most of all
    when they become those of Python.
    """
    c = anomalies.c
    columns = (c.record_key, c.label, c.id, c.incident_id, func.coalesce(c.labelled_at, c.flagged_at).label("at"))
    conditions = (is_labelled(), and_(c.labelled_at.is_not(None), c.label == "open"))
    rows = union_all(*(select(*columns).where(c.monitor == monitor, is_judged) for is_judged in conditions)).subquery()
    ordered = select(rows.c.record_key, rows.c.label, rows.c.id, rows.c.incident_id).order_by(rows.c.at, rows.c.id)
    return connection.execute(ordered).all()


def _labels(judged: Sequence[_Judged]) -> dict[str, str]:
    """Return the last label of each record: several models may have flagged it, and each row may have been labelled."""
    newest = {row.record_key: (row.id, row.label) for row in judged}
    ordered = sorted(newest.items(), key=lambda item: item[1][0], reverse=True)
    return {key: label for key, (_, label) in ordered if label != "open"}


def _confirmed(judged: Sequence[_Judged]) -> set[int]:
    """Return the incidents that hold a confirmed record."""
    return {row.incident_id for row in judged if row.label == "confirmed"}


def _doubtful(connection: Connection, monitor: str) -> set[int]:
    """Return the open incidents with a record that nobody has labelled as normal."""
    i, a = incidents.c, anomalies.c
    is_doubtful = and_(a.incident_id == i.id, a.superseded_at.is_(None), a.label.not_in(LEARNED_LABELS))
    is_open = and_(i.monitor == monitor, i.state == "open")
    return set(connection.scalars(select(i.id).where(is_open, exists().where(is_doubtful, a.monitor == monitor))))


def _flagged_incidents(
    connection: Connection, monitor: str, false_positives: Collection[int]
) -> dict[int, FlaggedIncident]:
    """Return the incidents of the newest flagged records of a monitor, oldest first.

    Args:
        connection: an open transaction.
        monitor: the name of the monitor.
        false_positives: the ids of its rows that are labelled so.
    """
    records: dict[int, list[FlaggedRecord]] = defaultdict(list)
    thresholds: dict[int, float | None] = {}
    for rows in connection.execute(_newest_flagged(monitor)).partitions(_ROWS_PER_FETCH):
        for number, key, severity, label, threshold in rows:
            records[number].append(FlaggedRecord(key, severity, label))
            thresholds[number] = threshold  # that of the oldest remains
    i, by_id = incidents.c, {}
    is_current = and_(i.monitor == monitor, i.state.in_(("open", "ended")))
    current = select(i.id, i.suppressed_by, i.entity, i.start_time, i.end_time).where(is_current).order_by(i.id)
    # From the first one on, as a range costs less than a list of thousands.
    for number, alike, *span in connection.execute(current.where(i.id >= min(records, default=0))).all():
        if flagged := tuple(reversed(records.get(number, ()))):
            is_suppressed = alike in false_positives and all(record.label != "confirmed" for record in flagged)
            by_id[number] = FlaggedIncident(Span(*span), flagged, is_suppressed, thresholds[number])
    return by_id


def _newest_flagged(monitor: str) -> Select[Any]:
    """Return the select of the newest flagged rows of a monitor that have an incident, all from one index."""
    a = anomalies.c
    is_current = and_(a.monitor == monitor, a.superseded_at.is_(None), a.incident_id.is_not(None))
    champion = select(models.c.id).where(models.c.monitor == monitor, models.c.state == "champion").scalar_subquery()
    threshold = case((a.model_id == champion, a.threshold))  # of others, on another scale
    columns = select(a.incident_id, a.record_key, a.severity, a.label, threshold)
    return columns.where(is_current).order_by(a.id.desc()).limit(_MAX_FLAGGED_RECORDS)
