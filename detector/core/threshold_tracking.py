"""Tracked thresholds: they follow the scores of a stream, so that about a share `rate` of its records is flagged.

After each record the threshold moves by a step times (flagged - rate); in the long run a share `rate` of all records
lies above it, however the scores move (Gibbs & Candes, *Adaptive Conformal Inference Under Distribution Shift*,
2021). Two additions were chosen on simulated streams with drift, shifts, cycles, bursts and incidents:

- An incident counts as at most `MAX_INCIDENT_RECORDS`. Without this limit an incident of a hundred records uses up
  the alarms of ten thousand, and the next one is missed. An incident ends after `CALM_RECORDS` consecutive records
  that are not above the threshold at its start; a permanent shift never ends, so the threshold rises with it.
- A score far above the threshold widens the step, so the calibration scores need no scale and may all be equal. The
  decisions do not depend on the unit of the scores or on a constant added to them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self

import numpy as np

from detector.core.calibration import Calibration

STEP_SPREADS = 0.2
MAX_INCIDENT_RECORDS = 5
CALM_RECORDS = 4
MAX_SPREADS_ABOVE = 32  # the spread grows until no score is further above the threshold


@dataclass(frozen=True)
class Tracker:
    """A threshold and its state; all numbers are finite.

    Attributes:
        rate: share of the records to flag.
        threshold: a record with a higher score is flagged.
        spread: the scale of the scores.
        before: the threshold at the start of the current incident; None if there is no incident.
        calm: number of consecutive records in the incident that are not above `before`.
    """

    rate: float
    threshold: float
    spread: float
    before: float | None = None
    calm: int = 0

    @classmethod
    def start(cls, reference: np.ndarray, rate: float) -> Self:
        """Return a tracker that starts at the conformal threshold of held-out normal scores (m,).

        Raises:
            RateTooSmall: If there are too few scores for the rate.
        """
        threshold = Calibration.fit(reference).threshold(rate)
        return cls(rate, threshold, float(np.quantile(reference, 0.99) - np.median(reference)))

    def advance(self, scores: np.ndarray) -> tuple[np.ndarray, Self]:
        """Return the thresholds (n,) of the next records, with finite scores, and the tracker after the last record.

        A stream may be cut anywhere: the returned tracker continues it.
        """
        tracker, thresholds = self, np.empty(len(scores))
        for row, score in enumerate(scores.tolist()):
            thresholds[row] = tracker.threshold
            tracker = tracker._after(score)
        return thresholds, tracker

    def to_state(self) -> dict[str, Any]:
        """Return the tracker as JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the tracker of a state that `to_state` wrote."""
        return cls(**state)

    def _after(self, score: float) -> Self:
        spread = max(self.spread, (score - self.threshold) / MAX_SPREADS_ABOVE)
        is_flagged = score > self.threshold
        threshold = self.threshold + STEP_SPREADS * spread * (is_flagged - self.rate)
        if self.before is None:
            return type(self)(self.rate, threshold, spread, self.threshold if is_flagged else None)
        calm = 0 if score > self.before else self.calm + 1
        if calm < CALM_RECORDS:
            return type(self)(self.rate, threshold, spread, self.before, calm)
        return type(self)(self.rate, min(threshold, self.before + MAX_INCIDENT_RECORDS * STEP_SPREADS * spread), spread)


class StreamState(Protocol):
    """What decides about the next records of a stream, and moves with each of them."""

    def advance(self, values: np.ndarray, /) -> tuple[np.ndarray, "StreamState"]:
        """Return the limits (n,) of the next records from their values, and the state after the last record."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        ...


@dataclass(frozen=True)
class TrackerMove:
    """The move of an entity's tracker over consecutive records.

    Attributes:
        before: the tracker before the first record.
        after: the tracker after the last record.
    """

    before: StreamState
    after: StreamState


class Trackers:
    """The trackers of a stream's entities while a batch of its records is scored.

    Args:
        load: returns the tracker of an entity before the batch, a `Tracker` of its threshold or the `DiscoveryLevels`
            of all records; called once for each entity.

    Attributes:
        moves: of the trackers so far, by entity.
    """

    def __init__(self, load: Callable[[str], StreamState]) -> None:
        self._load = load
        self.moves: dict[str, TrackerMove] = {}

    def advance(self, entity: str, values: np.ndarray) -> np.ndarray:
        """Return the thresholds or levels (n,) of the entity's next records, from their finite values in order."""
        move = self.moves.get(entity)
        current = self._load(entity) if move is None else move.after
        limits, after = current.advance(values)
        self.moves[entity] = TrackerMove(current if move is None else move.before, after)
        return limits
