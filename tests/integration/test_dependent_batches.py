"""Records that come late into a series, or vanish, are past for later ones, which are rescored too."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select

from jobs.app import open_store
from jobs.champions import load_scorer
from jobs.databases import reading, writing
from jobs.scoring.batch_reading import BatchReading
from jobs.scoring.rescoring import Window, rescore_monitor
from jobs.scoring.run import plan_batches
from schemas.errors import LostLease
from schemas.tables import batches
from tests.machines import machine
from tests.series_monitor import readings
from tests.single_batch import score_batch

BATCH = {"batch_size": 40, "threshold": "conformal"}  # a tracked threshold is not changed by late records
CONTEXT_ROWS = 751


def again(mixer, **changes):
    """Score until no batch is left; return how many batches were rescored."""
    count = 0
    while True:
        mixer.now += timedelta(hours=1)
        report = mixer.score(**BATCH, **changes)
        count += report.rescored
        if not report.batches:
            return count


def assert_as_undisturbed(mixer, records):
    """Assert that the scores are those of a store that scores the present table for the first time."""
    disturbed = mixer.scores()
    with writing(mixer.store.engine) as connection:
        for table in ("anomalies", "scores", "incidents", "batches"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    mixer.score(batch_size=5_000, threshold="conformal")
    assert disturbed == mixer.scores()
    assert len(disturbed) == records


@pytest.mark.parametrize("seed", range(3))
def test_late_and_vanished_records_leave_the_scores_that_an_undisturbed_run_gives(mixer, seed):
    rng = np.random.default_rng(seed)
    mixer.train()
    frame = readings()
    late, ghosts = rng.choice(np.arange(1201, 1600), (2, 3), replace=False)
    is_late = frame["id"].isin(late)
    mixer.fill(frame[~is_late], if_exists="replace")
    again(mixer)
    mixer.fill(frame[is_late], if_exists="append")
    with writing(mixer.store.engine) as connection:
        connection.exec_driver_sql(f"DELETE FROM mixer WHERE id IN ({', '.join(map(str, ghosts))})")
    assert again(mixer) > 6
    assert_as_undisturbed(mixer, 1597)


def test_records_that_came_too_late_reach_later_scores_by_the_advised_rescore(mixer):
    frame = readings()
    is_late = frame["id"].between(1250, 1259)
    mixer.train()
    mixer.fill(frame[~is_late], if_exists="replace")
    again(mixer, late_after="1s")
    mixer.fill(frame[is_late], if_exists="append")
    mixer.now += timedelta(hours=5)
    assert mixer.score(**BATCH, late_after="1s").too_late_records == 10
    times = frame.loc[is_late, "read_at"]
    mixer.now += timedelta(hours=5)
    window = Window(times.min().to_pydatetime(), times.max().to_pydatetime() + timedelta(seconds=1))
    rescore_monitor(mixer.source(**BATCH, late_after="1s"), mixer.store, lambda: mixer.now, window)
    assert_as_undisturbed(mixer, 1600)


def test_a_batch_that_vanishes_and_comes_back_is_past_for_later_ones(mixer):
    frame = readings()
    is_gone = frame["id"].between(1241, 1280)
    mixer.train()
    again(mixer)
    mixer.fill(frame[~is_gone], if_exists="replace")
    assert again(mixer) > 6
    mixer.fill(frame[is_gone], if_exists="append")
    assert again(mixer) > 6
    assert_as_undisturbed(mixer, 1600)


def test_batches_are_reopened_as_far_as_the_past_reaches_and_no_further(mixer):
    more = machine("a", 3000, 0).assign(id=np.arange(1, 3001), machine="a")
    mixer.fill(more[more["id"] != 1310], if_exists="replace")
    mixer.train()
    again(mixer)
    mixer.fill(more[more["id"] == 1310], if_exists="append")
    assert again(mixer) == 1 + -(-2 * CONTEXT_ROWS // BATCH["batch_size"])


def test_other_machines_are_left_alone(mixer):
    own = {name: readings().query("machine == @name") for name in "ab"}
    mixed = own["a"].assign(id=range(1, 801)), own["b"].assign(id=range(801, 1601))
    mixer.fill(mixed[0][mixed[0]["id"] != 700], if_exists="replace")
    mixer.fill(mixed[1], if_exists="append")
    mixer.train(normal="id % 800 < 600")
    again(mixer)
    mixer.fill(mixed[0][mixed[0]["id"] == 700], if_exists="append")
    again(mixer)
    c = batches.c
    with reading(mixer.store.engine) as connection:
        rows = connection.execute(select(c.entities, c.rescorings).order_by(c.id)).all()
    assert {tuple(row.entities): row.rescorings for row in rows if set(row.entities) == {"b"}} == {("b",): 0}
    assert sum(row.rescorings for row in rows) >= 3


def test_a_worker_in_a_following_batch_starts_over(mixer):
    frame = readings()
    mixer.train()
    mixer.fill(frame[frame["id"] != 1250], if_exists="replace")
    source, store, now = mixer.source(**BATCH), mixer.store, mixer.now
    plan_batches(source, store, lambda: now)
    scorer = load_scorer(store, store.models.champion("mixer"), source.monitor)
    lease = timedelta(hours=3)
    *_, held, after = [store.ledger.claim("mixer", 1, now, lease) for _ in range(33)]
    assert held.key_range.after < (1250,) <= held.key_range.upto
    score_batch(BatchReading(held, source, store, lambda: now), scorer)
    mixer.fill(frame[frame["id"] == 1250], if_exists="append")
    mixer.now += timedelta(hours=1)
    assert mixer.score(**BATCH).late_records == 1
    with pytest.raises(LostLease):
        score_batch(BatchReading(after, source, open_store(store.engine), lambda: now), scorer)


def test_a_batch_that_is_scored_after_later_ones_is_past_for_them_as_it_is_then(mixer):
    frame = readings()
    mixer.train()
    mixer.fill(frame[frame["id"] != 1250], if_exists="replace")
    plan_batches(mixer.source(**BATCH), mixer.store, lambda: mixer.now)
    *others, held = [mixer.store.ledger.claim("mixer", 1, mixer.now, timedelta(hours=3)) for _ in range(32)]
    assert held.key_range.after < (1250,) <= held.key_range.upto
    for batch in others:
        mixer.store.ledger.release(batch)
    mixer.score(**BATCH)
    mixer.fill(frame[frame["id"] == 1250], if_exists="append")
    mixer.now += timedelta(hours=3)  # after which the lease has run out
    assert again(mixer) > 5
    assert_as_undisturbed(mixer, 1600)
