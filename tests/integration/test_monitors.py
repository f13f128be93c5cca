"""Monitors in the store are listed, renamed and deleted with all their rows, while others score."""

import pytest
from sqlalchemy import func, insert, select

from jobs.databases import reading, writing
from jobs.store import AuditQuery
from jobs.store.api_keys import KeyRights
from jobs.store.monitors import StoredMonitor
from jobs.store.rhythm import Rhythm
from schemas.errors import NoChampion, UsageError
from schemas.tables import batches, entity_rhythms, metadata, monitors, retrain_requests
from tests.watched_table import MonitoredTable

OF_MONITORS = [table for table in metadata.sorted_tables if "monitor" in table.c]


@pytest.fixture
def scored(store):
    """Two monitors of a table, each with flagged rows, an incident, runs, events and a request."""
    table = MonitoredTable(store)
    table.train("fan")
    table.put(*range(1, 13), value=9.0)
    for monitor in ("pump", "fan"):
        table.score(monitor)
        store.requests.add(monitor, "api", table.now)
        add_rhythm(store, monitor, table.now)
    return table


def add_rhythm(store, monitor, at):
    """Add an entity of a monitor that no longer sends."""
    rhythm = vars(Rhythm(at, at, 1, 1)) | {"longest": []}
    with writing(store.engine) as connection:
        connection.execute(insert(entity_rhythms).values(monitor=monitor, entity="a", retired_at=at, **rhythm))


def rows_of(store, monitor):
    """Return the number of rows of a monitor by table."""
    with reading(store.engine) as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table).where(table.c.monitor == monitor))
            for table in OF_MONITORS
        }


def test_the_list_names_what_has_a_model_or_a_scored_record(scored):
    scored.store.monitors.register(["configured"])
    (fan, pump) = scored.store.monitors.all()
    assert pump == StoredMonitor("pump", 1, pump.champion_id, 12, 12, pump.scored_until, scored.now)
    assert (fan.monitor, scored.store.monitors.names()) == ("fan", ["fan", "pump"])


def test_a_renamed_monitor_keeps_all_its_rows_and_goes_on_where_it_was(scored):
    store, before, other = scored.store, rows_of(scored.store, "pump"), rows_of(scored.store, "fan")
    store.monitors.register(["mill"])  # a service that has reloaded the configuration
    store.monitors.rename("pump", "mill", scored.now)
    assert rows_of(store, "mill") == before
    assert not any(rows_of(store, "pump").values())
    assert rows_of(store, "fan") == other
    scored.put(13)
    assert scored.score("mill").records == 1
    with pytest.raises(NoChampion):
        scored.score("pump")
    assert store.requests.claim("mill", scored.now, scored.source("mill").monitor.lease) is not None


def test_the_keys_of_a_renamed_monitor_see_it_under_its_new_name_alone(scored):
    keys = scored.store.api_keys
    for name, names in {"both": ("pump", "fan"), "other": ("fan",), "all": None}.items():
        keys.add(name, KeyRights(monitors=names), name, scored.now)
    scored.store.monitors.rename("pump", "mill", scored.now)
    assert {key.name: key.monitors for key in keys.all()} == {"both": ["fan", "mill"], "other": ["fan"], "all": None}


def test_who_renamed_and_deleted_a_monitor_is_recorded(scored):
    scored.store.monitors.rename("pump", "mill", scored.now, "user anna")
    scored.store.monitors.delete("mill", scored.now, "user ben")
    acts = scored.store.audit.page(AuditQuery("mill"))
    assert [(act.actor, act.action, act.subject, act.detail) for act in acts] == [
        ("user ben", "delete monitor", "monitor mill", None),
        ("user anna", "rename monitor", "monitor pump", {"new_name": "mill"}),
    ]


def test_a_monitor_is_not_renamed_to_one_that_has_rows_and_an_unknown_one_is_refused(scored):
    with pytest.raises(UsageError, match=r"has a monitor 'fan' already\. .* plumbline monitors delete fan"):
        scored.store.monitors.rename("pump", "fan", scored.now)
    with pytest.raises(UsageError, match=r"no monitor 'pmup'\. Its monitors: fan, pump\."):
        scored.store.monitors.rename("pmup", "mill", scored.now)
    with pytest.raises(UsageError, match=r"no monitor 'pmup'\. Its monitors: fan, pump\."):
        scored.store.monitors.delete("pmup", scored.now)
    assert scored.store.monitors.names() == ["fan", "pump"]


def test_a_deleted_monitor_leaves_no_row_and_the_others_are_as_before(scored):
    store, other = scored.store, rows_of(scored.store, "fan")
    assert store.monitors.delete("pump", scored.now) > 0
    assert not any(rows_of(store, "pump").values())
    assert not any(_hidden(store, table) for table in OF_MONITORS)
    assert rows_of(store, "fan") == other
    scored.train("pump")
    assert scored.score("pump").records == 12  # a monitor of the name starts again


def _hidden(store, table=monitors):
    with reading(store.engine) as connection:
        names = connection.scalars(select(table.c.monitor).where(table.c.monitor.is_not(None)))
        return [name for name in names if "~" in name]


def test_an_interrupted_deletion_is_continued(scored, monkeypatch):
    store = scored.store
    monkeypatch.setattr(store.monitors, "purge", lambda: 0)
    store.monitors.delete("pump", scored.now)
    assert (store.monitors.names(), len(_hidden(store))) == (["fan"], 1)
    monkeypatch.undo()
    store.monitors.purge()
    assert _hidden(store) == []
    assert not rows_of(store, "pump")["scores"]


@pytest.mark.parametrize("change", ["rename", "delete"])
def test_a_run_that_is_under_way_writes_nothing_under_the_old_name(scored, change):
    scored.put(*range(13, 40), value=9.0)
    store = scored.store

    def load(*arguments):
        store.monitors.rename("pump", "mill", scored.now) if change == "rename" else store.monitors.delete(
            "pump", scored.now
        )
        return MonitoredTable.load(scored, *arguments)

    scored_batches = scored.source()
    from jobs.scoring.run import score_monitor

    report = score_monitor(scored_batches, store, scored.clock, load=load)
    scored_batches.close()
    assert report.batches == 0
    left = {name: count for name, count in rows_of(store, "pump").items() if count}
    assert left.keys() <= {"monitors", "events"}
    if change == "rename":
        assert scored.score("mill").records == 27


def test_a_plan_for_a_renamed_monitor_is_refused(scored):
    store = scored.store
    champion = store.models.require_champion("pump")
    scored.put(13)
    key_range = scored.source().next_range(store.ledger.watermark("pump"), 5, None)
    store.monitors.rename("pump", "mill", scored.now)
    with pytest.raises(NoChampion):
        store.ledger.plan("pump", key_range, scored.now, champion.model_id)
    with reading(store.engine) as connection:
        assert connection.scalar(select(func.count()).where(batches.c.monitor == "pump")) == 0


def test_a_training_for_a_request_is_taken_from_its_worker(scored):
    store = scored.store
    store.requests.claim("pump", scored.now, scored.source().monitor.lease)
    store.monitors.rename("pump", "mill", scored.now)
    with writing(store.engine) as connection:
        assert connection.scalars(select(retrain_requests.c.state)).all() == ["pending", "pending"]
