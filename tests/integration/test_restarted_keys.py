"""A table that was emptied, created again or restored is noticed in the next run, a deleted record is not."""

from datetime import timedelta

import pytest
from sqlalchemy import delete

from jobs.databases import writing
from jobs.reading.source import Source
from jobs.scoring.restarted_keys import watch_for_restart
from jobs.store.events import EventQuery
from tests.watched_table import MonitoredTable, at

TRUNCATE = "TRUNCATE readings RESTART IDENTITY"


@pytest.fixture
def pump(store):
    pump = MonitoredTable(store)
    pump.put(*range(1, 13))
    pump.wait(hours=1)
    pump.score()
    return pump


def restarts(pump):
    """Return whether each event about restarted keys is over, oldest first."""
    pump.score()
    return [event.until is not None for event in pump.store.events.page(EventQuery(kind="keys_restarted"))][::-1]


def empty(pump):
    with writing(pump.store.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(TRUNCATE)
        else:
            connection.execute(delete(pump.table))


def test_an_emptied_table_is_an_event_until_its_keys_are_past_the_scored_ones(pump):
    empty(pump)
    assert restarts(pump) == [False]
    pump.put(1, 2, time=pump.now)
    assert restarts(pump) == [False]
    pump.put(13, time=pump.now)
    assert restarts(pump) == [True]
    (event,) = pump.store.events.page(EventQuery(kind="keys_restarted"))
    assert "are scored up to 12, but the table holds no record of the last batch" in event.message


def test_new_records_with_smaller_keys_are_noticed_within_the_last_batch_too(pump):
    empty(pump)
    pump.put(1, 2, 11, time=at(12) + timedelta(minutes=5))
    assert restarts(pump) == [False]
    (event,) = pump.store.events.page(EventQuery(kind="keys_restarted"))
    assert "its record with the largest key, 11, is of 2026-03-01 00:17:00 UTC" in event.message


def test_a_restored_backup_without_the_last_batch_is_noticed(pump):
    pump.remove(*range(8, 13))
    pump.put(8, 9)
    assert restarts(pump) == [False]


def test_a_record_that_comes_between_two_looks_at_the_table_is_no_restart(pump):
    class GrowingSource(Source):
        def largest_key(self):
            pump.put(13, time=pump.now)
            return super().largest_key()

    source = GrowingSource("pump", pump.source().monitor, pump.store.engine)
    watch_for_restart(source, pump.store, pump.now)
    source.close()
    assert pump.store.events.page(EventQuery(kind="keys_restarted")) == []


def test_deleted_newest_records_are_no_restart(pump):
    pump.remove(12)
    assert restarts(pump) == []
