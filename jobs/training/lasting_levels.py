"""Incidents of series whose scores stayed high although their records were no longer flagged.

A tracked threshold stops flagging a level that lasts for `usual_after` records. If the scores have come back since,
that was a long fault, and its unflagged rest is no more normal than its beginning. If they have not, it is the usual
level of today, and a training learns it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from detector.core.scorer import Scorer
from detector.core.threshold_tracking import RETURN_RECORDS
from detector.series.scorer import SeriesScorer
from detector.series.segments import entities_of, series_of
from jobs.store.feedback import FlaggedIncident
from jobs.training.unlearned_incidents import entity_of
from schemas.config import MonitorConfig

MIN_RECORDS = 20  # flagged ones; the smallest `usual_after`


def without_lasting_levels(
    incidents: Sequence[FlaggedIncident], records: pd.DataFrame, monitor: MonitorConfig, champion: Scorer | None
) -> tuple[FlaggedIncident, ...]:
    """Extend long incidents until the scores are back, and leave away those that last until the newest record.

    Args:
        incidents: that a training leaves out.
        records: all normal records that it has read.
        monitor: of the records.
        champion: scores the records; None if there is none.
    """
    is_tracked = monitor.is_in_order and monitor.retrain.learn_incidents == "labelled"
    if not (is_tracked and isinstance(champion, SeriesScorer)):
        return tuple(incidents)
    if champion.artifact.features.missing_from(records.columns):
        return tuple(incidents)
    scores = _ChampionScores(records, monitor, champion)
    followed = []
    for incident in incidents:
        entity = entity_of(incident.span, monitor)
        is_long = len(incident.records) >= MIN_RECORDS and champion.can_score(entity)
        end = _end(incident, *scores.of(entity)) if is_long else incident.span.end
        if end is not None:
            followed.append(replace(incident, span=replace(incident.span, end=end)))
    return tuple(followed)


class _ChampionScores:
    """Times, scores and threshold of each entity by the champion; an entity is scored once for all of its incidents.

    Args:
        records: of all entities.
        monitor: of the records.
        champion: scores them.
    """

    def __init__(self, records: pd.DataFrame, monitor: MonitorConfig, champion: SeriesScorer) -> None:
        self._records, self._time, self._champion = records, str(monitor.time), champion
        self._entities = entities_of(records, monitor.entity)
        self._known: dict[str, tuple[pd.DatetimeIndex, np.ndarray, float]] = {}

    def of(self, entity: str) -> tuple[pd.DatetimeIndex, np.ndarray, float]:
        """Return the times (n,) of an entity's records in order, their scores (n,), and the threshold."""
        if entity not in self._known:
            records, time = self._records[self._entities == entity], self._time
            ordered = records[records[time].notna()].sort_values(time, kind="stable")
            series = series_of(ordered, time, self._champion.artifact.features)
            scores = self._champion.model.scores(entity, series)
            threshold = self._champion.entity_threshold(entity).threshold
            self._known[entity] = pd.DatetimeIndex(ordered[time]), scores, threshold
        return self._known[entity]


def _end(incident: FlaggedIncident, times: pd.DatetimeIndex, scores: np.ndarray, threshold: float) -> datetime | None:
    """Return the last record of an incident before the scores are back; None if they are not back yet.

    They are back at the threshold at which the incident began, if the champion flagged it and that is higher than the
    calibrated one: a tracked threshold may be low by then.
    """
    first = int(times.searchsorted(pd.Timestamp(incident.span.end), side="right"))
    limit = max(threshold, incident.first_threshold or threshold)
    is_back = scores[first:] <= limit
    if len(is_back) < RETURN_RECORDS:
        return _moment(times[-1])
    calm = np.convolve(is_back, np.ones(RETURN_RECORDS), mode="valid")
    if not (calm == RETURN_RECORDS).any():
        return None
    return _moment(times[first - 1 + int((calm == RETURN_RECORDS).argmax())])


def _moment(time: pd.Timestamp) -> datetime:
    moment: datetime = time.to_pydatetime()
    return moment
