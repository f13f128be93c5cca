"""What scoring a batch found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.reading.fingerprint import Fingerprint
from schemas.frames import Explanation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Anomaly", "BatchResult", "Fingerprint", "HourCount", "ThresholdChange", "summed"]


@dataclass(frozen=True)
class Anomaly:
    """A flagged record, before it has a row."""

    record_key: str
    """`schemas.keys.key_label` of the record's key."""
    record_key_int: int | None
    """The key again where it is one integer."""
    record_time: datetime | None
    entity: str | None
    anomaly_score: float
    p_value: float
    severity: float
    threshold: float
    explanation: Explanation
    is_muted: bool = False
    """Whether it lies in a maintenance window."""


@dataclass(frozen=True)
class HourCount:
    """Records and anomalies in an hour of record time; without a time, of the time when its batch was planned."""

    hour: datetime
    records: int
    anomalies: int


@dataclass(frozen=True)
class ThresholdChange:
    """How the tracked threshold of an entity moved over a batch: its states as JSON values."""

    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True)
class BatchResult:
    """Everything that scoring one batch leaves behind.

    `scores` has a row per record with the columns record_key, record_key_int, record_time, entity,
    anomaly_score, p_value and is_anomaly; it is None where a monitor keeps anomalies only.
    """

    records: int
    anomalies: tuple[Anomaly, ...] = ()
    hours: tuple[HourCount, ...] = ()
    scores: "pd.DataFrame | None" = None
    newest_time: datetime | None = None
    """The latest record time."""
    tally: Fingerprint | None = None
    """Of its key range, taken before the records were read: what changed in between is noticed as a change later."""
    profile: Mapping[str, Sequence[int]] | None = None
    """Records in each bin of the model's reference, by what is binned."""
    entities: Mapping[str, int] | None = None
    """Of a series: how many records of each entity there were."""
    threshold_changes: Mapping[str, ThresholdChange] = field(default_factory=dict)
    """Of tracked thresholds, by entity."""


def summed(profiles: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, list[int]]:
    """The counts of at least one profile, added up bin by bin.

    >>> summed([{"flow": [1, 2]}, {"flow": [3, 0]}])
    {'flow': [4, 2]}
    """
    return {name: [sum(bins) for bins in zip(*(part[name] for part in profiles), strict=True)] for name in profiles[0]}
