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
from schemas.config import MonitorConfig
from schemas.frames import UNGROUPED_ENTITY

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
    entities = entities_of(records, monitor.entity)
    followed = []
    for incident in incidents:
        entity = UNGROUPED_ENTITY if monitor.entity is None else incident.span.entity or ""
        is_long = len(incident.records) >= MIN_RECORDS and champion.can_score(entity)
        end = _end(incident, records[entities == entity], monitor, champion, entity) if is_long else incident.span.end
        if end is not None:
            followed.append(replace(incident, span=replace(incident.span, end=end)))
    return tuple(followed)


def _end(
    incident: FlaggedIncident, records: pd.DataFrame, monitor: MonitorConfig, champion: SeriesScorer, entity: str
) -> datetime | None:
    """Return the last record of an incident before the scores are back; None if they are not back yet."""
    time = str(monitor.time)
    ordered = records[records[time].notna()].sort_values(time, kind="stable")
    scores = champion.model.scores(entity, series_of(ordered, time, champion.artifact.features))
    first = int(ordered[time].searchsorted(pd.Timestamp(incident.span.end), side="right"))
    is_back = scores[first:] <= incident.first_threshold
    if len(is_back) < RETURN_RECORDS:
        return _moment(ordered[time].iloc[-1])
    calm = np.convolve(is_back, np.ones(RETURN_RECORDS), mode="valid")
    if not (calm == RETURN_RECORDS).any():
        return None
    return _moment(ordered[time].iloc[first - 1 + int((calm == RETURN_RECORDS).argmax())])


def _moment(time: pd.Timestamp) -> datetime:
    moment: datetime = time.to_pydatetime()
    return moment
