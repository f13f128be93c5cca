"""The result of scoring a batch, as the store keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.store.rhythm import BatchRhythms
from schemas.fingerprint import Fingerprint
from schemas.frames import Explanation
from schemas.unreadable import UnreadableRecord

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Anomaly:
    """A flagged record, before it has a row."""

    record_key: str
    """`schemas.keys.key_label` of the record's key."""
    record_key_int: int | None
    """The key as a number if it is one integer."""
    record_time: datetime | None
    entity: str | None
    anomaly_score: float
    p_value: float
    severity: float
    threshold: float
    explanation: Explanation
    is_muted: bool = False
    """Whether it lies in a maintenance window."""
    held_back: str | None = None
    """The rule that leaves it out of alerts."""
    suppressed_by: int | None = None
    """The row labelled false_positive that it resembles."""
    suppressed_distance: float | None = None
    """The distance between the causes of the two."""
    raised_by: int | None = None
    """The confirmed row that it resembles."""
    raised_distance: float | None = None
    """The distance between the causes of the two."""
    entity_position: int | None = None
    """Its number among the records of its entity in the batch; None if they are not counted."""
    reconstruction_error: float | None = None
    """None if the model has no network."""
    elbo: float | None = None
    """Negative, in nats: higher is more anomalous; None if the model has no network."""
    began_at: datetime | None = None
    """When its incident began, by the scores between flagged records; None if incidents are grouped by time alone."""


@dataclass(frozen=True)
class HourCount:
    """Records and anomalies in an hour of record time; a record without time counts when its batch was planned."""

    hour: datetime
    records: int
    anomalies: int


@dataclass(frozen=True)
class ThresholdChange:
    """The tracked threshold of an entity before and after a batch: its states as JSON values."""

    before: dict[str, Any]
    after: dict[str, Any]
    usual_levels: int = 0
    """Number of levels of its scores that became usual in the batch."""


@dataclass(frozen=True)
class BatchResult:
    """Everything that is written when a batch has been scored.

    `scores` has a row per record with the columns record_key, record_key_int, record_time, entity,
    anomaly_score, p_value, is_anomaly, reconstruction_error and elbo; it is None if a monitor keeps anomalies only.
    """

    records: int
    anomalies: tuple[Anomaly, ...] = ()
    hours: tuple[HourCount, ...] = ()
    scores: "pd.DataFrame | None" = None
    newest_time: datetime | None = None
    """The latest record time."""
    fingerprint: Fingerprint | None = None
    """Taken before the records were read, so that a change during the read is detected later."""
    profile: Mapping[str, Sequence[int]] | None = None
    """Number of records in each bin of the model's drift profile, by feature."""
    entities: Mapping[str, int] | None = None
    """Number of records of each entity; None unless the monitor has series."""
    entity_counts: Mapping[str, int] | None = None
    """Number of records of each entity, "" for records of none; None unless alerts need flagged records in a row."""
    unreadable: Sequence[UnreadableRecord] = ()
    """Records that were left out because they cannot be read."""
    threshold_changes: Mapping[str, ThresholdChange] = field(default_factory=dict)
    """Changes of tracked thresholds, by entity."""
    rhythms: BatchRhythms | None = None
    """None if the silence of entities is not watched."""


def summed(profiles: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, list[int]]:
    """Return the counts of at least one profile, added bin by bin.

    >>> summed([{"flow": [1, 2]}, {"flow": [3, 0]}])
    {'flow': [4, 2]}
    """
    return {name: [sum(bins) for bins in zip(*(part[name] for part in profiles), strict=True)] for name in profiles[0]}
