"""The timeline of a monitor since its training: measured and expected values, flagged records, injected events."""

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
    """The records after those that the champion was made from, with their scores and incidents.

    Attributes:
        records: n records in key order, with the columns time, entity, is_fault, the channels, anomaly_score,
            threshold and is_anomaly; flagged records also have incident (its id) and cause (the top channel).
        expected: expected values (n, channels) with the same index, in the channels' units.
        incidents: incidents of the records, in order of time.
        events: the injected events.
    """

    records: pd.DataFrame
    expected: pd.DataFrame
    incidents: tuple[StoredIncident, ...]
    events: tuple[Event, ...]


def read_timeline(source: Source, store: Store, events: Sequence[Event]) -> Timeline:
    """Read the timeline of a monitor of series that has scored its table and keeps all scores."""
    pages = list(_explained_pages(source, store))
    records = pd.concat([page for page, _ in pages], ignore_index=True)
    expected = pd.concat([values for _, values in pages], ignore_index=True)
    query = IncidentQuery(monitor=source.name, since=records["time"].min(), limit=len(records))
    incidents = sorted(store.incidents.page(query), key=lambda incident: incident.start_time)
    return Timeline(records, expected, tuple(incidents), tuple(events))


def _explained_pages(source: Source, store: Store) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield pages of records with their results, and the expected values of their channels."""
    monitor = source.monitor
    scorer = load_scorer(store, store.models.require_champion(source.name), monitor)
    results = _results(source, store, scorer)
    names = {monitor.time: "time", monitor.entity: "entity", monitor.label: "is_fault"}
    for page in source.pages(load_key(scorer.about.training.upto_key), with_label=True):
        of_page = results.loc[page[monitor.key[0]].astype("str").tolist()].set_axis(page.index)
        scores = of_page[ANOMALY_SCORE].to_numpy()
        explanations = in_context(scorer, page, source).explain(page, scores, len(monitor.features.names))
        expected = pd.DataFrame([{cause.feature: cause.expected for cause in one.causes} for one in explanations])
        labelled = page.rename(columns=names).astype({"is_fault": "bool"})
        yield pd.concat([labelled, of_page], axis="columns"), expected.set_axis(page.index)


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
