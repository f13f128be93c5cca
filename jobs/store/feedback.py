"""Feedback for training: the labels of records, and the incidents to keep out."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, exists, select

from jobs.databases import reading
from jobs.store.chunks import chunks
from jobs.store.labelled import is_labelled
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
        i, a = incidents.c, anomalies.c
        times = select(i.entity, i.start_time, i.end_time).order_by(i.id)
        is_current = and_(a.monitor == monitor, a.superseded_at.is_(None))
        spans: list[Span] = []
        keys: set[str] = set()
        with reading(self.engine) as connection:
            for ids in chunks(_kept_out(connection, monitor)):
                spans += (Span(*row) for row in connection.execute(times.where(i.id.in_(ids))))
                keys |= set(connection.scalars(select(a.record_key).where(is_current, a.incident_id.in_(ids))))
            labels = _labels(connection, monitor)
        return Feedback(labels, frozenset(keys), tuple(spans))


def _kept_out(connection: Connection, monitor: str) -> list[int]:
    """Return the incidents whose records no model may learn from, oldest first.

    Both selects start from few rows: the labelled flagged rows, and the open incidents.
    """
    i, a = incidents.c, anomalies.c
    is_real = and_(a.monitor == monitor, is_labelled(), a.label.in_(REAL_LABELS))
    labelled = connection.scalars(select(a.incident_id).where(is_real, a.incident_id.is_not(None)).distinct()).all()
    is_current = and_(i.monitor == monitor, i.state.in_(("open", "ended")))
    real = [
        incident_id
        for ids in chunks(labelled)
        for incident_id in connection.scalars(select(i.id).where(is_current, i.id.in_(ids)))
    ]
    is_doubtful = and_(a.incident_id == i.id, a.superseded_at.is_(None), a.label != "false_positive")
    is_open = and_(i.monitor == monitor, i.state == "open")
    doubtful = connection.scalars(select(i.id).where(is_open, exists().where(is_doubtful, a.monitor == monitor)))
    return sorted({*real, *doubtful})


def _labels(connection: Connection, monitor: str) -> dict[str, str]:
    """Return the last label of each record: several models may have flagged it, and each row may have been labelled."""
    c = anomalies.c
    columns = (c.record_key, c.label, c.labelled_at, c.flagged_at, c.id)
    # Two selects, as one condition with OR would use neither partial index.
    judged = [
        row
        for is_judged in (is_labelled(), and_(c.labelled_at.is_not(None), c.label == "open"))
        for row in connection.execute(select(*columns).where(c.monitor == monitor, is_judged))
    ]
    rows = sorted(judged, key=lambda row: (row.labelled_at or row.flagged_at, row.id))
    newest = {row.record_key: (row.id, row.label) for row in rows}
    ordered = sorted(newest.items(), key=lambda item: item[1][0], reverse=True)
    return {key: label for key, (_, label) in ordered if label != "open"}
