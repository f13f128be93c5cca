"""Tracked thresholds in the store: moved once by each batch, in order, and never by a second look."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event, select

from detector.core.threshold_tracking import Tracker
from jobs.alert_messages import ALERT_TEXTS
from jobs.app import open_store
from jobs.champions import load_scorer
from jobs.databases import reading, writing
from jobs.evaluation import evaluate_monitor
from jobs.reading.source import Source
from jobs.scoring.batch_reading import BatchReading
from jobs.scoring.run import plan_batches, score_planned
from jobs.store import BatchResult, HourCount, ThresholdChange
from jobs.store.events import EventLog, EventQuery
from jobs.store.incidents import IncidentQuery
from jobs.store.ledger import Choice
from jobs.store.usual_levels import report_usual_levels
from schemas.config import MonitorConfig
from schemas.errors import LostLease
from schemas.keys import KeyRange
from schemas.tables import anomalies, batches, incidents, trackers
from tests.series_monitor import MIXER, readings
from tests.single_batch import score_batch
from tests.watched_table import MODEL

ONLINE = {"threshold": "online", "false_positive_rate": 0.02}
IN_ORDER = Choice(in_order=True)
ALWAYS = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2027-01-01", tz="UTC")


def threshold_changes(mixer):
    """Return entity, batch and states, in order of batches."""
    c = trackers.c
    statement = select(trackers).order_by(c.entity, c.batch_id, c.model_id)
    with reading(mixer.store.engine) as connection:
        return connection.execute(statement).all()


def tracked(mixer):
    """Return the threshold that each flagged record was compared with, by key."""
    return {key: threshold for key, (threshold, _) in flagged(mixer).items()}


def flagged(mixer):
    """Return the threshold of each flagged record and when its incident began, by key."""
    c = anomalies.c
    with reading(mixer.store.engine) as connection:
        columns = (c.record_key_int, c.threshold, c.began_at)
        rows = connection.execute(select(*columns).where(c.superseded_at.is_(None))).all()
    return {key: (threshold, began_at) for key, threshold, began_at in rows}


def spans(mixer):
    """Return entity, first and last time and number of records of each incident."""
    c = incidents.c
    current = select(c.entity, c.start_time, c.end_time, c.records).where(c.state.in_(("open", "ended")))
    with reading(mixer.store.engine) as connection:
        return sorted(tuple(row) for row in connection.execute(current))


def forget(mixer):
    """Delete everything that scoring wrote."""
    with writing(mixer.store.engine) as connection:
        for table in ("alerts", "anomalies", "scores", "incidents", "batches"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def test_thresholds_follow_the_records_whatever_the_batch_size(mixer):
    assert mixer.train(**ONLINE).card.threshold_method == "online"
    mixer.score(batch_size=1600, **ONLINE)
    before = (mixer.scores(), flagged(mixer), spans(mixer))
    ends = [row.state_after for row in threshold_changes(mixer)]
    assert len(set(before[1].values())) > 10
    assert len(before[2]) > 3
    forget(mixer)
    mixer.score(batch_size=130, **ONLINE)
    assert (mixer.scores(), flagged(mixer), spans(mixer)) == before
    rows = threshold_changes(mixer)
    assert [[row.state_after for row in rows if row.entity == name][-1] for name in "ab"] == ends


def test_each_batch_continues_from_the_state_of_the_previous_one(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=170, **ONLINE)
    champion = mixer.store.models.champion("mixer")
    scorer = load_scorer(mixer.store, champion, mixer.source(**ONLINE).monitor)
    keys = readings().groupby("machine")["id"].agg(set)
    for entity in "ab":
        rows = [row for row in threshold_changes(mixer) if row.entity == entity]
        assert len(rows) == 10
        assert all(before.state_after == after.state_before for before, after in pairwise(rows))
        start = scorer.tracker(entity)
        assert Tracker.from_state(rows[0].state_before) == start
        own = np.array([score for key, score, *_ in mixer.scores() if key in keys[entity]])
        assert start.advance(own)[1] == Tracker.from_state(rows[-1].state_after)


def test_states_are_read_together_as_one_by_one(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=400, **ONLINE)
    mixer.store.recounting.reopen_window("mixer", *ALWAYS)
    states, names = mixer.store.threshold_states, ["b", "a", "it's none"]
    for _ in range(2):
        batch = mixer.store.ledger.claim("mixer", 1, mixer.now, timedelta(minutes=1), IN_ORDER)
        one_by_one = {name: states.before_batch(batch, name) for name in ("a", "b")}
        assert states.before_batch_of(batch, names) == one_by_one


def test_scoring_again_moves_nothing_and_flags_the_same(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=170, **ONLINE)
    once = (mixer.scores(), flagged(mixer), spans(mixer), threshold_changes(mixer))
    assert mixer.store.recounting.reopen_window("mixer", *ALWAYS) == 10
    assert mixer.score(**ONLINE).rescored == 10
    assert (mixer.scores(), flagged(mixer), spans(mixer), threshold_changes(mixer)) == once


def test_a_level_that_becomes_usual_is_an_event_of_its_batch_once(mixer):
    shifted = readings()
    shifted.loc[shifted["machine"].eq("a") & shifted["id"].gt(1240), ["torque", "speed", "load"]] += 9
    mixer.fill(shifted, if_exists="replace")
    settings = ONLINE | {"series": {"usual_after": 50}}
    mixer.train(**settings)
    mixer.score(batch_size=130, **settings)
    mixer.store.recounting.reopen_window("mixer", *ALWAYS)
    mixer.score(**settings)
    events = mixer.store.events.page(EventQuery("mixer", "usual_level"))
    (event,) = (event for event in events if event.entity == "a")  # the stuck sensor of b is another
    assert event.counts == {"records": 50}
    assert "stayed high for 50 records" in event.message
    last = [row for row in threshold_changes(mixer) if row.entity == "a"][-1]
    assert last.state_after["shifts"] == 1


def test_levels_of_many_entities_that_become_usual_at_once_are_all_reported(store, now):
    change = ThresholdChange({}, {"usual_after": 50}, usual_levels=1)
    changes = {f"pump-{number:02}": change for number in range(1, 24)}
    with writing(store.engine) as connection:
        report_usual_levels(connection, "mixer", changes, EventLog(ALERT_TEXTS), (), now)
    newest, *events = store.events.page(EventQuery("mixer", "usual_level"))
    assert [event.entity for event in events] == [f"pump-{number:02}" for number in range(20, 0, -1)]
    assert (newest.entity, newest.counts) == (None, {"entities": 3})
    assert "3 more entities" in newest.message
    assert "'pump-21', 'pump-22', 'pump-23'." in newest.message


def test_a_worker_that_lost_its_batch_moves_nothing(mixer):
    mixer.train(**ONLINE)
    source = mixer.source(batch_size=400, **ONLINE)
    plan_batches(source, mixer.store, lambda: mixer.now)
    champion = mixer.store.models.champion("mixer")
    scorer = load_scorer(mixer.store, champion, source.monitor)
    lost = mixer.store.ledger.claim("mixer", champion.model_id, mixer.now, timedelta(seconds=1), IN_ORDER)
    mixer.now += timedelta(minutes=1)
    taken = mixer.store.ledger.claim("mixer", champion.model_id, mixer.now, timedelta(minutes=9), IN_ORDER)
    assert taken.id == lost.id
    score_batch(BatchReading(taken, source, mixer.store, lambda: mixer.now), scorer)
    once = threshold_changes(mixer)
    with pytest.raises(LostLease):
        score_batch(BatchReading(lost, source, mixer.store, lambda: mixer.now), scorer)
    assert threshold_changes(mixer) == once


def test_two_workers_take_turns_with_the_result_of_one(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=60, **ONLINE)
    alone = (mixer.scores(), tracked(mixer))
    forget(mixer)
    with ThreadPoolExecutor(2) as pool:
        sources = [mixer.source(batch_size=60, **ONLINE) for _ in range(2)]
        runs = [pool.submit(mixer.score_with, source, open_store(mixer.store.engine)) for source in sources]
        assert sum(run.result().batches for run in runs) <= 27
    mixer.score(batch_size=60, **ONLINE)
    assert (mixer.scores(), tracked(mixer)) == alone


def test_batches_are_scored_side_by_side_and_decide_one_after_another(mixer):
    mixer.train(**ONLINE)
    turns, ledger, lease = mixer.store.turns, mixer.store.ledger, timedelta(minutes=1)
    plan_batches(mixer.source(batch_size=400, **ONLINE), mixer.store, lambda: mixer.now)
    first, second = (ledger.claim("mixer", 1, mixer.now, lease, IN_ORDER) for _ in range(2))
    assert turns.take(second, mixer.now) == "wait"
    assert [turns.take(first, mixer.now), turns.take(second, mixer.now)] == ["taken", "wait"]
    ledger.release(first)
    assert turns.take(second, mixer.now) == "give_way"
    again = ledger.claim("mixer", 1, mixer.now, lease, IN_ORDER)
    assert again.id == first.id
    ledger.finish(again, BatchResult(400), mixer.now)
    assert turns.take(second, mixer.now) == "taken"


def test_a_worker_never_waits_for_a_batch_that_became_free_after_it_claimed_a_later_one(mixer, monkeypatch):
    mixer.train(**ONLINE)
    source, ledger = mixer.source(batch_size=400, **ONLINE), mixer.store.ledger
    plan_batches(source, mixer.store, lambda: mixer.now)
    held = [ledger.claim("mixer", 1, mixer.now, timedelta(minutes=1), IN_ORDER)]

    def release_first(_source):  # called between the claims of a run
        while held:
            ledger.release(held.pop())
        return True

    monkeypatch.setattr(Source, "serves_threads", property(release_first))
    looks = iter(range(200))  # ends a run that waits for itself
    counts = score_planned(source, mixer.store, lambda: mixer.now, should_stop=lambda: next(looks, 200) == 200)
    assert counts["batches"] == 4


def test_a_worker_that_waits_for_its_turn_can_stop(mixer):
    mixer.train(**ONLINE)
    source, ledger = mixer.source(batch_size=400, **ONLINE), mixer.store.ledger
    plan_batches(source, mixer.store, lambda: mixer.now)
    ledger.claim("mixer", 1, mixer.now, timedelta(minutes=1), IN_ORDER)
    stops = iter([False, True, True])
    counts = score_planned(source, mixer.store, lambda: mixer.now, should_stop=lambda: next(stops))
    assert counts["batches"] == 0
    with reading(mixer.store.engine) as connection:
        states = connection.execute(select(batches.c.state, batches.c.error).order_by(batches.c.id)).all()
    assert states == [("running", None), *[("pending", None)] * 3]


def test_a_batch_to_rescore_gives_way_to_new_ones_and_keeps_a_turn_it_has(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=1600, **ONLINE)
    mixer.store.recounting.reopen_window("mixer", *ALWAYS)
    turns, ledger, lease = mixer.store.turns, mixer.store.ledger, timedelta(minutes=1)
    old = ledger.claim("mixer", 1, mixer.now, lease, IN_ORDER)
    ledger.plan("mixer", KeyRange((1600,), (1700,)), mixer.now)
    assert turns.take(old, mixer.now) == "give_way"
    new = ledger.claim("mixer", 1, mixer.now, 9 * lease, IN_ORDER)
    assert [turns.take(new, mixer.now), turns.take(old, mixer.now)] == ["taken", "wait"]
    ledger.finish(new, BatchResult(100), mixer.now)
    assert turns.take(old, mixer.now) == "taken"
    ledger.plan("mixer", KeyRange((1700,), (1800,)), mixer.now)
    newest = ledger.claim("mixer", 1, mixer.now, 9 * lease, IN_ORDER)
    assert turns.take(newest, mixer.now) == "wait"
    assert turns.take(newest, mixer.now + 2 * lease) == "taken"  # the other worker is too late, and its turn is over
    with pytest.raises(LostLease):
        ledger.finish(old, BatchResult(1600), mixer.now)


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)  # SQLite has one writer at a time
def test_a_holder_that_renews_its_lease_while_another_takes_its_turn_keeps_it(store, now):
    turns, ledger, lease = store.turns, store.ledger, timedelta(minutes=1)
    model_id = store.models.add("pump", MODEL, now, promote=True)
    ledger.plan("pump", KeyRange(None, (1,)), now)
    result = BatchResult(1, hours=(HourCount(now, 1, 0),))
    ledger.finish(ledger.claim("pump", model_id, now, lease, IN_ORDER), result, now)
    store.recounting.reopen_window("pump", *ALWAYS)
    old = ledger.claim("pump", model_id, now, lease, IN_ORDER)
    assert turns.take(old, now) == "taken"
    later = now + 2 * lease
    ledger.plan("pump", KeyRange((1,), (2,)), now)
    new = ledger.claim("pump", model_id, later, lease, replace(IN_ORDER, exclude=[old.id]))

    renewals = iter([lambda: ledger.renew(old, later, lease)])

    def renew(_connection, _cursor, sql, *_):
        if sql.startswith("UPDATE batches") and (renewal := next(renewals, None)):
            renewal()

    event.listen(store.engine, "before_cursor_execute", renew)
    assert turns.take(new, later) == "wait"
    ledger.finish(old, result, later)


def test_a_new_model_and_a_new_rate_start_and_go_on(mixer):
    mixer.train(**ONLINE)
    mixer.score(batch_size=400, **ONLINE)
    mixer.train(**ONLINE)
    mixer.store.recounting.reopen_window("mixer", *ALWAYS)
    mixer.score(**ONLINE)
    rows = [row for row in threshold_changes(mixer) if row.entity == "a"]
    assert [row.model_id for row in rows] == [1, 2] * 4
    second = [row for row in rows if row.model_id == 2]
    scorer = load_scorer(mixer.store, mixer.store.models.champion("mixer"), mixer.source(**ONLINE).monitor)
    assert Tracker.from_state(second[0].state_before) == scorer.tracker("a")
    assert second[1].state_before == second[0].state_after
    mixer.fill(readings().tail(40).assign(id=range(2001, 2041)), if_exists="append")
    mixer.score(**(ONLINE | {"false_positive_rate": 0.05}))
    last = [row for row in threshold_changes(mixer) if row.entity == "a"][-1]
    earlier = second[-1].state_after
    steady = earlier["steady"] | {"threshold": last.state_before["steady"]["threshold"]}  # calibrated at the new rate
    assert last.state_before == earlier | {"rate": 0.05, "steady": steady}
    assert steady["threshold"] < earlier["steady"]["threshold"]


def test_a_monitor_that_had_a_fixed_threshold_goes_on_with_a_tracked_one(mixer):
    fixed, rate = {"threshold": "conformal"}, {"false_positive_rate": 0.02}
    table = readings()
    mixer.fill(table[table["id"] <= 1500], if_exists="replace")  # ends in the fault of machine b
    mixer.train(**fixed, **rate)
    mixer.score(**fixed, **rate)
    before = mixer.scores()
    assert threshold_changes(mixer) == []
    mixer.fill(table[table["id"] > 1500], if_exists="append")
    assert mixer.score(**rate).records == 100
    assert mixer.scores()[:1500] == before
    champion = mixer.store.models.champion("mixer")
    scorer = load_scorer(mixer.store, champion, mixer.source(**rate).monitor)
    rows = threshold_changes(mixer)
    assert [(row.entity, row.model_id) for row in rows] == [("a", champion.model_id), ("b", champion.model_id)]
    assert [Tracker.from_state(row.state_before) for row in rows] == [scorer.tracker(name) for name in "ab"]
    (incident,) = mixer.store.incidents.page(IncidentQuery("mixer", entity="b", since=table["read_at"].iloc[1480]))
    assert incident.start_time < table["read_at"].iloc[1500] < incident.end_time


def test_it_is_evaluated_as_it_would_have_been_scored(mixer):
    mixer.train(**ONLINE)
    mixer.score(**ONLINE)
    flagged = sum(is_anomaly for key, _, _, is_anomaly in mixer.scores() if key > 1200)
    evaluation = evaluate_monitor(mixer.source(batch_size=90, **ONLINE), mixer.store, everything=True).evaluation
    assert evaluation.flagged == sum(is_anomaly for *_, is_anomaly in mixer.scores()) > flagged > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"series": None, "threshold": "online"}, 'threshold = "online" follows the scores of series'),
        ({"threshold": "pot"}, 'series needs threshold = "conformal" or "online", not "pot"'),
    ],
)
def test_it_is_for_series(changes, message):
    settings = {name: value for name, value in (MIXER | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        MonitorConfig(**settings)
