"""Feedback for training: the labels of records, and the incidents to keep out."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select

from jobs.databases import reading
from schemas.labels import REAL_LABELS
from schemas.tables import anomalies, incidents


@dataclass(frozen=True)
class Span:
    """A time in which an entity was not as usual; both ends are included."""

    entity: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Feedback:
    """Feedback on the records of a monitor; keys are in the form of `schemas.keys.key_label`.

    Attributes:
        labels: the newest label of each labelled record, newest record first.
        in_incidents: keys of the flagged records of incidents that are open or real.
        spans: times of the incidents that are open or real.
    """

    labels: dict[str, str]
    in_incidents: frozenset[str]
    spans: tuple[Span, ...]

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
        """Return the labels of a monitor's records, and its incidents that are open or hold a real anomaly.

        An open incident whose records are all labelled as false positives counts as normal.
        """
        is_kept_out = _is_kept_out(monitor)
        with reading(self.engine) as connection:
            i, a = incidents.c, anomalies.c
            times = select(i.entity, i.start_time, i.end_time).where(is_kept_out).order_by(i.id)
            spans = tuple(Span(*row) for row in connection.execute(times))
            is_inside = and_(a.superseded_at.is_(None), a.incident_id.in_(select(i.id).where(is_kept_out)))
            in_incidents = connection.scalars(select(a.record_key).where(a.monitor == monitor, is_inside)).all()
            labels = _labels(connection, monitor)
        return Feedback(labels, frozenset(in_incidents), spans)


def _is_kept_out(monitor: str) -> ColumnElement[bool]:
    """Return the condition for incidents whose records no model may learn from."""
    i, a = incidents.c, anomalies.c
    holds = and_(a.incident_id == i.id, a.monitor == i.monitor)
    is_real = exists().where(holds, a.label.in_(REAL_LABELS))
    is_doubtful = exists().where(holds, a.superseded_at.is_(None), a.label != "false_positive")
    is_kept_out = or_(and_(i.state == "open", is_doubtful), and_(i.state.in_(("open", "ended")), is_real))
    return and_(i.monitor == monitor, is_kept_out)


def _labels(connection: Connection, monitor: str) -> dict[str, str]:
    """Return the last label of each record: several models may have flagged it, and each row may have been labelled."""
    c = anomalies.c
    is_judged = or_(c.label != "open", c.labelled_at.is_not(None))
    statement = select(c.record_key, c.label, c.labelled_at, c.flagged_at, c.id).where(c.monitor == monitor, is_judged)
    rows = sorted(connection.execute(statement), key=lambda row: (row.labelled_at or row.flagged_at, row.id))
    newest = {row.record_key: (row.id, row.label) for row in rows}
    ordered = sorted(newest.items(), key=lambda item: item[1][0], reverse=True)
    return {key: label for key, (_, label) in ordered if label != "open"}
