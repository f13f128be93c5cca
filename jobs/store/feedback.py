"""Feedback for training: the labels of records, and the incidents to keep out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, case, exists, select

from jobs.databases import reading
from jobs.store.chunks import chunks
from jobs.store.labelled import is_labelled
from schemas.labels import LEARNED_LABELS
from schemas.tables import anomalies, incidents, models

_MAX_FLAGGED_RECORDS = 200_000  # that a training looks at, the newest ones


@dataclass(frozen=True)
class Span:
    """A time in which an entity was not as usual; both ends are included."""

    entity: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True)
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
            kept_out = _kept_out(connection, monitor)
            labels = _labels(connection, monitor)
            by_id = _flagged_incidents(connection, monitor)
        return Feedback(
            labels,
            kept_out=tuple(incident for number, incident in by_id.items() if number in kept_out),
            ended=tuple(incident for number, incident in by_id.items() if number not in kept_out),
        )


def _kept_out(connection: Connection, monitor: str) -> set[int]:
    """Return the incidents whose records no model may learn from.

    Both selects start from few rows: the labelled flagged rows, and the open incidents.
    """
    i, a = incidents.c, anomalies.c
    is_confirmed = and_(a.monitor == monitor, is_labelled(), a.label == "confirmed")
    confirmed = select(a.incident_id).where(is_confirmed, a.incident_id.is_not(None)).distinct()
    labelled = connection.scalars(confirmed).all()
    is_current = and_(i.monitor == monitor, i.state.in_(("open", "ended")))
    real = [
        incident_id
        for ids in chunks(labelled)
        for incident_id in connection.scalars(select(i.id).where(is_current, i.id.in_(ids)))
    ]
    is_doubtful = and_(a.incident_id == i.id, a.superseded_at.is_(None), a.label.not_in(LEARNED_LABELS))
    is_open = and_(i.monitor == monitor, i.state == "open")
    doubtful = connection.scalars(select(i.id).where(is_open, exists().where(is_doubtful, a.monitor == monitor)))
    return {*real, *doubtful}


def _flagged_incidents(connection: Connection, monitor: str) -> dict[int, FlaggedIncident]:
    """Return the incidents of the newest flagged records of a monitor, oldest first."""
    i, a = incidents.c, anomalies.c
    is_current = and_(a.monitor == monitor, a.superseded_at.is_(None))
    champion = select(models.c.id).where(models.c.monitor == monitor, models.c.state == "champion").scalar_subquery()
    threshold = case((a.model_id == champion, a.threshold)).label("threshold")  # of others, on another scale
    newest = (
        select(a.id, a.incident_id, a.record_key, a.severity, a.label, threshold)
        .where(is_current, a.incident_id.is_not(None))
        .order_by(a.id.desc())
        .limit(_MAX_FLAGGED_RECORDS)
        .subquery()
    )
    records: dict[int, list[FlaggedRecord]] = defaultdict(list)
    thresholds: dict[int, float | None] = {}
    for row in connection.execute(select(newest).order_by(newest.c.id)):
        records[row.incident_id].append(FlaggedRecord(row.record_key, row.severity, row.label))
        thresholds.setdefault(row.incident_id, row.threshold)
    is_valid = and_(i.monitor == monitor, i.state.in_(("open", "ended")))
    alike = anomalies.alias("alike")
    of_label = incidents.outerjoin(alike, alike.c.id == i.suppressed_by)
    columns = select(i.id, alike.c.label, i.entity, i.start_time, i.end_time).select_from(of_label)
    by_id: dict[int, FlaggedIncident] = {}
    for ids in chunks(sorted(records)):
        for number, label, *span in connection.execute(columns.where(is_valid, i.id.in_(ids)).order_by(i.id)):
            flagged = tuple(records[number])
            is_real = any(record.label == "confirmed" for record in flagged)
            is_suppressed = label == "false_positive" and not is_real
            by_id[number] = FlaggedIncident(Span(*span), flagged, is_suppressed, thresholds[number])
    return by_id


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
