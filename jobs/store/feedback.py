"""What people and incidents say about records, for the next training and its comparison."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select

from jobs.databases import reading
from schemas.tables import anomalies, incidents

REAL = ("confirmed", "known")
"""Labels that say that something was wrong."""


@dataclass(frozen=True)
class Span:
    """A time in which an entity was not as usual; both ends belong to it."""

    entity: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Feedback:
    """What is known about the records of a monitor; keys are in the form of `schemas.keys.key_label`.

    Attributes:
        labels: the newest label of each record that has one, newest record first.
        in_incidents: flagged records of incidents that are open or real.
        spans: when these incidents were.
    """

    labels: dict[str, str]
    in_incidents: frozenset[str]
    spans: tuple[Span, ...]

    def keys(self, *labels: str) -> list[str]:
        """The records that have one of these labels, newest first."""
        return [key for key, label in self.labels.items() if label in labels]


class FeedbackReader:
    """Labels and incidents of every monitor, as a training needs them.

    Args:
        engine: the store's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, monitor: str) -> Feedback:
        """The labels of a monitor's records, and its incidents that are open or hold an anomaly that is real.

        An open incident whose records are all labelled as false positives counts as normal.
        """
        counts = _counting(monitor)
        with reading(self.engine) as connection:
            i, a = incidents.c, anomalies.c
            spans = connection.execute(select(i.entity, i.start_time, i.end_time).where(counts).order_by(i.id)).all()
            is_inside = and_(a.superseded_at.is_(None), a.incident_id.in_(select(i.id).where(counts)))
            in_incidents = connection.scalars(select(a.record_key).where(a.monitor == monitor, is_inside)).all()
            labels = _labels(connection, monitor)
        return Feedback(labels, frozenset(in_incidents), tuple(Span(*span) for span in spans))


def _counting(monitor: str) -> ColumnElement[bool]:
    """The condition for incidents that are to be kept out of a training."""
    i, a = incidents.c, anomalies.c
    holds = and_(a.incident_id == i.id, a.monitor == i.monitor)
    is_real = exists().where(holds, a.label.in_(REAL))
    is_doubtful = exists().where(holds, a.superseded_at.is_(None), a.label != "false_positive")
    counts = or_(and_(i.state == "open", is_doubtful), and_(i.state.in_(("open", "ended")), is_real))
    return and_(i.monitor == monitor, counts)


def _labels(connection: Connection, monitor: str) -> dict[str, str]:
    """The label given last: a record may be flagged by several models, and labelled each time."""
    c = anomalies.c
    is_judged = or_(c.label != "open", c.labelled_at.is_not(None))
    wanted = select(c.record_key, c.label, c.labelled_at, c.flagged_at, c.id).where(c.monitor == monitor, is_judged)
    rows = sorted(connection.execute(wanted), key=lambda row: (row.labelled_at or row.flagged_at, row.id))
    newest = {row.record_key: (row.id, row.label) for row in rows}
    ordered = sorted(newest.items(), key=lambda item: item[1][0], reverse=True)
    return {key: label for key, (_, label) in ordered if label != "open"}
