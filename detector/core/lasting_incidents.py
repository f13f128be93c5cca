"""Lasting incidents: which flagged records of a stream are of one incident, by the scores between them.

The parts of a fault are flagged with pauses, in which its scores stay near the threshold, while two faults are apart by
scores that have calmed down. So an incident goes on until `CALM_RECORDS` records since its last flagged one were calm:
no more than `CALM_SHARE` of the way from the usual score to the threshold at its start. The usual score is a running
median of the scores outside of incidents, which starts at the median of calibration. After `MAX_PAUSE_RECORDS` records
without a flag, and after a silence in time, an incident is over in any case. What has lasted for `USUAL_AFTER` records
is usual by now: from then on the usual score follows the scores of the incident, too.

Nothing depends on where a stream is cut, on the unit of the scores or on a constant added to them.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np

from detector.core.steady_scores import SteadyScores
from detector.core.threshold_tracking import USUAL_AFTER

CALM_RECORDS = 8
CALM_SHARE = 0.8
MAX_PAUSE_RECORDS = 100
USUAL_STEP = 0.01  # of the spread, by which a record moves the usual score
_TIMES = ("began_at", "flagged_at")


@dataclass(slots=True)
class LastingIncident:
    """The incident that a stream of scores is in, or was in last; moves with each record.

    Attributes:
        spread: the scale of the scores, from their median to their top quantile in calibration.
        usual: running median of the scores outside of incidents.
        calm_limit: the score up to which a record of the incident is calm.
        goes_on: whether a flagged record would be of the incident.
        calm: number of calm records since the last flagged one, or since the start of the stream.
        pause: number of records since the last flagged one.
        records: number of records since its first one.
        began_at: time of its first record; None if that may be of an incident before the start of the stream.
        flagged_at: time of the last flagged record; None if there was none with a time.
    """

    spread: float
    usual: float
    calm_limit: float = 0.0
    goes_on: bool = False
    calm: int = 0
    pause: int = 0
    records: int = 0
    began_at: datetime | None = None
    flagged_at: datetime | None = None

    @classmethod
    def start(cls, steady: SteadyScores) -> Self:
        """Start a stream whose scores are compared with those of calibration."""
        return cls(steady.top - steady.median, steady.median)

    @property
    def is_over(self) -> bool:
        """Whether it is certain that a flagged record would be of another incident."""
        return not self.goes_on and self.calm >= CALM_RECORDS

    def advance(
        self, score: float, threshold: float, time: datetime | None, silence: timedelta = timedelta.max
    ) -> datetime | None:
        """Move past the next record, with a finite score.

        Args:
            score: of the record.
            threshold: above it the record is flagged.
            time: of the record; None if it has none.
            silence: time between flagged records that ends an incident.

        Returns:
            The time at which the incident of a flagged record began; None if that is unknown, or nothing is flagged.
        """
        self.records += 1
        if score > threshold:
            return self._flag(threshold, time, silence)
        if self.goes_on:
            self._pause(score)
        else:
            self.calm = min(self.calm + 1, CALM_RECORDS)
        if not self.goes_on or self.records > USUAL_AFTER:
            self.usual += USUAL_STEP * self.spread * (-1 if score <= self.usual else 1)
        return None

    def _flag(self, threshold: float, time: datetime | None, silence: timedelta) -> datetime | None:
        if time is not None and self.flagged_at is not None and time - self.flagged_at > silence:
            self.goes_on, self.calm = False, CALM_RECORDS
        if not self.goes_on:
            self.began_at = time if self.calm >= CALM_RECORDS else None
            self.records = 1
        if not self.goes_on or self.records > USUAL_AFTER:
            self.calm_limit = self.usual + CALM_SHARE * (threshold - self.usual)
        self.goes_on, self.calm, self.pause = True, 0, 0
        self.flagged_at = time or self.flagged_at
        is_later = time is not None and self.began_at is not None and self.began_at <= time
        return self.began_at if is_later else None

    def _pause(self, score: float) -> None:
        self.pause += 1
        self.calm += score <= self.calm_limit
        self.goes_on = self.calm < CALM_RECORDS and self.pause < MAX_PAUSE_RECORDS

    def copy(self) -> Self:
        """Return an incident that moves by itself."""
        return replace(self)

    def to_state(self) -> dict[str, Any]:
        """Return the incident as JSON values."""
        times = {name: None if (at := getattr(self, name)) is None else at.isoformat() for name in _TIMES}
        return asdict(self) | times

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the incident of a state that `to_state` wrote."""
        times = {name: datetime.fromisoformat(state[name]) for name in _TIMES if state.get(name) is not None}
        return cls(**{**state, **times})


def incident_numbers(steady: SteadyScores, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the number (n,) of the incident of each record of a stream, from 0; -1 for one that is not flagged."""
    incident, numbers, number = LastingIncident.start(steady), np.full(len(scores), -1), -1
    for row, (score, threshold) in enumerate(zip(scores.tolist(), thresholds.tolist(), strict=True)):
        number += score > threshold and not incident.goes_on
        incident.advance(score, threshold, None)
        if score > threshold:
            numbers[row] = number
    return numbers
