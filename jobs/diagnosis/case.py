"""Everything that a diagnosis may look at, each read once and on first use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeAlias

import numpy as np
import pandas as pd

from detector.core.calibration import SMALLEST_P
from detector.core.scorer import Scorer
from detector.series.segments import entities_of
from jobs.champions import load_scorer
from jobs.incident_gap import incident_gap, pace_of_model
from jobs.reading.context import in_context
from jobs.reading.source import Source
from jobs.scoring.thresholds import new_trackers
from jobs.store import Champion, Store
from jobs.store.overviews import MonitorOverview
from schemas.config import Config, MonitorConfig
from schemas.errors import RateTooSmall
from schemas.frames import ANOMALY_SCORE
from schemas.keys import Key

SAMPLE_RECORDS = 2_000  # the newest of the table


@dataclass(frozen=True)
class Problem:
    """A reason for too few or too many flagged records, and what to change."""

    message: str
    advice: str


Diagnosis: TypeAlias = "Callable[[Case], Iterator[Problem]]"


class Case:
    """A monitor to diagnose.

    Args:
        config: in which the monitor is.
        source: its watched table.
        store: the service's own database.
        at: the time now.
    """

    def __init__(self, config: Config, source: Source, store: Store, at: datetime) -> None:
        self.config, self.source, self.store, self.at = config, source, store, at
        self.name = source.name

    @property
    def monitor(self) -> MonitorConfig:
        """The settings of the monitor."""
        return self.source.monitor

    @cached_property
    def overview(self) -> MonitorOverview:
        """The champion, progress and recent numbers of the monitor."""
        return self.store.overviews.get(self.name, self.at)

    @cached_property
    def champion(self) -> Champion | None:
        """The model that scores; None before the first."""
        return self.store.models.champion(self.name)

    @cached_property
    def incident_gap(self) -> timedelta:
        """The longest pause inside an incident."""
        model_id = None if self.champion is None else self.champion.model_id
        return incident_gap(self.monitor, pace_of_model(self.store, self.monitor, model_id))

    @cached_property
    def scorer(self) -> Scorer:
        """The champion, ready to score.

        Raises:
            NoChampion: If there is none.
            ArtifactError: If it does not fit the monitor.
            RateTooSmall: If its calibration records cannot resolve the rate.
        """
        return load_scorer(self.store, self.store.models.require_champion(self.name), self.monitor)

    @cached_property
    def newest(self) -> pd.DataFrame:
        """The newest records of the table, in key order.

        Raises:
            SourceError: If the table cannot be read.
        """
        return self.source.read_newest(SAMPLE_RECORDS)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The newest records with their scores, without those that no model scores; nothing is written.

        Raises:
            RecordsError: If the champion cannot score them.
        """
        if self.newest.empty:
            return pd.DataFrame()
        bound = in_context(self.scorer, self.newest, self.source, new_trackers(self.scorer, self.monitor))
        scored = bound.score(self.newest)
        return scored[scored[ANOMALY_SCORE].notna()]

    @cached_property
    def entities(self) -> Sequence[str]:
        """The entities among the newest records that the champion scores."""
        names = np.unique(entities_of(self.newest, self.monitor.entity)).tolist() if len(self.newest) else []
        return [name for name in names if self.scorer.can_score(name)]

    def thresholds(self, scorer: Scorer) -> Mapping[str, float]:
        """Return the threshold of each entity."""
        thresholds = scorer.thresholds_of(np.array(self.entities, dtype=object), np.zeros(len(self.entities)))
        return dict(zip(self.entities, thresholds.tolist(), strict=True))

    @cached_property
    def smallest_p_value(self) -> float | None:
        """The smallest p-value that the calibration records resolve; None if no rate or a tail model decides."""
        if not self.scorer.has_rate:
            return None
        try:
            self.scorer.at_rate(SMALLEST_P)
        except RateTooSmall as exc:
            return 1 / (1 + exc.found)
        return None

    @cached_property
    def watermark(self) -> Key | None:
        """The key up to which records are scored or waiting in batches."""
        return self.store.ledger.watermark(self.name)

    @property
    def settled_before(self) -> datetime | None:
        """The time from which on records wait; None if no record waits."""
        return self.at - self.monitor.settle if self.monitor.has_to_settle else None
