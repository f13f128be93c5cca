"""What lists every monitor reads the store by a number of statements that does not depend on how many there are."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event, insert

from jobs.api.monitors import list_monitors
from jobs.api.pages.fleet import fleet_rows
from jobs.databases import writing
from jobs.mcp.tools import Tools
from jobs.settings_in_force import refuse_unfit_tunings
from jobs.store import BatchResult, HourCount
from schemas.config import parse_config
from schemas.keys import KeyRange
from schemas.tables import unreadable_records
from tests.api_service import NOW, FakeService
from tests.watched_table import MODEL

HOUR = timedelta(hours=1)
LISTS = {
    "page": fleet_rows,
    "API": list_monitors,
    "MCP": lambda service: Tools(service).list_monitors(),
    "status": lambda service: service.store.overviews.of(service.config.monitors, NOW),
    "monitors list": lambda service: service.store.monitors.all(),
    "reload": lambda service: refuse_unfit_tunings(service.store, service.config),
}


@pytest.fixture
def service_of(store):
    """Return a function that makes a service of n monitors, each with rows in every table that lists read."""

    def make(n):
        names = [f"m{number}_of_{n}" for number in range(n)]
        for name in names:
            model_id = store.models.add(name, MODEL, NOW, promote=True)
            store.ledger.plan(name, KeyRange((1,), (2,)), NOW)
            batch = store.ledger.claim(name, model_id, NOW, HOUR)
            store.ledger.finish(batch, BatchResult(9, (), (HourCount(NOW.replace(minute=0), 9, 0),)), NOW)
            store.runs.start(name, "score", NOW)
            store.tunings.put(name, {"false_positive_rate": 0.2}, NOW, "user")
            row = {"monitor": name, "batch_id": batch.id, "record_key": "[1]", "column_name": "x", "reason": "is text"}
            with writing(store.engine) as connection:
                connection.execute(insert(unreadable_records).values(row | {"found_at": NOW, "checked_at": NOW}))
        monitor = {"table": "t", "key": "id", "numeric": ["x"]}
        return FakeService(store, parse_config({"monitors": dict.fromkeys(names, monitor)}, Path("config.toml")))

    return make


def statements_of(engine, read):
    executed = []
    listener = ("before_cursor_execute", lambda *arguments: executed.append(arguments[2]))
    event.listen(engine, *listener)
    read()
    event.remove(engine, *listener)
    return len(executed)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # as the number is the same in every database
def test_lists_of_monitors_take_as_many_statements_for_five_as_for_one(store, service_of):
    one, five = (
        {name: statements_of(store.engine, partial(read, service)) for name, read in LISTS.items()}
        for service in (service_of(1), service_of(5))
    )
    assert five == one
    assert min(one.values()) > 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_monitors_than_sqlite_joins_selects_are_read(store, service_of):
    (last,) = service_of(1).config.monitors
    names = [f"n{number}" for number in range(600)] + [last]
    overviews = store.overviews.of(names, NOW)
    assert (list(overviews), store.overviews.of([], NOW)) == (names, {})
    assert (overviews[last].last_runs["score"].started_at, overviews["n7"].last_runs) == (NOW, {})
    assert [day.records for day in store.history.newest_days(names, 14, NOW)[last].counts] == [9]
