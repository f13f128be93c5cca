"""Tries a champion on history without writing anything: against labels, and as a forecast of alarms."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from detector.core.evaluation import Evaluation, evaluate
from detector.series.scorer import SeriesScorer
from detector.series.segments import entities_of, positions_of
from jobs.reading.context import AnyScorer, in_context
from jobs.reading.source import Source
from jobs.scoring.run import load_scorer
from jobs.scoring.thresholds import new_trackers
from jobs.store import Store
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY
from schemas.keys import Key, load_key

FORECAST_RATES = (0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)

Setting: TypeAlias = Literal["false_positive_rate", "false_discovery_rate", "f_beta"]
_Count: TypeAlias = Callable[[pd.DataFrame, np.ndarray], int]  # of a page and its scores (n,): how many are flagged


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation, and whether records that the model was made from are among those it was tried on."""

    monitor: str
    model_id: int
    evaluation: Evaluation
    includes_training_records: bool


@dataclass(frozen=True)
class Forecast:
    """What the champion would have flagged on history.

    Attributes:
        records: how many were scored.
        flagged: how many the threshold in force would have flagged.
        days: length of the history; None for a monitor without a time column.
        by_day: flagged records of each day.
        decided_by: the setting that says how much is flagged.
        by_rate: flagged records for each false-positive rate that one might ask for instead; empty where no
            such rate decides.
        includes_training_records: whether the history contains what the model was made from; then the
            forecast is too low.
    """

    monitor: str
    model_id: int
    records: int
    flagged: int
    days: float | None
    by_day: dict[str, int]
    decided_by: Setting
    by_rate: dict[float, int]
    includes_training_records: bool

    @property
    def flagged_per_day(self) -> float | None:
        """Flagged records a day."""
        return self.flagged / self.days if self.days else None


def evaluate_monitor(
    source: Source, store: Store, *, everything: bool = False, progress: Callable[[int], None] | None = None
) -> EvaluationReport:
    """Compare the champion's scores with the label column, on records past those it was made from.

    Args:
        source: the watched table.
        store: the service's own database.
        everything: compare on all records of the table instead.
        progress: called with the number of records scored so far.

    Raises:
        RecordsError: where there are no such records, or their labels are all the same.
        UsageError: where the monitor has no label column.
    """
    label = source.monitor.label
    if label is None:
        raise UsageError(
            f"Monitor {source.name!r} has no label column, so there is nothing to evaluate against. "
            f'Name one in config.toml: label = "is_fault" under [monitors.{source.name}].'
        )
    model_id, scorer, upto = _champion(source, store)
    compared = [
        _compared(page, scored, label)
        for page, scored in _scored(source, scorer, None if everything else upto, progress, with_label=True)
    ]
    if not sum(len(scores) for scores, _, _ in compared):
        raise RecordsError(
            "No labelled record lies past those that the model was made from. "
            "Leave newer records out of `normal` in config.toml, or evaluate on all of them with --all."
        )
    result = evaluate(*(np.concatenate(column) for column in zip(*compared, strict=True)))
    return EvaluationReport(source.name, model_id, result, includes_training_records=everything)


def forecast_monitor(source: Source, store: Store, progress: Callable[[int], None] | None = None) -> Forecast:
    """Score history as `score` would, and count; past the records that the model was made from where there are any.

    Raises:
        RecordsError: where the table is empty.
    """
    model_id, scorer, upto = _champion(source, store)
    tally = _tallied(source, scorer, upto, progress)
    includes_training = not tally.records
    if includes_training:
        tally = _tallied(source, scorer, None, progress)
    if not tally.records:
        raise RecordsError(f"Monitor {source.name!r} watches an empty table. Fill it, then forecast.")
    return Forecast(
        monitor=source.name,
        model_id=model_id,
        records=tally.records,
        flagged=tally.flagged,
        days=tally.days,
        by_day=dict(sorted(tally.by_day.items())),
        decided_by=_decided_by(scorer, source.monitor),
        by_rate=dict(tally.by_rate),
        includes_training_records=includes_training,
    )


def _champion(source: Source, store: Store) -> tuple[int, AnyScorer, Key]:
    """The champion's id, the champion, and the last key that it was made from."""
    champion = store.models.require_champion(source.name)
    scorer = load_scorer(store, champion, source.monitor)
    return champion.model_id, scorer, load_key(scorer.artifact.about["training"]["upto_key"])


def _scored(
    source: Source,
    scorer: AnyScorer,
    after: Key | None,
    progress: Callable[[int], None] | None,
    *,
    with_label: bool = False,
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Each page of the records past a key that the scorer knows, and what it says of them."""
    count, trackers = 0, new_trackers(scorer, source.monitor)
    for page in source.pages(after, with_label=with_label):
        scored = in_context(scorer, page, source, trackers).score(page)
        count += len(page)
        if progress:
            progress(count)
        is_known = scored[ANOMALY_SCORE].notna()
        yield page[is_known], scored[is_known]


def _compared(page: pd.DataFrame, scored: pd.DataFrame, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, decisions and labels of the records of a page that have a label."""
    is_labelled = page[label].notna()
    found = scored[is_labelled]
    return (
        found[ANOMALY_SCORE].to_numpy(),
        found[IS_ANOMALY].to_numpy(dtype=bool),
        page.loc[is_labelled, label].to_numpy(dtype=bool),
    )


@dataclass
class _Tally:
    """Counts of a forecast, page by page."""

    records: int = 0
    flagged: int = 0
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    by_day: Counter[str] = field(default_factory=Counter)
    by_rate: Counter[float] = field(default_factory=Counter)

    @property
    def days(self) -> float | None:
        """Length of the history; None where it has none."""
        if self.first is None or self.last is None:
            return None
        return (self.last - self.first) / pd.Timedelta(days=1) or None

    def add(self, is_flagged: np.ndarray, times: pd.Series | None) -> None:
        """Count the records of a page."""
        self.records += len(is_flagged)
        self.flagged += int(is_flagged.sum())
        if times is None or times.isna().all():
            return
        self.first = times.min() if self.first is None else min(self.first, times.min())
        self.last = times.max() if self.last is None else max(self.last, times.max())
        of_days = pd.Series(is_flagged, times.index).groupby(times.dt.strftime("%Y-%m-%d")).sum()
        self.by_day.update({str(day): int(count) for day, count in of_days.items()})


def _tallied(source: Source, scorer: AnyScorer, after: Key | None, progress: Callable[[int], None] | None) -> _Tally:
    """The counts of the records past a key; none of these is kept."""
    tally, time = _Tally(), source.monitor.time
    others = _other_rates(scorer, source.monitor)
    for page, scored in _scored(source, scorer, after, progress):
        tally.add(scored[IS_ANOMALY].to_numpy(dtype=bool), page[time] if time else None)
        scores = scored[ANOMALY_SCORE].to_numpy()
        tally.by_rate.update({rate: count(page, scores) for rate, count in others.items()})
    return tally


def _decided_by(scorer: AnyScorer, monitor: MonitorConfig) -> Setting:
    if monitor.flag == "fdr":
        return "false_discovery_rate"
    is_by_labels = not isinstance(scorer, SeriesScorer) and scorer.artifact.decision.method == "f_beta"
    return "f_beta" if is_by_labels else "false_positive_rate"


def _other_rates(scorer: AnyScorer, monitor: MonitorConfig) -> dict[float, _Count]:
    """What counts the flagged records at each rate that the calibration can tell apart; none where no rate decides."""
    if _decided_by(scorer, monitor) != "false_positive_rate":
        return {}
    if isinstance(scorer, SeriesScorer):
        others = {rate: SeriesScorer(scorer.artifact, rate) for rate in FORECAST_RATES}
        return {rate: _of_series(other, monitor) for rate, other in others.items() if rate >= other.smallest_rate}
    calibration = scorer.artifact.calibration
    return {rate: _above(calibration.threshold(rate)) for rate in FORECAST_RATES if rate >= scorer.smallest_rate}


def _above(threshold: float) -> _Count:
    return lambda page, scores: int((scores > threshold).sum())  # noqa: ARG005 - where all share a threshold


def _of_series(scorer: SeriesScorer, monitor: MonitorConfig) -> _Count:
    """What counts page by page, as thresholds may move from one to the next."""
    trackers = new_trackers(scorer, monitor)

    def count(page: pd.DataFrame, scores: np.ndarray) -> int:
        entities = positions_of(entities_of(page, monitor.entity))
        thresholds = {name: scorer.thresholds(name, scores[rows], trackers) for name, rows in entities.items()}
        return sum(int((scores[rows] > thresholds[name]).sum()) for name, rows in entities.items())

    return count
