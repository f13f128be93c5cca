"""What a picture shows, as plain values: everything is read and computed before anything is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, TypeAlias

AnnotationKind: TypeAlias = Literal["maintenance", "model", "label", "known"]
Numbers: TypeAlias = Sequence[float | None]
"""A value for each record; None if there is none."""


@dataclass(frozen=True)
class Span:
    """A named span of time, such as an incident."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Annotation:
    """What a person or the service did about records over time.

    Attributes:
        kind: a maintenance window, another champion, a label of a person, or a fault by the label column.
        text: for people.
        start: of the span.
        end: of the span; the start for a moment.
    """

    kind: AnnotationKind
    text: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Scores:
    """The scores of n records in order of time, or of keys without times.

    Attributes:
        times: of the records; None if the monitor has no column of times.
        scores: anomaly scores; None for a record that is not scored.
        thresholds: the score above which a record is flagged.
        is_flagged: whether the store has the record as flagged.
        is_known: whether the label marks the record as an anomaly; None if the monitor has no label.
    """

    times: Sequence[datetime] | None
    scores: Numbers
    thresholds: Numbers
    is_flagged: Sequence[bool]
    is_known: Sequence[bool] | None = None


@dataclass(frozen=True)
class Channel:
    """A feature over time: measured and expected values of n records, and the band that normal values rarely leave."""

    name: str
    measured: Numbers
    expected: Numbers
    low: Numbers
    high: Numbers
    unit: str = ""
    is_truth: bool = False
    """Whether the values are no and yes, as 0 and 1."""


@dataclass(frozen=True)
class Mark:
    """The value of a flagged record, and the expected value if it is among the record's causes."""

    value: float | str | None
    expected: float | str | None = None


@dataclass(frozen=True)
class Distribution:
    """The values of a feature in records that are not flagged, compared with flagged records.

    Attributes:
        name: of the feature.
        values: of the records that are not flagged: numbers, or texts of categories.
        marks: the flagged records.
        unit: of the numbers.
    """

    name: str
    values: Sequence[float | None] | Sequence[str | None]
    marks: Sequence[Mark]
    unit: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class View:
    """Records of a monitor next to what its model expects: as channels over time, or as distributions.

    Attributes:
        monitor: its name.
        entity: of the records; None for records of all entities.
        model_id: of the model that computed scores and expected values.
        scores: of the records.
        channels: of series; empty for single records.
        distributions: of single records; empty for series.
        incidents: that overlap the records in time.
        gap: the step in time from which on records are missing.
        notes: sentences about what the picture leaves out.
        annotations: maintenance windows, other champions and labels in the span of the records.
    """

    monitor: str
    entity: str | None
    model_id: int
    scores: Scores
    channels: tuple[Channel, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    incidents: tuple[Span, ...] = ()
    gap: timedelta | None = None
    notes: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    @property
    def records(self) -> int:
        """The number of records."""
        return len(self.scores.scores)


@dataclass(frozen=True)
class DailyRates:
    """Flagged records by day, compared with the rate that was configured.

    Attributes:
        days: with records.
        records: of each day.
        flagged: of each day.
        rate: the configured false-positive rate; None if no rate decides.
    """

    days: Sequence[date]
    records: Sequence[int]
    flagged: Sequence[int]
    rate: float | None


@dataclass(frozen=True)
class TrainingCurve:
    """The ELBO after each epoch, on training records and on held-out records; higher is better."""

    epochs: Sequence[int]
    training_elbo: Sequence[float]
    held_out_elbo: Sequence[float | None]


@dataclass(frozen=True)
class Case:
    """A named event of one entity, with the records around it.

    Attributes:
        event: its name and span.
        headline: of the panel.
        causes: a line on the causes; empty if nothing was flagged.
        view: of the records.
    """

    event: Span
    headline: str
    causes: str
    view: View


@dataclass(frozen=True)
class Overview:
    """The scores of each entity with its known events, and the records around each event."""

    scores: Mapping[str, Scores]
    events: Mapping[str, Sequence[Span]]
    cases: Sequence[Case]
    gap: timedelta | None = None
    notes: tuple[str, ...] = field(default=())
