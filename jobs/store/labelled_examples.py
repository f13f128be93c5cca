"""Flagged records with a verdict, by which a scoring recognises their look-alikes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from jobs.databases import reading
from schemas.tables import anomalies

MAX_EXAMPLES = 1_000  # of a monitor, the newest labels


@dataclass(frozen=True)
class LabelledExample:
    """A flagged record that a person has labelled as a false positive or as confirmed."""

    anomaly_id: int
    incident_id: int | None
    entity: str | None
    label: str
    attribution: Sequence[Mapping[str, Any]]


class LabelledExamples:
    """The labelled examples of every monitor.

    Args:
        engine: of the store's database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def read(self, monitor: str) -> list[LabelledExample]:
        """Return the examples of a monitor with the newest labels, by any of its models."""
        c = anomalies.c
        is_example = c.label.in_(("false_positive", "confirmed"))
        newest = (
            select(c.id, c.incident_id, c.entity, c.label, c.attribution)
            .where(c.monitor == monitor, c.label != "open", is_example)
            .order_by(func.coalesce(c.labelled_at, c.flagged_at).desc(), c.id.desc())
            .limit(MAX_EXAMPLES)
        )
        with reading(self.engine) as connection:
            return [LabelledExample(*row) for row in connection.execute(newest)]
