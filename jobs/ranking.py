"""The most anomalous records of a monitor, by score against threshold, whether flagged or not; nothing is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from detector.core.scorer import BoundScorer, Scorer
from detector.series.segments import entities_of
from jobs.champions import load_scorer
from jobs.reading.context import in_context
from jobs.reading.rows import in_key_order
from jobs.reading.source import Source, keys_of
from jobs.scoring.batch_results import identity_of, vae_scores_of
from jobs.scoring.thresholds import new_trackers
from jobs.store import Champion, Store
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, UsageError
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, P_VALUE, SMALLEST_DIVISOR, THRESHOLD, threshold_ratio
from schemas.keys import load_label

_RESCORED_FACTOR = 5  # stored scores to score again for each record shown, as thresholds differ between entities


@dataclass(frozen=True)
class RankedRecord:
    """A record with its score.

    Attributes:
        record_key: for people.
        record_time: None if it has none.
        entity: None if it has none.
        anomaly_score: higher is more anomalous.
        threshold: above it, the record is flagged; infinite if nothing of the entity can be flagged.
        p_value: of the score.
        is_anomaly: whether it is flagged.
        causes: of the score, largest first, as the store keeps them.
        reconstruction_error: of the VAE; None if the model has no network.
        elbo: the negative ELBO of the VAE in nats; None if the model has no network.
        excess: what records are ranked by.
    """

    record_key: str
    record_time: datetime | None
    entity: str | None
    anomaly_score: float
    threshold: float
    p_value: float
    is_anomaly: bool
    causes: Sequence[Mapping[str, Any]]
    reconstruction_error: float | None
    elbo: float | None
    excess: float

    def to_json(self) -> dict[str, Any]:
        """Return the record for programs."""
        values = {name: value for name, value in vars(self).items() if name != "excess"}
        return values | {"threshold_ratio": self.threshold_ratio}

    @property
    def threshold_ratio(self) -> float | None:
        """The score as a multiple of the threshold; None if the threshold is not positive and finite."""
        return threshold_ratio(self.anomaly_score, self.threshold)


@dataclass(frozen=True)
class Ranking:
    """The most anomalous records, the most anomalous first.

    Attributes:
        monitor: of the records.
        model_id: the model that scored them.
        records: number of records that were ranked.
        is_stored: whether the stored scores were ranked, not the records of the table.
        top: the most anomalous records.
    """

    monitor: str
    model_id: int
    records: int
    is_stored: bool
    top: Sequence[RankedRecord]


@dataclass(frozen=True)
class Span:
    """A span of record times, without its end; None does not restrict."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it restricts at all."""
        return self.since is not None or self.until is not None

    def contains(self, times: "pd.Series[pd.Timestamp]") -> np.ndarray:
        """Return (n,) bool: whether each time lies in the span."""
        inside = np.ones(len(times), dtype=bool)
        if self.since is not None:
            inside &= (times >= pd.Timestamp(self.since)).to_numpy(dtype=bool)
        if self.until is not None:
            inside &= (times < pd.Timestamp(self.until)).to_numpy(dtype=bool)
        return inside


ANY_TIME = Span()


def top_records(
    source: Source, store: Store, limit: int, span: Span = ANY_TIME, progress: Callable[[int], None] | None = None
) -> Ranking:
    """Rank the records of a monitor with its champion.

    With `store_scores = "all"` the stored scores of the champion are ranked; otherwise the records of the table are
    scored for it.

    Args:
        source: the watched table.
        store: the service's own database.
        limit: maximum number of records to return.
        span: of record times to rank.
        progress: called with the number of records read so far.

    Raises:
        NoChampion: If no model has been trained.
        UsageError: If times are asked for, and the monitor has no time column.
        RecordsError: If there is no record to rank.
    """
    if span.is_bounded and source.monitor.time is None:
        raise UsageError(f"Monitor {source.name!r} has no time column, so its records cannot be selected by time.")
    champion = store.models.require_champion(source.name)
    scorer = load_scorer(store, champion, source.monitor)
    ranking = _stored(source, store, champion, scorer, limit, span)
    if ranking is None:
        top = _Top(source, scorer, limit)
        for page in _scored_pages(source, scorer, span):
            top.add(page)
            if progress:
                progress(top.records)
        ranking = Ranking(source.name, champion.model_id, top.records, is_stored=False, top=top.sorted())
    if not ranking.records:
        raise RecordsError(f"Monitor {source.name!r} has no such records. Fill its table, or choose other times.")
    return ranking


def rank_records(
    records: pd.DataFrame, source: Source, scorer: Scorer, limit: int, *, is_page: bool = True
) -> list[RankedRecord]:
    """Return the most anomalous of some records, the most anomalous first; `is_page` as for `in_context`."""
    if records.empty:
        return []
    bound = in_context(scorer, records, source, new_trackers(scorer, source.monitor), is_page=is_page)
    page, top = _Page(records, bound.score(records), bound), _Top(source, scorer, limit)
    top.add(page.at(page.scored[ANOMALY_SCORE].notna().to_numpy()))
    return top.sorted()


@dataclass(frozen=True)
class _Page:
    """Records with their scores and the scorer that explains them."""

    records: pd.DataFrame
    scored: pd.DataFrame
    bound: BoundScorer

    def at(self, rows: np.ndarray) -> "_Page":
        """Return the rows at some positions, or those that a mask selects."""
        return _Page(self.records.iloc[rows], self.scored.iloc[rows], self.bound)


class _Top:
    """The most anomalous of the records that it is given.

    Args:
        source: of the records.
        scorer: which scored them.
        limit: maximum number of records to keep.
    """

    def __init__(self, source: Source, scorer: Scorer, limit: int) -> None:
        self.records = 0
        self._source, self._scorer, self._limit = source, scorer, limit
        self._kept: list[RankedRecord] = []

    def add(self, page: _Page) -> None:
        """Rank the records of a page, all with a score, and explain those that are kept."""
        self.records += len(page.records)
        thresholds = _thresholds(page, self._scorer, self._source.monitor)
        excess = _excess(page.scored, thresholds)
        rows = np.argsort(-excess, kind="stable")[: self._limit]
        if len(self._kept) == self._limit:
            rows = rows[excess[rows] > self._kept[-1].excess]
        if len(rows):
            ranked = _ranked(page.at(rows), thresholds[rows], excess[rows], self._source.monitor)
            self._kept = sorted([*self._kept, *ranked], key=lambda record: -record.excess)[: self._limit]

    def sorted(self) -> list[RankedRecord]:
        """Return the records, the most anomalous first."""
        return self._kept


def _ranked(page: _Page, thresholds: np.ndarray, excess: np.ndarray, monitor: MonitorConfig) -> list[RankedRecord]:
    """Describe the records of a page, with thresholds (n,) and what they are ranked by (n,)."""
    scores = page.scored[ANOMALY_SCORE].to_numpy()
    identity, vae = identity_of(page.records, monitor), _vae_scores(page)
    explanations = page.bound.explain(page.records, scores, monitor.top_features)
    return [
        RankedRecord(
            record_key=identity["record_key"].iloc[row],
            record_time=identity["record_time"].iloc[row],
            entity=identity["entity"].iloc[row],
            anomaly_score=float(scores[row]),
            threshold=float(thresholds[row]),
            p_value=float(page.scored[P_VALUE].iloc[row]),
            is_anomaly=bool(page.scored[IS_ANOMALY].iloc[row]),
            causes=[cause.to_json() for cause in explanations[row].causes],
            **vae[row],
            excess=float(excess[row]),
        )
        for row in range(len(scores))
    ]


def _vae_scores(page: _Page) -> list[dict[str, Any]]:
    """Return the VAE scores of the records by name; records without a past are scored again, which few ones permit."""
    scored = page.scored if page.bound.context_rows else page.bound.score(page.records, "all")
    return [{str(name): value for name, value in row.items()} for row in vae_scores_of(scored).to_dict("records")]


def _thresholds(page: _Page, scorer: Scorer, monitor: MonitorConfig) -> np.ndarray:
    """Return the threshold (n,) of each score; if a batch without discoveries has none, that of the rate."""
    thresholds = page.scored[THRESHOLD].to_numpy(dtype=np.float64, copy=True)
    is_open = np.isinf(thresholds)
    if is_open.any():
        entities = entities_of(page.records[is_open], monitor.entity)
        thresholds[is_open] = scorer.thresholds_of(entities, page.scored[ANOMALY_SCORE].to_numpy()[is_open])
    return thresholds


def _excess(scored: pd.DataFrame, thresholds: np.ndarray) -> np.ndarray:
    """Return (n,) numbers to rank by: the score as a multiple of its threshold.

    If a threshold is not positive, it is 1 plus the difference; if nothing of an entity can be flagged, the p-value
    ranks its records after all others.
    """
    scores = scored[ANOMALY_SCORE].to_numpy(dtype=np.float64)
    is_positive = thresholds > SMALLEST_DIVISOR
    excess = 1 + scores - thresholds
    excess[is_positive] = scores[is_positive] / thresholds[is_positive]
    return np.where(np.isinf(thresholds), -scored[P_VALUE].to_numpy(), excess)


def _scored_pages(source: Source, scorer: Scorer, span: Span) -> Iterator[_Page]:
    """Yield the scored records of a span, page by page; thresholds that move are moved by the records before it too."""
    trackers = new_trackers(scorer, source.monitor)
    for page in source.pages(None):
        is_selected = span.is_bounded and trackers is None
        records = page[span.contains(page[source.monitor.time])] if is_selected else page
        if len(records):
            bound = in_context(scorer, records, source, trackers, is_page=not is_selected)
            scored = _Page(records, bound.score(records), bound)
            yield scored.at(np.flatnonzero(_is_ranked(scored, source, span)))


def _is_ranked(page: _Page, source: Source, span: Span) -> np.ndarray:
    is_scored = page.scored[ANOMALY_SCORE].notna().to_numpy()
    return is_scored & span.contains(page.records[source.monitor.time]) if span.is_bounded else is_scored


def _stored(source: Source, store: Store, champion: Champion, scorer: Scorer, limit: int, span: Span) -> Ranking | None:
    """Rank the stored scores of the champion, and score the first records again for thresholds and causes.

    None if there are no such scores, or thresholds move, so that they depend on the records before.
    """
    monitor = source.monitor
    if monitor.store_scores != "all" or monitor.is_in_order:
        return None
    count, keys = store.anomalies.top_scores(
        champion, since=span.since, until=span.until, limit=_RESCORED_FACTOR * limit
    )
    newest = source.read_newest(1)
    if not count or newest.empty:
        return None
    like = keys_of(newest, monitor.key)[0]
    records = source.read_keys([load_label(key, like) for key in keys])
    if records.empty:
        return None
    top = rank_records(in_key_order(records, monitor), source, scorer, limit, is_page=False)
    return Ranking(source.name, champion.model_id, count, is_stored=True, top=top)
