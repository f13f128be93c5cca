"""Applies a champion to history without writing anything: an evaluation against labels, or a forecast of alarms."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from detector.core.evaluation import Evaluation, evaluate
from detector.core.scorer import Scorer
from detector.core.subsample import subsample_evenly
from detector.series.segments import entities_of
from jobs.alert_preview import AlertPreview
from jobs.champions import load_scorer
from jobs.incident_gap import with_fixed_gap
from jobs.look_alikes import LookAlikes, look_alikes_of
from jobs.reading.source import Source, keys_of
from jobs.realised_rate import rate_sentence
from jobs.scoring.batch_results import count_top_features
from jobs.scoring.history import History, HistoryElsewhere, ScoredPage, readable_pages
from jobs.scoring.learned_features import learned_features
from jobs.scoring.thresholds import new_trackers
from jobs.store import Champion as StoredChampion
from jobs.store import Store
from jobs.store.alert_history import AlertCounts
from jobs.training.held_out_rows import read_held_out
from schemas.config import MonitorConfig
from schemas.errors import RateTooSmall, RecordsError, UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY
from schemas.keys import Key, load_key
from schemas.unreadable import UnreadableRecord

MAX_EXPLAINED_RECORDS = 200  # flagged records of each page whose causes are computed
FORECAST_RATES = (0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)

Setting: TypeAlias = Literal["false_positive_rate", "false_discovery_rate", "f_beta"]


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation, and the records that it is on.

    Attributes:
        evaluation: scores compared with labels.
        includes_training_records: whether it includes records that the model was made from.
        held_out_records: number of normal records that calibrate the model, if there are none after its training.
    """

    monitor: str
    model_id: int
    evaluation: Evaluation
    includes_training_records: bool
    held_out_records: int = 0
    unreadable_records: int = 0
    """Records that were left out because they cannot be read."""


@dataclass(frozen=True)
class Forecast:
    """The number of records of history that the champion would have flagged.

    Attributes:
        records: number of scored records.
        flagged: number of records above the threshold in force.
        days: length of the history; None for a monitor without a time column.
        by_day: flagged records of each day.
        decided_by: the setting that determines how many records are flagged.
        by_rate: flagged records for each false-positive rate that one might set instead; empty if no
            such rate decides.
        includes_training_records: whether the history contains records that the model was made from; then the
            forecast is too low.
        held_out_records: number of normal records that calibrate the model, if there are none after its training.
        unreadable_records: records that were left out because they cannot be read.
        rate: the configured false-positive rate.
        alerts: the alerts of these records, and what rules would have held back; None without a time column, or if too
            many records are flagged.
        causes: flagged records by the feature that contributes most to their score; without `alerts`, of a subsample of
            up to 200 flagged records of each page, scaled up.
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
    held_out_records: int = 0
    unreadable_records: int = 0
    rate: float | None = None
    causes: Mapping[str, int] = field(default_factory=dict)
    alerts: AlertCounts | None = None

    @property
    def rate_sentence(self) -> str | None:
        """How far the flagged share is from the rate, and because of which features; None if it is near."""
        if self.rate is None or self.decided_by != "false_positive_rate":
            return None
        return rate_sentence(self.records, self.flagged, self.rate, self.causes)

    @property
    def flagged_per_day(self) -> float | None:
        """Flagged records a day; None for a history without a length."""
        return self.flagged / self.days if self.days else None


def evaluate_monitor(
    source: Source,
    store: Store,
    *,
    everything: bool = False,
    progress: Callable[[int], None] | None = None,
    elsewhere: HistoryElsewhere | None = None,
) -> EvaluationReport:
    """Compare the champion's scores with the label column, on records past the training records.

    If there are none, the records are compared that the training held out, and labelled anomalies that it left out.

    Args:
        source: the watched table.
        store: the service's own database.
        everything: compare on all records of the table instead.
        progress: called with the number of records scored so far.
        elsewhere: has records scored in other processes.

    Raises:
        RecordsError: If there are no such records, or their labels are all the same.
        UsageError: If the monitor has no label column.
    """
    label = source.monitor.label
    if label is None:
        raise UsageError(
            f"Monitor {source.name!r} has no label column, so there is nothing to evaluate against. "
            f'Name one in config.toml: label = "is_fault" under [monitors.{source.name}].'
        )
    champion = _champion(source, store)
    history = champion.history(source, elsewhere)
    left_out: list[UnreadableRecord] = []
    pages = history.past(None if everything else champion.upto, left_out, with_label=True)
    held_out = 0
    compared = _compared_pages(pages, label, progress)
    if not everything and not _count(compared):
        held_out, frames = _held_out_with_anomalies(source, champion)
        compared = _compared_pages(history.score(frames, is_page=False), label, progress)
    if not _count(compared):
        raise RecordsError(
            "There are no labelled records after the training records of the model. "
            "Leave newer records out of `normal` in config.toml, or evaluate on all records with --all."
        )
    result = evaluate(*(np.concatenate(column) for column in zip(*compared, strict=True)))
    return EvaluationReport(source.name, champion.stored.model_id, result, everything, held_out, len(left_out))


def forecast_monitor(
    source: Source,
    store: Store,
    progress: Callable[[int], None] | None = None,
    *,
    now: datetime = _LATEST,
    elsewhere: HistoryElsewhere | None = None,
) -> Forecast:
    """Score history as `score` would, and count.

    These are the records past the training records; if there are none, the records that the training held out; and if
    the table has changed since, all records.

    Args:
        source: the watched table.
        store: the service's own database.
        progress: called with the number of records scored so far.
        now: the time now; later times of records are no times of alerts.
        elsewhere: has records scored in other processes.

    Raises:
        RecordsError: If the table is empty.
    """
    champion = _champion(source, store)
    history = champion.history(source, elsewhere)
    left_out: list[UnreadableRecord] = []
    tally = _tallied(history.past(champion.upto, left_out), source, champion, progress, now)
    held_out = 0
    if not tally.records:
        tally = _tallied(history.score(_held_out_pages(source, champion)), source, champion, progress, now)
        held_out = tally.records
    includes_training = not tally.records
    if includes_training:
        left_out.clear()
        tally = _tallied(history.past(None, left_out), source, champion, progress, now)
    if not tally.records:
        raise RecordsError(f"Monitor {source.name!r} watches an empty table. Fill it, then forecast.")
    return Forecast(
        monitor=source.name,
        model_id=champion.stored.model_id,
        records=tally.records,
        flagged=tally.flagged,
        days=tally.days,
        by_day=dict(sorted(tally.by_day.items())),
        decided_by=_decided_by(champion.scorer, source.monitor),
        by_rate=dict(tally.by_rate),
        includes_training_records=includes_training,
        held_out_records=held_out,
        unreadable_records=len(left_out),
        rate=source.monitor.false_positive_rate,
        causes={name: round(count) for name, count in tally.causes.most_common()},
        alerts=tally.alerts,
    )


@dataclass(frozen=True)
class _Champion:
    """A champion, the last key of its training, the places of its held-out records, and what people have labelled."""

    stored: StoredChampion
    scorer: Scorer
    upto: Key
    held_out: Mapping[str, Any] | None
    look_alikes: LookAlikes

    def history(self, source: Source, elsewhere: HistoryElsewhere | None) -> History:
        """Return the records of a source, scored by the champion."""
        return History(source, self.stored, self.scorer, elsewhere)


def _champion(source: Source, store: Store) -> _Champion:
    """Load the champion, and make the source read the columns that it learned."""
    champion = store.models.require_champion(source.name)
    scorer = load_scorer(store, champion, source.monitor)
    source.watch(learned_features(store, champion.model_id, source.monitor))
    held_out = store.models.get(champion.model_id).manifest.get("held_out")
    look_alikes = look_alikes_of(source.monitor, store.labelled_examples.read(source.name))
    return _Champion(champion, scorer, load_key(scorer.about.training.upto_key), held_out, look_alikes)


def _held_out_pages(source: Source, champion: _Champion) -> Iterator[pd.DataFrame]:
    yield from _pages(read_held_out(source, champion.held_out), source.monitor.batch_size)


def _held_out_with_anomalies(source: Source, champion: _Champion) -> tuple[int, Iterator[pd.DataFrame]]:
    """Return the number of held-out records, and pages of them and of the anomalies that the training left out.

    If records calibrate by time, these are the anomalies from the first of them on, as far as there are any.
    """
    monitor, label = source.monitor, str(source.monitor.label)
    held_out = read_held_out(source, champion.held_out, with_label=True)
    if held_out.empty:
        return 0, iter(())
    limit = monitor.max_training_records
    normal_keys = set(keys_of(source.read_normal(limit, left_out=[]), monitor.key))
    anomalies = source.read_anomalies(limit, left_out=[])
    keys, first = keys_of(anomalies, monitor.key), keys_of(held_out.head(1), monitor.key)[0]
    is_left_out = np.array([key not in normal_keys for key in keys], dtype=bool)
    is_later = np.array([key >= first for key in keys], dtype=bool)
    is_chosen = is_left_out & is_later if (is_left_out & is_later).any() else is_left_out
    anomalies = anomalies[is_chosen].assign(**{label: True})
    frames = (_pages(frame, monitor.batch_size) for frame in (held_out, anomalies))
    return len(held_out), chain.from_iterable(frames)


def _pages(records: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    yield from (records.iloc[start : start + size] for start in range(0, len(records), size))


_Compared: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Scores, decisions and labels."""


def _compared_pages(pages: Iterable[ScoredPage], label: str, progress: Callable[[int], None] | None) -> list[_Compared]:
    return [_compared(records, scored, label) for records, scored in readable_pages(pages, progress)]


def _count(compared: Iterable[_Compared]) -> int:
    return sum(len(scores) for scores, _, _ in compared)


def _add_causes(causes: Counter[str], page: ScoredPage) -> None:
    """Count the flagged records of a page by their main cause, from a subsample of them."""
    flagged = np.flatnonzero(page.scored[IS_ANOMALY].to_numpy(dtype=bool))
    explained = flagged[subsample_evenly(len(flagged), MAX_EXPLAINED_RECORDS)]
    if len(explained):
        scores = page.scored[ANOMALY_SCORE].to_numpy()[explained]
        explanations = page.bind().explain(page.records.iloc[explained], scores, 1)
        for name, count in count_top_features(explanations).items():
            causes[name] += count * len(flagged) / len(explained)  # type: ignore[assignment]


def _compared(page: pd.DataFrame, scored: pd.DataFrame, label: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, decisions and labels of the labelled records of a page."""
    is_labelled = page[label].notna()
    labelled = scored[is_labelled]
    return (
        labelled[ANOMALY_SCORE].to_numpy(),
        labelled[IS_ANOMALY].to_numpy(dtype=bool),
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
    causes: Counter[str] = field(default_factory=Counter)
    alerts: AlertCounts | None = None

    @property
    def days(self) -> float | None:
        """Length of the history; None if there are no two times."""
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


def _tallied(
    pages: Iterable[ScoredPage],
    source: Source,
    champion: _Champion,
    progress: Callable[[int], None] | None,
    now: datetime,
) -> _Tally:
    """Count the records of pages; the records themselves are not kept."""
    tally, monitor, scorer = _Tally(), source.monitor, champion.scorer
    counts = _counts_at_other_rates(scorer, monitor)
    alerted = with_fixed_gap(monitor, scorer.about.pace)
    with AlertPreview.opened(source.name, alerted, now, champion.look_alikes) as preview:

        def observe(page: ScoredPage) -> None:
            if monitor.time is None or preview.is_full:
                _add_causes(tally.causes, page)
            else:
                anomalies = preview.add(page.records, page.scored, page.bind())
                tally.causes.update(count_top_features(item.explanation for item in anomalies))

        for page, scored in readable_pages(pages, progress, observe):
            tally.add(scored[IS_ANOMALY].to_numpy(dtype=bool), page[monitor.time] if monitor.time else None)
            entities, scores = entities_of(page, monitor.entity), scored[ANOMALY_SCORE].to_numpy()
            tally.by_rate.update({rate: count(entities, scores) for rate, count in counts.items()})
        tally.alerts = preview.counts() if monitor.time else None
    return tally


def _decided_by(scorer: Scorer, monitor: MonitorConfig) -> Setting:
    if monitor.flag != "rate":
        return "false_discovery_rate"
    return "false_positive_rate" if scorer.has_rate else "f_beta"


def _counts_at_other_rates(
    scorer: Scorer, monitor: MonitorConfig
) -> dict[float, Callable[[np.ndarray, np.ndarray], int]]:
    """Return a counter of flagged records for each rate that the calibration resolves; empty if no rate decides.

    A counter is called page by page with entities (n,) and scores (n,), as thresholds may move between pages.
    """
    counts: dict[float, Callable[[np.ndarray, np.ndarray], int]] = {}
    if _decided_by(scorer, monitor) == "false_positive_rate":
        for rate in FORECAST_RATES:
            with suppress(RateTooSmall):
                counts[rate] = _count_above_thresholds(scorer.at_rate(rate), monitor)
    return counts


def _count_above_thresholds(scorer: Scorer, monitor: MonitorConfig) -> Callable[[np.ndarray, np.ndarray], int]:
    trackers = new_trackers(scorer, monitor)
    return lambda entities, scores: int((scores > scorer.thresholds_of(entities, scores, trackers)).sum())
