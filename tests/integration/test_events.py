"""Events are recorded once, go on until they are closed, and alerted in the same transaction."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from jobs.alert_messages import ALERT_TEXTS
from jobs.app import open_store
from jobs.databases import reading
from jobs.store import EventQuery, NewEvent
from jobs.store.events import EventLog, Events
from schemas.config import parse_config
from schemas.errors import StoreError
from schemas.tables import alerts

HOUR = timedelta(hours=1)
GAP = NewEvent("gap", "nothing came; '%s' \x07", "pump", since=None)


def test_an_event_is_stored_as_it_was_given(store, now):
    event = NewEvent("late", "two came late", "pump", "machine-1", now - HOUR, {"records": 2})
    event_id = store.events.add(event, now)
    (stored,) = store.events.page(EventQuery())
    assert (stored.id, stored.at, stored.since, stored.until) == (event_id, now, now - HOUR, now)
    assert (stored.kind, stored.message, stored.entity, stored.counts) == (
        "late",
        "two came late",
        "machine-1",
        {"records": 2},
    )


def test_an_ongoing_event_is_recorded_once_until_it_ends(store, now):
    assert store.events.open(GAP, now) is not None
    assert store.events.open(GAP, now + HOUR) is None
    assert store.events.open(NewEvent("gap", "", "boiler"), now) is not None
    assert store.events.close("gap", "pump", now + 2 * HOUR)
    assert not store.events.close("gap", "pump", now + 3 * HOUR)
    (stored,) = store.events.page(EventQuery("pump"))
    assert (stored.since, stored.until) == (now, now + 2 * HOUR)
    assert store.events.open(GAP, now + 3 * HOUR) is not None


def test_an_event_whose_alert_cannot_be_written_is_not_recorded(store, now):
    def fail(*_):
        raise StoreError("There is no text.")

    unlucky = Events(store.engine, EventLog(replace(ALERT_TEXTS, event=fail)))
    with pytest.raises(StoreError, match="There is no text"):
        unlucky.add(GAP, now, ["ops"])
    assert store.events.page(EventQuery()) == []


def test_workers_at_the_same_time_open_one(store, now):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: open_store(store.engine).events.open(GAP, now), range(8)))
    assert sum(event_id is not None for event_id in opened) == 1


def test_an_event_of_the_service_has_no_monitor(store, now):
    event = NewEvent("config_refused", "no such key")
    assert store.events.open(event, now) is not None
    assert store.events.open(event, now) is None
    assert store.events.close("config_refused", None, now)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (EventQuery(), [3, 2, 1]),
        (EventQuery(limit=1), [3]),
        (EventQuery(before_id=3), [2, 1]),
        (EventQuery(monitor="pump", kind="drift"), [2]),
        (EventQuery(kind="gap"), [3]),
    ],
)
def test_events_are_filtered_and_listed_newest_first(store, now, query, expected):
    for hours, (kind, monitor) in enumerate([("late", "pump"), ("drift", "pump"), ("gap", "boiler")]):
        store.events.add(NewEvent(kind, "", monitor), now + hours * HOUR)
    assert [event.id for event in store.events.page(query)] == expected
    assert len(store.events.page(EventQuery(since=now + HOUR, until=now + 2 * HOUR))) == 1


def test_an_event_is_alerted_to_each_channel_once(store, now):
    event_id = store.events.open(GAP, now, ["mail", "chat", "mail"])
    store.events.open(GAP, now, ["mail"])
    with reading(store.engine) as connection:
        rows = connection.execute(select(alerts.c.channel, alerts.c.event_id).order_by(alerts.c.channel)).all()
    assert [tuple(row) for row in rows] == [("chat", event_id), ("mail", event_id)]


def test_a_monitor_that_names_no_channels_has_all(tmp_path):
    table = {"table": "t", "key": "id", "numeric": ["x"]}
    raw = {
        "alerts": {"channels": {"mail": "json://a", "chat": "json://b"}},
        "monitors": {"pump": table, "fan": table | {"alert": {"channels": ["chat", "chat"]}}},
    }
    config = parse_config(raw, tmp_path / "config.toml")
    assert config.monitor("pump").alert.channels == ("mail", "chat")
    assert config.monitor("fan").alert.channels == ("chat",)


def test_events_are_recorded_once_and_up_to_a_limit_at_a_time(store, now):
    new_events = [NewEvent("new_entity", "New.", "pump", name, counts={"model_id": 1}) for name in "abc"]
    assert [store.events.add_once(new_events, now, limit=2) for _ in range(3)] == [2, 1, 0]
    assert store.events.add_once([replace(new_events[0], counts={"model_id": 2})], now, limit=2) == 1
    assert [event.entity for event in store.events.page(EventQuery("pump"))] == ["a", "c", "b", "a"]


def test_an_event_without_entity_is_recorded_once_too(store, now):
    new_events = [NewEvent("new_entity", "Without an entity.", "pump", counts={"model_id": 1})]
    assert [store.events.add_once(new_events, now, limit=2) for _ in range(2)] == [1, 0]
