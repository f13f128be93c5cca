"""The timeline of a monitor since its training: scores, flagged records and injected events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pandas as pd

from detector.core.scorer import Scorer
from jobs.champions import load_scorer
from jobs.demo.events import Event
from jobs.pictures.values import Case, Overview, Scores, Span
from jobs.reading.source import Source
from jobs.reporting.selection import Selection, causes_to_draw
from jobs.reporting.views import ViewReader
from jobs.scoring.thresholds import new_trackers
from jobs.store import AnomalyQuery, IncidentQuery, Store, StoredIncident
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY, THRESHOLD
from schemas.keys import load_key

_MIN_MARGIN = timedelta(hours=6)  # before and after an event
_GAP_AFTER = timedelta(minutes=30)
_CHANNELS_SHOWN = 2


@dataclass(frozen=True)
class Timeline:
    """The records after those that the champion was made from, with their scores and incidents.

    Attributes:
        records: n records in key order, with the columns time, entity, is_fault, the channels, anomaly_score,
            threshold and is_anomaly; flagged records also have incident (its id) and cause (the top channel).
        incidents: incidents of the records, in order of time.
        events: the injected events.
    """

    records: pd.DataFrame
    incidents: tuple[StoredIncident, ...]
    events: tuple[Event, ...]


def read_timeline(source: Source, store: Store, events: Sequence[Event]) -> Timeline:
    """Read the timeline of a monitor of series that has scored its table and keeps all scores."""
    monitor = source.monitor
    scorer = load_scorer(store, store.models.require_champion(source.name), monitor)
    results = _results(source, store, scorer)
    names = {monitor.time: "time", monitor.entity: "entity", monitor.label: "is_fault"}
    pages = source.pages(load_key(scorer.about.training.upto_key), with_label=True)
    records = pd.concat(pages, ignore_index=True).rename(columns=names).astype({"is_fault": "bool"})
    of_records = results.loc[records[monitor.key[0]].astype("str").tolist()].set_axis(records.index)
    query = IncidentQuery(monitor=source.name, since=records["time"].min(), limit=len(records))
    incidents = sorted(store.incidents.page(query), key=lambda incident: incident.start_time)
    return Timeline(pd.concat([records, of_records], axis="columns"), tuple(incidents), tuple(events))


def overview_of(timeline: Timeline, reader: ViewReader) -> Overview:
    """Return what the picture of a timeline shows; the channels around an event are those that incidents name."""
    entities = sorted(timeline.records["entity"].unique())
    return Overview(
        scores={name: _scores(timeline.records[timeline.records["entity"] == name]) for name in entities},
        events={name: [_span(event) for event in timeline.events if event.pump == name] for name in entities},
        cases=[_case(event, timeline, reader) for event in timeline.events],
        gap=_GAP_AFTER,
    )


def _scores(records: pd.DataFrame) -> Scores:
    return Scores(
        times=[time.to_pydatetime() for time in records["time"]],
        scores=records[ANOMALY_SCORE].tolist(),
        thresholds=records[THRESHOLD].tolist(),
        is_flagged=records[IS_ANOMALY].tolist(),
    )


def _span(event: Event) -> Span:
    return Span(event.name, event.start, event.end)


def _case(event: Event, timeline: Timeline, reader: ViewReader) -> Case:
    """Return an event with the records around it, and the causes of its largest incident, or of one near it."""
    margin = max(_MIN_MARGIN, 0.3 * (event.end - event.start))
    start, end = event.start - margin, event.end + margin
    nearby = [item for item in timeline.incidents if _is_within(item, event.pump, start, end)]
    own = [item for item in nearby if _is_within(item, event.pump, event.start, event.end)]
    largest = max(own or nearby, key=lambda incident: incident.records, default=None)
    causes = [] if largest is None else causes_to_draw(largest)
    channels = tuple(dict.fromkeys([*causes, *event.shown]))[:_CHANNELS_SHOWN]
    view = reader.of_selection(Selection(start, end, event.pump, channels))
    headline = f"{event.name.capitalize()}, {event.pump}"
    return Case(_span(event), headline, _cause_line(largest, causes), replace(view, gap=_GAP_AFTER))


def _is_within(incident: StoredIncident, entity: str, start: datetime, end: datetime) -> bool:
    return incident.entity == entity and incident.start_time <= end and incident.end_time >= start


def _cause_line(incident: StoredIncident | None, causes: Sequence[str]) -> str:
    """Format the main causes of an incident with their direction and size."""
    if incident is None:
        return ""
    by_name = {cause["feature"]: cause["deviation"] for cause in incident.causes}
    return ", ".join(
        f"{name} {'↑' if by_name[name] > 0 else '↓'} {abs(by_name[name]):.1f} sd" for name in causes[:_CHANNELS_SHOWN]
    )


def _results(source: Source, store: Store, scorer: Scorer) -> pd.DataFrame:
    """Return score, decision, threshold, incident and cause of each record, by the text of its key."""
    scores = store.anomalies.scores(source.name).set_index("record_key")
    flagged = store.anomalies.page(AnomalyQuery(monitor=source.name, limit=len(scores)))
    trackers = new_trackers(scorer, source.monitor)
    # the store keeps thresholds of flagged records only
    thresholds = scorer.thresholds_of(scores["entity"].to_numpy(), scores[ANOMALY_SCORE].to_numpy(), trackers)
    return scores[[ANOMALY_SCORE, IS_ANOMALY]].assign(
        threshold=thresholds,
        incident=pd.Series({row.record_key: row.incident_id for row in flagged}, dtype="Int64"),
        cause=pd.Series({row.record_key: row.top_feature for row in flagged}, dtype="str"),
    )
