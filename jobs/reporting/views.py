"""Views of a monitor: records scored by the champion on demand, without writing anything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from detector.core.normal_band import NormalBand
from detector.core.scorer import BoundScorer, Scorer
from detector.series.segments import entities_of
from jobs.champions import load_scorer
from jobs.pictures.values import Channel, Distribution, Numbers, Scores, Span, View
from jobs.reading.context import in_context
from jobs.reading.source import Source, keys_of
from jobs.reporting.annotations import annotations_of
from jobs.reporting.distributions import distributions_of
from jobs.reporting.selection import Selection, features_to_draw
from jobs.reporting.windows import MAX_RECORDS, around_incident, of_selection, scores_by_entity
from jobs.store import AnomalyQuery, Champion, IncidentQuery, Store, StoredAnomaly, StoredIncident
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.frames import ANOMALY_SCORE, THRESHOLD
from schemas.keys import key_label

LoadScorer: TypeAlias = Callable[[Store, Champion, MonitorConfig], Scorer]
_MAX_FLAGGED = 5_000
_MAX_INCIDENTS = 50
_GAP_STEPS = 5  # usual steps in time from which on records are missing
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class _Shown:
    """Records in the order of a picture, with everything that the store has on them.

    Attributes:
        page: n records in the order of keys.
        order: (m,) positions of the records to draw, in order of time.
        times: of the m records; None without a column of times.
        flagged: the flagged rows in their span of time, by key.
        incidents: that overlap the span.
    """

    page: pd.DataFrame
    order: np.ndarray
    times: list[datetime] | None
    flagged: Mapping[str, StoredAnomaly]
    incidents: Sequence[StoredIncident]


class ViewReader:
    """Reads views of a monitor; the champion is loaded once.

    Args:
        source: the watched table.
        store: the service's own database.
        load: loads the champion.

    Raises:
        NoChampion: If no model has been trained.
    """

    def __init__(self, source: Source, store: Store, load: LoadScorer = load_scorer) -> None:
        self.source, self.store = source, store
        self.champion = store.models.require_champion(source.name)
        self.scorer: Scorer = load(store, self.champion, source.monitor)

    def of_incident(self, incident: StoredIncident, features: Sequence[str] = ()) -> View:
        """Return the view of an incident and the records around it.

        Raises:
            UsageError: If a feature does not exist, or the table is empty.
            SourceError: If the table cannot be read.
        """
        Selection(features=tuple(features)).check(self.source.name, self.source.monitor)
        shown = self._shown(around_incident(self.source, incident), incident.entity)
        rows = self.store.anomalies.page(AnomalyQuery(incident_id=incident.id, is_current=None, limit=_MAX_FLAGGED))
        others = [other for other in shown.incidents if other.id != incident.id]
        shown = replace(shown, incidents=[incident, *others] if shown.times else [])
        drawn = features_to_draw(features, [incident], rows, self.source.monitor)
        return self._view(shown, incident.entity, drawn, rows)

    def of_selection(self, selection: Selection) -> View:
        """Return the view of a selection of records.

        Raises:
            UsageError: If a feature or a column does not exist, or there are no such records.
            SourceError: If the table cannot be read.
        """
        selection.check(self.source.name, self.source.monitor)
        page = of_selection(self.source, self.store, selection)
        entity = selection.entity
        if entity is None and scores_by_entity(self.source):
            entity = entities_of(page.iloc[-1:], self.source.monitor.entity)[0] or None
        shown = self._shown(page, entity)
        rows = list(shown.flagged.values())
        drawn = features_to_draw(selection.features, shown.incidents, rows, self.source.monitor)
        return self._view(shown, entity, drawn, rows)

    def _shown(self, page: pd.DataFrame, entity: str | None) -> _Shown:
        name, time = self.source.name, self.source.monitor.time
        entity = entity if scores_by_entity(self.source) else None
        times = None if time is None else page[time]
        if times is None or times.isna().all():
            rows = self.store.anomalies.page(AnomalyQuery(monitor=name, limit=_MAX_FLAGGED))
            return _Shown(page, np.arange(len(page)), None, {row.record_key: row for row in rows}, [])
        order = np.flatnonzero(times.notna().to_numpy())
        order = order[np.argsort(times.iloc[order].to_numpy(), kind="stable")]
        ordered = [moment.to_pydatetime() for moment in times.iloc[order]]
        span: dict[str, Any] = {"since": ordered[0], "until": ordered[-1] + _INSTANT, "entity": entity}
        rows = self.store.anomalies.page(AnomalyQuery(monitor=name, limit=_MAX_FLAGGED, **span))
        incidents = self.store.incidents.page(IncidentQuery(monitor=name, limit=_MAX_INCIDENTS, **span))
        return _Shown(page, order, ordered, {row.record_key: row for row in rows}, incidents)

    def _view(self, shown: _Shown, entity: str | None, features: Sequence[str], rows: Sequence[StoredAnomaly]) -> View:
        bound = in_context(self.scorer, shown.page, self.source, is_page=False)  # late records lie outside a window
        band = bound.normal_band()
        scores = self._scores(bound, shown)
        of_entity = entity if scores_by_entity(self.source) else None
        return View(
            monitor=self.source.name,
            entity=of_entity,
            model_id=self.champion.model_id,
            scores=scores,
            channels=() if band is None else self._channels(shown, band, features),
            distributions=self._distributions(shown, features, rows) if band is None else (),
            incidents=tuple(Span(str(item.id), item.start_time, item.end_time) for item in shown.incidents),
            gap=_usual_gap(shown.times),
            notes=tuple(self._notes(shown, rows)),
            annotations=()
            if not shown.times
            else annotations_of(
                self.source, self.store, shown.times, of_entity, list(shown.flagged.values()), scores.is_known
            ),
        )

    def _scores(self, bound: BoundScorer, shown: _Shown) -> Scores:
        monitor, order = self.source.monitor, shown.order
        scored = bound.score(shown.page).iloc[order]
        labels = [key_label(key) for key in keys_of(shown.page.iloc[order], monitor.key)]
        rows = [shown.flagged.get(label) for label in labels]
        known = None if monitor.label is None else shown.page[monitor.label].iloc[order].fillna(value=False)
        thresholds = scored[THRESHOLD].to_numpy()
        if monitor.threshold == "online":
            thresholds = self._moving_thresholds(shown, rows)
        return Scores(
            times=shown.times,
            scores=numbers(scored[ANOMALY_SCORE].to_numpy()),
            thresholds=numbers(thresholds),
            is_flagged=[row is not None for row in rows],
            is_known=None if known is None else known.astype("bool").tolist(),
        )

    def _moving_thresholds(self, shown: _Shown, rows: Sequence[StoredAnomaly | None]) -> np.ndarray:
        """Return the thresholds (m,) that follow the scores: known at flagged records, and between them as at the next.

        A tracked threshold jumps at a flagged record; between two of them it hardly moves.
        """
        model_id = self.champion.model_id
        known = [row.threshold if row is not None and row.model_id == model_id else np.nan for row in rows]
        last, entity = shown.page.iloc[[shown.order[-1]]], self.source.monitor.entity
        name = None if entity is None else entities_of(last, entity)[0]
        time = pd.Timestamp(last[self.source.monitor.time].iloc[0]).to_pydatetime()
        after = self.store.history.threshold_after(self.source.name, model_id, name, time)
        thresholds = pd.Series([*known, np.nan if after is None else after]).bfill()[: len(rows)].to_numpy(dtype=float)
        return np.asarray(thresholds)

    def _channels(self, shown: _Shown, band: NormalBand, features: Sequence[str]) -> tuple[Channel, ...]:
        monitor = self.source.monitor
        columns = {name: position for position, name in enumerate(band.features)}
        return tuple(
            Channel(
                name=name,
                measured=numbers(_floats(shown.page[name].iloc[shown.order])),
                expected=numbers(band.expected[shown.order, columns[name]]),
                low=numbers(band.low[shown.order, columns[name]]),
                high=numbers(band.high[shown.order, columns[name]]),
                unit=monitor.units.get(name, ""),
                is_truth=name in monitor.features.boolean,
            )
            for name in features
            if name in columns
        )

    def _distributions(
        self, shown: _Shown, features: Sequence[str], rows: Sequence[StoredAnomaly]
    ) -> tuple[Distribution, ...]:
        keys = [key_label(key) for key in keys_of(shown.page, self.source.monitor.key)]
        return distributions_of(shown.page.set_axis(pd.Index(keys)), features, rows, shown.flagged, self.source.monitor)

    def _notes(self, shown: _Shown, rows: Sequence[StoredAnomaly]) -> list[str]:
        notes = []
        if len(shown.page) >= MAX_RECORDS:
            notes.append(f"Only the newest {MAX_RECORDS:,} records are drawn, and those around an incident.")
        untimed = len(shown.page) - len(shown.order)
        if untimed:
            notes.append(f"{counted_noun(untimed, 'record')} without a time cannot be drawn.")
        others = sorted({row.model_id for row in rows} - {self.champion.model_id})
        if others:
            named = ", ".join(map(str, others))
            notes.append(f"Flagged by model {named}; scores and expected values are by model {self.champion.model_id}.")
        return notes


def numbers(values: np.ndarray) -> Numbers:
    """Return values (n,) as plain numbers, None if they are missing or infinite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _floats(column: "pd.Series[Any]") -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _usual_gap(times: Sequence[datetime] | None) -> timedelta | None:
    """Return the step in time from which on records are missing; None if steps have no usual length."""
    if times is None or len(times) < 3:
        return None
    steps = np.diff(np.array([time.timestamp() for time in times]))
    steps = steps[steps > 0]
    if not len(steps):
        return None
    usual = max(_GAP_STEPS * float(np.median(steps)), 2 * float(np.quantile(steps, 0.98)))
    return timedelta(seconds=usual)
