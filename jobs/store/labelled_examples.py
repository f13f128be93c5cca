"""Flagged records with a verdict, by which a scoring recognises their look-alikes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Subquery, func, select

from jobs.databases import reading
from schemas.tables import anomalies, incidents

MAX_EXAMPLES = 1_000  # of a monitor, the newest labels
MAX_OF_INCIDENT = 100  # with one label, the highest scores: a long incident leaves room for the others


@dataclass(frozen=True)
class LabelledExample:
    """A flagged record that a person has labelled as a false positive or as confirmed.

    Attributes:
        time: of the record, or when it was flagged.
        start_time: of its incident; None if it belongs to none.
        end_time: of its incident, likewise.
    """

    anomaly_id: int
    incident_id: int | None
    entity: str | None
    label: str
    attribution: Sequence[Mapping[str, Any]]
    time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None


def by_incident(examples: Iterable[LabelledExample]) -> Collection[list[LabelledExample]]:
    """Return the examples of each incident with the same label; one of no incident stays alone."""
    grouped: dict[tuple[int, str], list[LabelledExample]] = defaultdict(list)
    for example in examples:
        number = -example.anomaly_id if example.incident_id is None else example.incident_id
        grouped[number, example.label].append(example)
    return grouped.values()


class LabelledExamples:
    """The labelled examples of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, monitor: str) -> list[LabelledExample]:
        """Return the examples of a monitor with the newest labels, by any of its models.

        Of the rows that were labelled together, those flagged first come first, as an event is known by its beginning.
        """
        c, i = anomalies.c, incidents.c
        columns = (c.id, c.incident_id, c.entity, c.label, c.attribution)
        times = (func.coalesce(c.record_time, c.flagged_at), i.start_time, i.end_time)
        newest = _newest(monitor)
        examples = (
            select(*columns, *times)
            .join_from(newest, anomalies, c.id == newest.c.id)
            .join(incidents, i.id == c.incident_id, isouter=True)
            .order_by(newest.c.at.desc(), c.id)
        )
        with reading(self.engine) as connection:
            return [LabelledExample(*row) for row in connection.execute(examples)]


def _newest(monitor: str) -> Subquery:
    """Return the select of the ids of the newest labelled rows, with the times of their labels."""
    c = anomalies.c
    of_incident = (func.coalesce(c.incident_id, -c.id), c.label)
    place = func.row_number().over(partition_by=of_incident, order_by=(c.anomaly_score.desc(), c.id))
    at = func.coalesce(c.labelled_at, c.flagged_at)
    is_example = c.label.in_(("false_positive", "confirmed"))
    placed = select(c.id, at.label("at"), place.label("place"))
    rows = placed.where(c.monitor == monitor, c.label != "open", is_example).subquery("labelled")
    few = select(rows.c.id, rows.c.at).where(rows.c.place <= MAX_OF_INCIDENT)
    return few.order_by(rows.c.at.desc(), rows.c.id).limit(MAX_EXAMPLES).subquery("newest")
