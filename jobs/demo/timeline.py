"""The course of things since a model's training: what was measured, expected and flagged, and what was put in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from detector.core.scorer import Scorer
from jobs.champions import load_scorer
from jobs.demo.events import Event
from jobs.reading.context import in_context
from jobs.reading.source import Source
from jobs.scoring.thresholds import new_trackers
from jobs.store import AnomalyQuery, IncidentQuery, Store, StoredIncident
from schemas.frames import ANOMALY_SCORE, IS_ANOMALY
from schemas.keys import load_key


@dataclass(frozen=True)
class Timeline:
    """The records past those that the champion was made from, and what is known of them.

    Attributes:
        records: n of them in order of keys: time, entity, is_fault, the channels, anomaly_score, threshold,
            is_anomaly, and of flagged ones incident (its number) and cause (the channel with the largest share).
        expected: (n, channels) on the same index, in the channels' units.
        incidents: of these records, in order of time.
        events: that were put in.
    """

    records: pd.DataFrame
    expected: pd.DataFrame
    incidents: tuple[StoredIncident, ...]
    events: tuple[Event, ...]


def timeline_of(source: Source, store: Store, events: Sequence[Event]) -> Timeline:
    """The course of a monitor of series that has scored its table and keeps all scores."""
    read = list(_explained(source, store))
    records = pd.concat([page for page, _ in read], ignore_index=True)
    expected = pd.concat([values for _, values in read], ignore_index=True)
    asked = IncidentQuery(monitor=source.name, since=records["time"].min(), limit=len(records))
    incidents = sorted(store.incidents.page(asked), key=lambda incident: incident.start_time)
    return Timeline(records, expected, tuple(incidents), tuple(events))


def _explained(source: Source, store: Store) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """The records page by page with what was found, and the expected values of their channels."""
    monitor = source.monitor
    scorer = load_scorer(store, store.models.require_champion(source.name), monitor)
    found = _found(source, store, scorer)
    names = {monitor.time: "time", monitor.entity: "entity", monitor.label: "is_fault"}
    for page in source.pages(load_key(scorer.about.training.upto_key), with_label=True):
        known = found.loc[page[monitor.key[0]].astype("str").tolist()].set_axis(page.index)
        scores = known[ANOMALY_SCORE].to_numpy()
        causes = in_context(scorer, page, source).explain(page, scores, len(monitor.features.names))
        expected = pd.DataFrame([{cause.feature: cause.expected for cause in one.causes} for one in causes])
        labelled = page.rename(columns=names).astype({"is_fault": "bool"})
        yield pd.concat([labelled, known], axis="columns"), expected.set_axis(page.index)


def _found(source: Source, store: Store, scorer: Scorer) -> pd.DataFrame:
    """What was found of each record of the table, by the text of its key."""
    scores = store.anomalies.scores(source.name).set_index("record_key")
    flagged = store.anomalies.page(AnomalyQuery(monitor=source.name, limit=len(scores)))
    trackers = new_trackers(scorer, source.monitor)
    # the store keeps no threshold of what it did not flag
    thresholds = scorer.thresholds_of(scores["entity"].to_numpy(), scores[ANOMALY_SCORE].to_numpy(), trackers)
    return scores[[ANOMALY_SCORE, IS_ANOMALY]].assign(
        threshold=thresholds,
        incident=pd.Series({row.record_key: row.incident_id for row in flagged}, dtype="Int64"),
        cause=pd.Series({row.record_key: row.top_feature for row in flagged}, dtype="str"),
    )
