"""When the incident of each flagged record began, by the scores between flagged records: from the store and back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector.core.lasting_incidents import LastingIncident
from detector.core.normal_band import NormalBand
from detector.core.scorer import BoundScorer, RecordProfile, StoredThreshold
from detector.core.vae_scores import VaeRecords
from detector.series.segments import entities_of, positions_of
from jobs.incident_gap import follows_scores
from jobs.store import Store
from schemas.config import MonitorConfig
from schemas.frames import ANOMALY_SCORE, THRESHOLD, UNGROUPED_ENTITY, Explanation

if TYPE_CHECKING:
    from detector.core.threshold_tracking import Trackers

BEGAN_AT = "began_at"  # in place of a column of scored records: when the incident of a flagged one began
STATE = "incident"  # in the stored state of a threshold


@dataclass(frozen=True)
class _Move:
    before: LastingIncident
    after: LastingIncident


class IncidentStarts:
    """The incidents of a stream's entities while a batch of its records is scored.

    Args:
        monitor: of the records.
        trackers: of their thresholds.
        stored: returns the state of an entity's threshold before the batch, or None if it has not started.
    """

    def __init__(self, monitor: MonitorConfig, trackers: "Trackers", stored: StoredThreshold) -> None:
        self._monitor, self._trackers, self._stored = monitor, trackers, stored
        self._moves: dict[str, _Move] = {}

    @property
    def states(self) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        """The state of each entity's incident before and after the records so far, as JSON values."""
        return {name: (move.before.to_state(), move.after.to_state()) for name, move in self._moves.items()}

    def marked(self, records: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
        """Return the next records of the stream, as they are scored, with the column `BEGAN_AT`."""
        scores, thresholds = (scored[name].to_numpy(np.float64) for name in (ANOMALY_SCORE, THRESHOLD))
        began_at = np.full(len(records), None, dtype=object)
        times = records[self._monitor.time]
        for entity, rows in positions_of(entities_of(records, self._monitor.entity)).items():
            incident = self._incident(entity)
            known = rows[np.isfinite(scores[rows])]
            if incident is None:
                continue
            for row, score, threshold in zip(known, scores[known].tolist(), thresholds[known].tolist(), strict=True):
                time = _moment(times.iloc[row]) if score > threshold else None
                began_at[row] = incident.advance(score, threshold, time)
        return scored.assign(**{BEGAN_AT: pd.Series(began_at, scored.index, dtype="object")})

    def bound(self, scorer: BoundScorer) -> "MarkingScorer":
        """Return the scorer of the next page of the stream, whose scored records have the column `BEGAN_AT`."""
        return MarkingScorer(scorer, self)

    def _incident(self, entity: str) -> LastingIncident | None:
        """Return the incident that an entity is in; None if its threshold is not tracked."""
        if entity not in self._moves and (incident := self._started(entity)) is not None:
            self._moves[entity] = _Move(incident.copy(), incident)
        move = self._moves.get(entity)
        return None if move is None else move.after

    def _started(self, entity: str) -> LastingIncident | None:
        tracked = self._trackers.moves.get(entity)
        if tracked is None:
            return None
        state = self._stored(entity)
        if state is not None and STATE in state:
            return LastingIncident.from_state(state[STATE])
        steady = getattr(tracked.before, "steady", None)
        return None if steady is None else LastingIncident.start(steady)


@dataclass(frozen=True)
class MarkingScorer:
    """A bound scorer whose scored records have the column `BEGAN_AT`.

    Attributes:
        scorer: of the page.
        starts: of the stream.
    """

    scorer: BoundScorer
    starts: IncidentStarts

    @property
    def context_rows(self) -> int:
        """As of the scorer."""
        return self.scorer.context_rows

    @property
    def profile(self) -> RecordProfile | None:
        """As of the scorer."""
        return self.scorer.profile

    def score(self, records: pd.DataFrame, vae_of: VaeRecords = "none") -> pd.DataFrame:
        """Return the records of the page, in their order, as they are scored; once for each page."""
        return self.starts.marked(records, self.scorer.score(records, vae_of))

    def explain(self, records: pd.DataFrame, scores: np.ndarray, top: int) -> list[Explanation]:
        """As of the scorer."""
        return self.scorer.explain(records, scores, top)

    def normal_band(self) -> NormalBand | None:
        """As of the scorer."""
        return self.scorer.normal_band()


def incident_starts(
    monitor: MonitorConfig, trackers: "Trackers | None", stored: StoredThreshold
) -> IncidentStarts | None:
    """Return the incidents of a stream; None if they are grouped by time alone."""
    return IncidentStarts(monitor, trackers, stored) if trackers is not None and follows_scores(monitor) else None


def incidents_that_go_on(
    store: Store, monitor: MonitorConfig, model_id: int, entities: Collection[str | None]
) -> Mapping[str | None, bool]:
    """Return whether the last incident of entities goes on, by the scores; unknown ones are left out.

    Unknown is one that may have begun before the first record of the model: its rows are grouped by time alone.

    Args:
        store: the service's own database.
        monitor: of the entities.
        model_id: of its champion.
        entities: as incidents name them, None for records of none.
    """
    nobody = UNGROUPED_ENTITY if monitor.entity is None else ""
    names = {entity: nobody if entity is None else entity for entity in entities}
    states = store.threshold_states.newest(model_id, set(names.values()))
    started = {name: LastingIncident.from_state(state[STATE]) for name, state in states.items() if STATE in state}
    incidents = {entity: started[name] for entity, name in names.items() if name in started}
    return {entity: item.goes_on for entity, item in incidents.items() if item.is_over or item.began_at is not None}


def _moment(time: pd.Timestamp) -> datetime | None:
    return None if pd.isna(time) else time.to_pydatetime()
