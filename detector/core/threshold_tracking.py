"""Tracked thresholds: they follow the scores of a stream, so that about a share `rate` of its records is flagged.

After each record the threshold moves by a step times (flagged - rate); in the long run a share `rate` of all records
lies above it, however the scores move (Gibbs & Candes, *Adaptive Conformal Inference Under Distribution Shift*,
2021). The additions were chosen on simulated streams with drift, shifts, cycles, bursts and incidents:

- Hysteresis: in an incident, the threshold rises at most to the incident's floor, `FLOOR_SPREADS` above the threshold
  at its start. So a fault stays flagged as long as it lasts, and scores that hover around the threshold do not.
- Momentum: the level of an incident is a running mean of its scores. As long as it is above the floor, a record is
  flagged unless its score is so low that it brings the level down to the floor: a fault whose scores dip now and then
  remains one incident.
- An incident costs at most `MAX_INCIDENT_RECORDS`. Without this limit an incident of a hundred records uses up the
  alarms of ten thousand, and the next one is missed. Nor is it a credit: the threshold ends below that at the start
  only if fewer records were flagged than the rate allows. An incident ends after `CALM_RECORDS` consecutive records of
  which neither the score nor the level is `CALM_SPREADS` above the threshold at its start: a fault that has just begun
  may take its time to reach the floor.
- The records beyond that limit are a debt, up to `MAX_DEBT_RECORDS`, which fades and is paid with the next incident:
  a rare fault is free of it, and bursts that recur all the time are not.
- Incidents that recur raise the floor: by `RECENT_SPREADS` for each of their flagged records beyond the cost, at most
  `MAX_RECENT_OF_INCIDENT` of each and `MAX_RECENT_RECORDS` in all, which fade. So a rare fault is flagged as a whole,
  and of bursts that recur less and less; the next incident begins at the same threshold in any case.
- After `usual_after` records an incident ends in any case. If their long-term level has not calmed down, it becomes
  usual: the threshold is put above it, and applies until `RETURN_RECORDS` consecutive records are back below the
  threshold of before.
- As long as the scores are steady, which is to say that they lie as those of calibration (`steady_scores`), a fault
  may also show by scores that stay high for longer than ever in calibration. From then on they are an incident with a
  floor right below the calibrated threshold, so that a weak fault that lasts is not followed by the threshold. That
  takes more evidence after incidents, by `RECENT_EVIDENCE` for each flagged record in `recent`. An incident whose level
  is `STRONG_SPREADS` above its start needs no such floor, and is no evidence.
- In a steady stream the calibrated threshold holds, so what the threshold has above it fades (`EXCESS_HALF_LIFE`), the
  slower the more incidents there were (`recent`; not at all from `MAX_FADING_RECENT` on). At a rate of 0.1 % an
  incident would otherwise be paid for by six thousand records, in which a second fault is hardly seen. Nor is the floor
  of an incident then above the largest calibration score, unless the threshold at its start is.
- A score far above the threshold widens the step, so the calibration scores need no scale and may all be equal. The
  decisions do not depend on the unit of the scores or on a constant added to them.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from detector.core.calibration import Calibration
from detector.core.json_values import present_fields
from detector.core.steady_scores import SteadyScores

STEP_SPREADS = 0.1
MAX_INCIDENT_RECORDS = 6
CALM_RECORDS = 4
RETURN_RECORDS = 16
FLOOR_SPREADS, CALM_SPREADS = 0.35, 0.1
HELD_SPREADS = 0.1  # of the floor of a sustained excess below the calibrated threshold
STRONG_SPREADS = 0.5
RECENT_EVIDENCE = 0.05
RECENT_SPREADS = 0.03  # of the floor for each flagged record of recent incidents
MAX_RECENT_OF_INCIDENT, MAX_RECENT_RECORDS = 10, 40
RECENT_HALF_LIFE = 4000  # records
MOMENTUM_HALF_LIFE = 3  # records, of the level of an incident
# Spreads above the threshold at the start, and above the floor, that a score counts at most: one record is no fault.
MAX_MOMENTUM_SPREADS, MAX_MOMENTUM_ABOVE_FLOOR = 0.75, 0.4
LEVEL_RECORDS = 16  # of the level that may become usual
USUAL_SPREADS = 0.5  # of the threshold above a usual level
MAX_DEBT_RECORDS = 5
DEBT_HALF_LIFE = 1000  # records
USUAL_AFTER = 300  # records
EXCESS_HALF_LIFE = 800  # records, of the threshold above the calibrated one in a steady stream
MAX_FADING_RECENT = 20
MAX_SPREADS_ABOVE = 32  # the spread grows until no score is further above the threshold
_DEBT_KEPT = 0.5 ** (1 / DEBT_HALF_LIFE)  # with each record
_RECENT_KEPT = 0.5 ** (1 / RECENT_HALF_LIFE)
_EXCESS_FADED = 1 - 0.5 ** (1 / EXCESS_HALF_LIFE)  # with each record
_MOMENTUM_SHARE = 1 - 0.5 ** (1 / MOMENTUM_HALF_LIFE)  # of a record in the level of its incident


@dataclass(frozen=True)
class Tracker:
    """A threshold and its state; all numbers are finite.

    Attributes:
        rate: share of the records to flag.
        threshold: the moving threshold; outside of incidents a record with a higher score is flagged.
        spread: the scale of the scores.
        before: the threshold at the start of the current incident; None if there is no incident.
        calm: number of consecutive calm records in the incident.
        records: number of records of the incident so far.
        flagged: number of its flagged records.
        level: decayed mean of its scores, over a longer time than its momentum.
        debt: flagged records of earlier incidents that the next one pays for.
        shifts: number of levels so far that became usual.
        usual_after: number of records after which a level becomes usual.
        home: the threshold before the last level that became usual; None if there was none, or it is over.
        back: number of consecutive records that are not above `home`.
        momentum: the level of the current incident, which keeps its records flagged; without effect if there is none.
        recent: flagged records of recent incidents beyond their cost, which raise the floor of the next ones.
        steady: the scores next to those of calibration; None in states of earlier versions.
        is_held: whether the current incident has the floor of a sustained excess.
    """

    rate: float
    threshold: float
    spread: float
    before: float | None = None
    calm: int = 0
    records: int = 0
    flagged: int = 0
    level: float = 0.0
    debt: float = 0.0
    shifts: int = 0
    usual_after: int = USUAL_AFTER
    home: float | None = None
    back: int = 0
    momentum: float = 0.0
    recent: float = 0.0
    steady: SteadyScores | None = None
    is_held: bool = False

    @classmethod
    def start(cls, reference: np.ndarray, rate: float) -> Self:
        """Return a tracker that starts at the conformal threshold of held-out normal scores (m,), in their order.

        Raises:
            RateTooSmall: If there are too few scores for the rate.
        """
        threshold = Calibration.fit(reference).threshold(rate)
        spread = float(np.quantile(reference, 0.99) - np.median(reference))
        return cls(rate, threshold, spread, steady=SteadyScores.start(reference, threshold))

    def advance(self, scores: np.ndarray) -> tuple[np.ndarray, Self]:
        """Return the thresholds (n,) of the next records, with finite scores, and the tracker after the last record.

        A stream may be cut anywhere: the returned tracker continues it.
        """
        steady = None if self.steady is None else replace(self.steady)
        walk = _Walk(**{**vars(self), "steady": steady})
        thresholds = np.array([walk.advance(score) for score in scores.tolist()], dtype=np.float64)
        return thresholds, type(self)(**{name: getattr(walk, name) for name in vars(self)})

    def to_state(self) -> dict[str, Any]:
        """Return the tracker as JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the tracker of a state that `to_state` wrote, perhaps with entries of others.

        Those of earlier versions lack some of the numbers.
        """
        steady = SteadyScores(**state["steady"]) if state.get("steady") else None
        return cls(**{"momentum": state.get("before") or 0.0, **present_fields(cls, state), "steady": steady})


@dataclass(slots=True)
class _Walk:
    """The numbers of a `Tracker` while they move: a new value for each record would cost more than the move."""

    rate: float
    threshold: float
    spread: float
    before: float | None
    calm: int
    records: int
    flagged: int
    level: float
    debt: float
    shifts: int
    usual_after: int
    home: float | None
    back: int
    momentum: float
    recent: float
    steady: SteadyScores | None
    is_held: bool

    def advance(self, score: float) -> float:
        """Return the threshold of the next record, and move past it."""
        if self.steady is not None:
            self.steady.gather(score)
            self._hold(score, self.steady)
        limit = self.threshold if self.before is None else self._limit_in_incident(self.before, score)
        is_flagged = score > limit
        if self.before is None and is_flagged:
            self.before = self.momentum = self.threshold
        before = self.before
        self._move(score)
        if before is not None:
            self.records += 1
            self.flagged += is_flagged
            self._follow(score, before)
            self._settle(before)
        if self.home is not None:
            self.back = 0 if score > self.home else self.back + 1
            self._return(self.home)
        if self.steady is not None:
            self._let_go(self.steady)
            self.steady.count(score)
            self._fade(self.steady)
        return limit

    def _hold(self, score: float, steady: SteadyScores) -> None:
        """Begin an incident, or lower the floor of the current one, if the excess of the scores is sustained."""
        if score <= steady.high or not steady.is_sustained(1 + RECENT_EVIDENCE * self.recent):
            return
        if self.before is None:
            self.momentum = steady.threshold
        elif self._floor(self.before) <= steady.threshold - HELD_SPREADS * self.spread:
            return
        self.before, self.is_held = steady.threshold, True

    def _let_go(self, steady: SteadyScores) -> None:
        """Raise the floor of an incident that is strong; neither it nor a usual level is evidence."""
        is_strong = self.before is not None and self.momentum > self._strong_limit(self.before, steady)
        if is_strong or self.home is not None:
            self.is_held, steady.evidence = False, 0.0

    def _fade(self, steady: SteadyScores) -> None:
        """Lower the threshold of a steady stream towards the calibrated one."""
        if self.before is None and self.home is None and self.threshold > steady.threshold and self._is_calibrated:
            share = _EXCESS_FADED * (1 - self.recent / MAX_FADING_RECENT)
            self.threshold -= share * (self.threshold - steady.threshold)

    @property
    def _is_calibrated(self) -> bool:
        """Whether the calibration scores are those of the stream without its incidents, which are few."""
        return self.steady is not None and self.steady.is_steady and self.recent < MAX_FADING_RECENT

    def _strong_limit(self, before: float, steady: SteadyScores) -> float:
        return min(before, steady.threshold) + STRONG_SPREADS * self.spread

    def _limit_in_incident(self, before: float, score: float) -> float:
        """Return the threshold of the next record: at most the floor, and right below a score that dips but is flagged.

        So the excess of a score over its threshold compares between records.
        """
        floor = self._floor(before)
        limit = min(self.threshold, floor)
        if score > limit:
            return limit
        lowest = min(limit, self.momentum + (floor - self.momentum) / _MOMENTUM_SHARE)
        if self.steady is not None:  # a record as usual as most is none of the incident's
            lowest = max(lowest, min(limit, self.steady.median))
        return math.nextafter(score, -math.inf) if score > lowest else lowest

    def _follow(self, score: float, before: float) -> None:
        """Move the levels of the incident, and count its calm records."""
        self.level = score if self.records == 1 else self.level + (score - self.level) / LEVEL_RECORDS
        highest = max(MAX_MOMENTUM_SPREADS, self._floor_spreads() + MAX_MOMENTUM_ABOVE_FLOOR)
        counted = min(score, before + highest * self.spread)
        self.momentum += _MOMENTUM_SHARE * (counted - self.momentum)
        self.calm = self.calm + 1 if max(score, self.momentum) <= self._calm_limit(before) else 0

    def _move(self, score: float) -> None:
        self.spread = max(self.spread, (score - self.threshold) / MAX_SPREADS_ABOVE)
        self.threshold += STEP_SPREADS * self.spread * ((score > self.threshold) - self.rate)
        self.debt *= _DEBT_KEPT
        self.recent *= _RECENT_KEPT

    def _settle(self, before: float) -> None:
        """End the incident if its scores have calmed down, or if their level has become usual."""
        if self.calm >= CALM_RECORDS:
            cost = min(self.flagged, MAX_INCIDENT_RECORDS)
            paid = 0.0 if self.is_held else self.debt  # an excess that goes on is no other incident
            due = self.rate * self.records  # by the rate, flagged records; only fewer than that lower the threshold
            self.threshold = self._raised(before, max(cost + paid - due, min(0.0, self.flagged - due)))
            self.debt = max(self.debt - paid, float(min(self.flagged - cost, MAX_DEBT_RECORDS)))
            self.recent += min(self.flagged - cost, MAX_RECENT_OF_INCIDENT)
            self._end_incident()
        elif self.records >= self.usual_after:
            self.recent += MAX_RECENT_OF_INCIDENT if self.is_held else 0
            if self.level > self._calm_limit(before):
                self.shifts += 1
                self.threshold = max(self.threshold, self.level + USUAL_SPREADS * self.spread)
                self.home, self.back = before if self.home is None else self.home, 0
            self._end_incident()

    def _return(self, home: float) -> None:
        """Return to the threshold before a usual level, if the scores have left that level."""
        if self.back >= RETURN_RECORDS:
            self.threshold = min(self.threshold, self._raised(home, MAX_INCIDENT_RECORDS))
            self._end_incident()
            self.home, self.back = None, 0
        elif self.threshold <= home:
            self.home, self.back = None, 0

    def _floor(self, before: float) -> float:
        floor = before + self._floor_spreads() * self.spread
        if self.steady is None or not self._is_calibrated or self.is_held:
            return floor
        return max(before, min(floor, self.steady.largest))

    def _floor_spreads(self) -> float:
        return -HELD_SPREADS if self.is_held else FLOOR_SPREADS + RECENT_SPREADS * min(self.recent, MAX_RECENT_RECORDS)

    def _calm_limit(self, before: float) -> float:
        return before + (-HELD_SPREADS if self.is_held else CALM_SPREADS) * self.spread

    def _raised(self, threshold: float, flagged: float) -> float:
        return threshold + STEP_SPREADS * self.spread * flagged

    def _end_incident(self) -> None:
        if self.is_held and self.steady is not None:
            self.steady.evidence = 0.0
        self.before, self.calm, self.records, self.flagged, self.is_held = None, 0, 0, 0, False


class StreamState(Protocol):
    """State that decides about the next records of a stream, and moves with each of them."""

    @property
    def shifts(self) -> int:
        """The number of levels so far that became usual."""
        ...

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
