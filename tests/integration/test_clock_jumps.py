"""A clock that jumps by an hour, in either direction, delays nothing for long and loses nothing."""

from datetime import timedelta

import pytest

from tests.watched_table import MonitoredTable

jumps = pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "back"])


@pytest.fixture
def pump(store):
    pump = MonitoredTable(store)
    pump.put(*range(10, 150, 10))
    pump.put(150, value=9.0)
    pump.score()
    return pump


@jumps
def test_records_are_scored_and_changes_detected_after_a_jump(pump, hours):
    pump.wait(hours=hours)
    pump.put(160, value=9.0)
    assert pump.score().records == 1
    pump.correct(20, value=9.0)
    pump.wait(minutes=10)
    pump.score()
    assert pump.flagged() == ["150", "160", "20"]
    assert pump.ledger("state") == ["done"] * 4


@jumps
def test_the_batch_of_a_process_that_died_before_a_jump_is_taken_over_by_the_new_clock(pump, hours):
    pump.put(160, 170, value=9.0)
    (model_id,) = pump.models
    source = pump.source()
    key_range = source.next_range(pump.store.ledger.watermark("pump"), 5, None)
    source.close()
    pump.store.ledger.plan("pump", key_range, pump.now, model_id)
    lease = timedelta(minutes=15)
    assert pump.store.ledger.claim("pump", model_id, pump.now, lease) is not None
    pump.wait(hours=hours)
    pump.score()
    assert pump.flagged() == (["150", "160", "170"] if hours > 0 else ["150"])  # set back: the lease has not run out
    pump.wait(hours=1, minutes=16)
    pump.score()
    assert pump.flagged() == ["150", "160", "170"]
