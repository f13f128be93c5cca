"""Flagged rows that name the start of their incident are one incident, in whatever order and batches they come."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import select, update

from detector.core.threshold_tracking import Tracker, Trackers
from detector.records.card import RecordCard
from jobs.databases import reading, writing
from jobs.scoring.incident_starts import incidents_that_go_on
from jobs.store import NewModel
from schemas.tables import alerts, anomalies, incidents, trackers
from tests.flagged_rows import GAP, MINUTE, RULE, START, FlaggedRows
from tests.mariadb_server import on_mariadb_too
from tests.series_monitor import readings
from tests.watched_table import MonitoredTable, RuleScorer, at


@pytest.fixture
def rows(store, now):
    store.models.add("pump", NewModel(b"", "", {}, RecordCard()), now, promote=True)
    rows = FlaggedRows(store, "pump", now)
    rows.rule = replace(RULE, follows_scores=True)
    return rows


def spans_by_definition(flagged):
    """Return first and last minute and number of incidents of rows (minute, where its incident began or None)."""
    ordered = sorted((minute, minute - GAP / MINUTE if began is None else began) for minute, began in flagged)
    reach = np.minimum.accumulate([began for _, began in reversed(ordered)])[::-1]  # of a row and of all later ones
    starts = [0] + [i for i in range(1, len(ordered)) if reach[i] > ordered[i - 1][0]] + [len(ordered)]
    return [(ordered[i][0], ordered[j - 1][0], j - i) for i, j in pairwise(starts)]


def some_rows(rng):
    """Return rows of incidents with short and long pauses; some have no start, or that of a row that is gone."""
    minutes = np.cumsum(rng.integers(1, 40, 14)).tolist()
    starts = minutes[:1]
    for minute in minutes[1:]:
        starts.append(minute if rng.random() < 0.5 else int(rng.choice(starts[-3:])))
    is_known, is_kept = rng.random(14) < 0.85, rng.random(14) < 0.7
    rows = zip(minutes, starts, is_known, is_kept, strict=True)
    return [(minute, began if known else None) for minute, began, known, kept in rows if kept]


@on_mariadb_too
def test_the_order_and_the_batches_of_rows_make_no_difference(rows):
    rng = np.random.default_rng(3)
    for case in range(10):
        flagged, entity = some_rows(rng), f"pump-{case}" if case else None
        order = rng.permutation(len(flagged)).tolist()
        cuts = sorted(rng.integers(0, len(order), 3).tolist())
        for part in (order[i:j] for i, j in pairwise([0, *cuts, len(order)]) if i < j):
            rows.write([row_of(rows, entity, *flagged[index]) for index in part])
        mine = [item for item in rows.incidents(state="open", limit=200) if item.entity == entity]
        found = sorted(((i.start_time - START) / MINUTE, (i.end_time - START) / MINUTE, i.records) for i in mine)
        assert found == spans_by_definition(flagged)


def row_of(rows, entity, minute, began):
    return rows.row(START + minute * MINUTE, entity) | {"began_at": None if began is None else START + began * MINUTE}


def test_an_incident_that_goes_on_by_its_scores_stays_open_and_one_that_is_over_ends(rows):
    rows.write([row_of(rows, name, 0, 0) for name in ("on", "over", "unknown")])
    rows.write([row_of(rows, "by time", 0, None)])
    by_scores = {"on": True, "over": False, "by time": True}

    def ended_at(minute):
        at = START + minute * MINUTE
        rows.store.incidents.follow_up("pump", rows.rule, at, lambda _names: by_scores)
        return {incident.entity for incident in rows.incidents(state="ended")}

    assert ended_at(1) == {"over"}
    assert ended_at(60) == {"over", "unknown", "by time"}
    assert ended_at(61) == {"over", "unknown", "by time", "on"}  # its source has stopped


@pytest.mark.parametrize("goes_on", [True, False])
def test_of_two_incidents_of_an_entity_only_the_last_one_can_go_on(rows, goes_on):
    rows.write([row_of(rows, "pump", 0, 0), row_of(rows, "pump", 10, 10)])
    at = START + 11 * MINUTE
    assert rows.store.incidents.follow_up("pump", rows.rule, at, lambda _names: {"pump": goes_on}) == 2 - goes_on
    assert [incident.start_time for incident in rows.incidents(state="open")] == [START + 10 * MINUTE] * goes_on


def test_what_another_worker_finds_meanwhile_does_not_end_by_earlier_scores(rows):
    rows.write([row_of(rows, name, 0, 0) for name in ("over", "grown", "next")])

    def calm_before(names):
        found = [row_of(rows, "grown", 1, 0), row_of(rows, "next", 1, 1)]
        rows.write(found, rows.now + MINUTE)
        return dict.fromkeys(names, False)

    rows.store.incidents.follow_up("pump", rows.rule, START + 60 * MINUTE, calm_before)
    still_open = [
        (incident.entity, (incident.start_time - START) / MINUTE) for incident in rows.incidents(state="open")
    ]
    assert sorted(still_open) == [("grown", 0), ("next", 1)]


@pytest.mark.parametrize(("started_at", "reasons"), [(59, ["opened"]), (60, ["opened", "ended"])])
def test_the_end_is_alerted_if_an_earlier_run_alerted_the_incident_however_long_ago_its_last_flag(
    rows, started_at, reasons
):
    rows.write([row_of(rows, "pump", 0, 0)], START + 59 * MINUTE)  # later than the gap by time
    at, started_at = START + 61 * MINUTE, START + started_at * MINUTE
    rows.store.incidents.follow_up("pump", rows.rule, at, lambda _names: {"pump": False}, started_at)
    assert [reason for _, reason, _ in rows.alerted()] == reasons


def test_an_incident_that_may_have_begun_before_its_model_is_unknown(mixer):
    model_id = mixer.train(false_positive_rate=0.02).model_id
    mixer.score(batch_size=1600, false_positive_rate=0.02)
    c = trackers.c
    with writing(mixer.store.engine) as connection:
        (row,) = connection.execute(select(trackers).where(c.entity == "b")).mappings().all()
        state = row["state_after"] | {"incident": row["state_after"]["incident"] | {"began_at": None}}
        connection.execute(update(trackers).where(c.entity == "b").values(state_after=state))
    monitor = mixer.source(false_positive_rate=0.02).monitor
    assert incidents_that_go_on(mixer.store, monitor, model_id, {"a", "b"}) == {"a": False}


def test_scoring_writes_where_incidents_began_and_whether_they_go_on(mixer):
    report = mixer.train(false_positive_rate=0.02, alert={"channels": ["ops"]})
    mixer.score(batch_size=130, false_positive_rate=0.02)
    c, i = anomalies.c, incidents.c
    with reading(mixer.store.engine) as connection:
        began = connection.execute(select(c.incident_id, c.began_at).where(c.began_at.is_not(None))).all()
        starts = dict(connection.execute(select(i.id, i.start_time)).all())
        assert connection.scalar(select(alerts.c.id).limit(1)) is None
    assert len(began) > 10
    assert len({row.incident_id for row in began}) > 3
    assert all(starts[row.incident_id] <= row.began_at for row in began)
    monitor, goes_on = mixer.source().monitor, {"a": False, "b": True}
    assert incidents_that_go_on(mixer.store, monitor, report.model_id, {"a", "b", "none", None}) == goes_on


def test_without_entities_an_incident_ends_by_the_scores_of_all_records(mixer):
    mixer.fill(readings().query("machine == 'a'"), if_exists="replace")
    settings = {"entity": None, "false_positive_rate": 0.02}
    model_id = mixer.train(**settings).model_id
    mixer.score(**settings)
    assert incidents_that_go_on(mixer.store, mixer.source(**settings).monitor, model_id, [None]) == {None: False}


class TrackingScorer(RuleScorer):
    """Scores a record by one value, with a tracked threshold in place of a trained model of series."""

    reference = np.random.default_rng(0).permutation(np.linspace(0, 4, 1000))
    tracked = None

    def trackers(self, stored, _usual_after):
        return Trackers(lambda entity: self._tracker(stored(entity)))

    def _tracker(self, state):
        return Tracker.start(self.reference, 0.01) if state is None else Tracker.from_state(state)

    def bind(self, _page, _read_past, trackers=None):
        bound = TrackingScorer(self.value)
        bound.tracked = trackers
        return bound

    def score(self, records, _vae_of="none"):
        scored = super().score(records)
        thresholds = self.tracked.advance("pump-1", scored["anomaly_score"].to_numpy())
        return scored.assign(threshold=thresholds, is_anomaly=scored["anomaly_score"] > thresholds)


def test_an_operator_hears_once_of_a_fault_that_is_flagged_with_a_long_pause(store):
    """Two records are flagged, 40 minutes apart, and the scores between them stay near the threshold."""
    pump = MonitoredTable(store, alert={"channels": ["ops"]}, series={}, silent_after="never", gap_after="9000d")
    pump.models = dict.fromkeys(pump.models, TrackingScorer())
    values = np.full(90, 1.0)
    values[20:62] = 3.9
    values[[20, 61, 75]] = 9.0  # the last one is another fault: a quarter of an hour later, but calm
    for minutes in np.split(np.arange(90), 9):
        for minute in minutes.tolist():
            pump.put(minute, value=values[minute])
        pump.now = at(minutes[-1].item() + 1)
        pump.score()
    assert pump.rows(incidents.c.start_time) == [at(20), at(75)]
    assert [reason for _, reason in pump.rows(alerts.c.id, alerts.c.reason)] == ["opened", "ended", "opened", "ended"]
