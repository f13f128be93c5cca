"""The results of a model on labelled records, by which two models are compared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class FlaggedCount:
    """The number of records of one kind, and how many of them a model flags."""

    flagged: int
    records: int


@dataclass(frozen=True)
class Performance:
    """A model's results on held-out normal records, known anomalies and synthetic anomalies.

    Attributes:
        records: held-out normal records.
        flagged: how many of the held-out normal records are above the threshold.
        tolerance: the fewest and the most that 99 % of the sound models with as many calibration records flag.
        found: known anomalies and false alarms, by kind.
        recall: share of the synthetic anomalies that are flagged, by kind.
        auroc: how well synthetic anomalies are separated from the normal records they were made of, by kind.
        elbo: held-out, in nats per record and units of the data; None if it does not compare.
        fault: why the scores are unusable; None if they are sound.
    """

    records: int = 0
    flagged: int = 0
    tolerance: tuple[int, int] | None = None
    found: Mapping[str, FlaggedCount] = field(default_factory=dict)
    recall: Mapping[str, float] = field(default_factory=dict)
    auroc: Mapping[str, float] = field(default_factory=dict)
    elbo: float | None = None
    fault: str | None = None

    @property
    def rate(self) -> float:
        """The share of held-out normal records that is flagged; 0 without any."""
        return self.flagged / self.records if self.records else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {**asdict(self), "rate": self.rate}
