"""Tracking: a threshold that follows the scores of a stream, so that about a share `rate` of its records is flagged.

After each record the threshold moves by a step times (flagged - rate); then in the long run a share `rate` of all
records lies above it whatever the scores do (Gibbs & Candes, *Adaptive Conformal Inference Under Distribution Shift*,
2021). Two things are added, chosen on simulated streams with drift, shifts, cycles, bursts and incidents:

- An incident counts as at most `COST` records. Without this an incident of a hundred records uses up the alarms of
  ten thousand, and the next one passes unseen. It is over once `CALM` records in a row lie no higher than the
  threshold that it found; a shift for good is never over, so the threshold goes up with it.
- A score far above the threshold widens the step, so that no scale has to be known: calibration scores may all be
  equal. Scores in other units, or moved by a constant, are flagged alike.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from detector.core.calibration import Calibration

STEP = 0.2  # of the spread
COST = 5  # records that an incident counts as, at most
CALM = 4  # records
REACH = 32  # spreads: no score lies further above the threshold


@dataclass(frozen=True)
class Tracker:
    """A threshold and what it takes to move it on: finite numbers, or none.

    Attributes:
        rate: share of the records to flag.
        threshold: a record above it is flagged.
        spread: the scale of the scores.
        before: the threshold at the start of the incident that goes on, if one does.
        calm: how many records in a row have been below that since.
    """

    rate: float
    threshold: float
    spread: float
    before: float | None = None
    calm: int = 0

    @classmethod
    def start(cls, reference: np.ndarray, rate: float) -> Self:
        """A tracker that starts at the conformal threshold of held-out normal scores (m,).

        Raises:
            RateTooSmall: where they cannot resolve the rate.
        """
        threshold = Calibration.fit(reference).threshold(rate)
        return cls(rate, threshold, float(np.quantile(reference, 0.99) - np.median(reference)))

    def advance(self, scores: np.ndarray) -> tuple[np.ndarray, Self]:
        """(n,) the threshold of each of the next records, for their finite scores in order; and the tracker after them.

        A stream may be cut anywhere: what one call returns is where the next one starts.
        """
        tracker, thresholds = self, np.empty(len(scores))
        for row, score in enumerate(scores.tolist()):
            thresholds[row] = tracker.threshold
            tracker = tracker._after(score)
        return thresholds, tracker

    def to_state(self) -> dict[str, Any]:
        """The tracker as JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The tracker that gave the state."""
        return cls(**state)

    def _after(self, score: float) -> Self:
        spread = max(self.spread, (score - self.threshold) / REACH)
        is_flagged = score > self.threshold
        threshold = self.threshold + STEP * spread * (is_flagged - self.rate)
        if self.before is None:
            return type(self)(self.rate, threshold, spread, self.threshold if is_flagged else None)
        calm = 0 if score > self.before else self.calm + 1
        if calm < CALM:
            return type(self)(self.rate, threshold, spread, self.before, calm)
        return type(self)(self.rate, min(threshold, self.before + COST * STEP * spread), spread)


@dataclass(frozen=True)
class Tracked:
    """How the tracker of an entity moved over some of its records.

    Attributes:
        before: where it stood.
        after: where they left it.
    """

    before: Tracker
    after: Tracker


class Trackers:
    """The trackers of the entities of a stream, while some of its records are scored.

    Args:
        find: the tracker of an entity as it stands before these records; asked once for each.
    """

    def __init__(self, find: Callable[[str], Tracker]) -> None:
        self._find = find
        self.tracked: dict[str, Tracked] = {}

    def advance(self, entity: str, scores: np.ndarray) -> np.ndarray:
        """(n,) the threshold of each of the entity's next records, for their finite scores in order."""
        known = self.tracked.get(entity)
        before = self._find(entity) if known is None else known.after
        thresholds, after = before.advance(scores)
        self.tracked[entity] = Tracked(before if known is None else known.before, after)
        return thresholds
