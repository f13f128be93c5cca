"""Whatever goes away in the middle of a run, nothing is lost: the run reports what failed, and the next goes on."""

import sqlite3
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import NullPool, create_engine, text

from jobs.app import open_store
from jobs.databases import open_engine, writing
from jobs.heartbeat import heartbeat
from jobs.reading.source import Source
from jobs.store import migrations
from schemas.config import MonitorConfig
from schemas.errors import LostLease, RecordsError, SourceError, StoreError
from tests.watched_table import MonitoredTable, RuleScorer

DEADLINE_SECONDS = 30


class Disturbed(RuleScorer):
    """A scorer that does something else first, once."""

    def __init__(self, disturb):
        super().__init__()
        self.disturb = disturb

    def score(self, records, vae_of="none"):
        disturb, self.disturb = self.disturb, lambda: None
        disturb()
        return super().score(records, vae_of)


class Refusing(RuleScorer):
    """A scorer of positive values alone."""

    def score(self, records, vae_of="none"):
        if (records[self.value] < 0).any():
            raise RecordsError("A value is below zero.")
        return super().score(records, vae_of)


@pytest.fixture
def pump(store):
    pump = MonitoredTable(store)
    pump.put(*range(10, 150, 10), value=2.0)
    pump.put(150, value=9.0)
    return pump


def disturb(pump, action):
    (model_id,) = pump.models
    pump.models[model_id] = Disturbed(action)


def goes_on(pump):
    """Assert that the next run, after the leases have expired, leaves everything as an undisturbed run would."""
    pump.wait(minutes=16)
    assert pump.store.ledger.has_claimable("pump", pump.now)
    pump.score()
    assert not pump.store.ledger.has_claimable("pump", pump.now)
    assert pump.flagged() == ["150"]
    assert pump.ledger("state", "records") == [("done", 5)] * 3
    assert sum(records for _, records, _ in pump.hours()) == 15


def refuse(pump, *keys):
    for key in keys:
        pump.correct(key, value=-1.0)
    (model_id,) = pump.models
    pump.models[model_id] = Refusing()
    with pytest.raises(RecordsError, match="below zero"):
        pump.score()


def test_a_batch_that_cannot_be_scored_keeps_no_other_waiting_and_is_tried_again(pump):
    refuse(pump, 20)
    assert pump.ledger("state", "error") == [("done", None), ("done", None), ("pending", "A value is below zero.")]
    assert pump.flagged() == ["150"]
    pump.correct(20, value=4.0)
    pump.score()
    assert pump.ledger("state", "error") == [("done", None)] * 3
    assert pump.flagged() == ["150", "20"]


def test_after_three_failing_batches_a_run_ends_and_the_next_begins_with_untried_ones(pump):
    pump.put(*range(160, 260, 10))
    refuse(pump, 10, 60, 110, 160)
    assert pump.ledger("attempts", "state") == [(0, "pending")] * 2 + [(1, "pending")] * 3
    with pytest.raises(RecordsError, match="below zero"):
        pump.score()
    assert sorted(pump.ledger("state")) == ["done"] + ["pending"] * 4


def test_if_batches_go_in_order_none_is_skipped(pump):
    pump.settings |= {"series": {"network": False}, "threshold": "online"}
    refuse(pump, 20)
    assert pump.ledger("state") == ["pending"] * 3


def test_another_key_is_refused_and_a_renamed_one_can_be_taken_over(pump):
    pump.score()
    pump.settings |= {"key": ["pump", "id"]}
    with pytest.raises(StoreError, match="are ranges of id, and config.toml now has the key pump, id") as refused:
        pump.score()
    with writing(pump.store.engine) as connection:
        connection.exec_driver_sql(str(refused.value).split("in the store: ")[1])
    pump.store.ledger.fix_key("pump", ("pump", "id"))


def test_a_lock_that_another_program_holds_is_named_and_nothing_is_lost(tmp_path):
    engine = open_engine(SecretStr(f"sqlite:///{tmp_path / 'plumbline.db'}?timeout=0.05"))
    migrations.upgrade(engine)
    pump = MonitoredTable(open_store(engine))
    pump.put(*range(10, 150, 10))
    pump.put(150, value=9.0)
    other = sqlite3.connect(tmp_path / "plumbline.db", isolation_level=None)
    disturb(pump, lambda: other.execute("BEGIN IMMEDIATE"))
    with pytest.raises(StoreError, match="database is locked. Another program holds the file; let it finish"):
        pump.score()
    other.execute("ROLLBACK")
    other.close()
    goes_on(pump)
    engine.dispose()


@contextmanager
def administering(url):
    """Open a connection to the server outside the database of the test."""
    admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        yield connection


def cut_off(connection, name):
    connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :n"), {"n": name})


@pytest.fixture
def postgres_pump(postgres_url):
    engine = open_engine(postgres_url)
    migrations.upgrade(engine)
    pump = MonitoredTable(open_store(engine))
    pump.put(*range(10, 150, 10))
    pump.put(150, value=9.0)
    yield pump
    engine.dispose()


def test_connections_that_a_restart_cut_are_opened_again(postgres, postgres_pump):
    name = postgres_pump.store.engine.url.database
    with administering(postgres) as admin:
        disturb(postgres_pump, lambda: cut_off(admin, name))
        postgres_pump.score()
    assert postgres_pump.flagged() == ["150"]
    assert postgres_pump.ledger("state", "attempts") == [("done", 1)] * 3


def test_a_database_that_goes_away_ends_the_run_and_the_next_goes_on(postgres, postgres_pump):
    name = postgres_pump.store.engine.url.database
    with administering(postgres) as admin:

        def go_away():
            admin.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            cut_off(admin, name)

        disturb(postgres_pump, go_away)
        with pytest.raises(StoreError, match=r"The database .* refused: .* is not currently accepting connections"):
            postgres_pump.score()
        admin.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    goes_on(postgres_pump)


def test_a_source_that_goes_away_gives_its_batch_back_with_the_reason(store, tmp_path):
    elsewhere = open_engine(SecretStr(f"sqlite:///{tmp_path / 'plant.db'}"))
    migrations.upgrade(elsewhere)
    records = MonitoredTable(open_store(elsewhere))
    records.put(*range(10, 150, 10))
    records.put(150, value=9.0)
    pump = MonitoredTable(store)
    pump.source = lambda *_: Source("pump", MonitorConfig(**pump.settings), elsewhere)
    disturb(pump, lambda: (tmp_path / "plant.db").rename(tmp_path / "away.db"))
    with pytest.raises(SourceError, match="There is no SQLite file"):
        pump.score()
    states = pump.ledger("state")  # the second batch may have been read before
    assert (states[0], states[-1]) == ("done", "pending")
    (reason,) = set(pump.ledger("error")) - {None}
    assert "There is no SQLite file" in reason
    (tmp_path / "away.db").rename(tmp_path / "plant.db")
    elsewhere.dispose()
    goes_on(pump)
    elsewhere.dispose()


def test_a_run_that_is_to_stop_claims_nothing_more(pump):
    done = []
    report = pump.score(progress=done.append, should_stop=lambda: len(done) == 1)
    # the second one was scored while the first was written
    assert (report.batches, pump.ledger("state")) == (2, ["done", "done", "pending"])
    goes_on(pump)


def test_a_run_that_is_stopped_at_once_plans_nothing(pump):
    assert pump.score(should_stop=lambda: True).batches == 0
    assert pump.ledger("id") == []


def test_a_batch_can_be_claimed_if_it_is_pending_or_its_lease_has_expired(pump):
    source = pump.source()
    champion = pump.store.models.champion("pump").model_id
    pump.score(should_stop=lambda: bool(pump.ledger("id")))
    assert pump.store.ledger.has_claimable("pump", pump.now)
    while pump.store.ledger.claim("pump", champion, pump.now, source.monitor.lease):
        pass
    assert not pump.store.ledger.has_claimable("pump", pump.now)
    assert pump.store.ledger.has_claimable("pump", pump.now + timedelta(minutes=16))


def test_a_lease_is_held_while_a_batch_is_computed(store):
    pump = MonitoredTable(store, lease="30ms")
    pump.put(10)
    renewed = threading.Event()
    renew = store.ledger.renew
    store.ledger.renew = lambda *args: (renew(*args), renewed.set())

    def take_long():
        pump.wait(minutes=5)
        for _ in range(2):  # the first may have begun before
            renewed.clear()
            assert renewed.wait(DEADLINE_SECONDS)
        assert not store.ledger.has_claimable("pump", pump.now)

    disturb(pump, take_long)
    assert pump.score().records == 1


def test_a_heartbeat_survives_a_database_that_is_away():
    beats, third = [], threading.Event()

    def renew():
        beats.append(threading.current_thread())
        if len(beats) == 3:
            third.set()
        raise StoreError("away")

    with heartbeat(renew, timedelta(milliseconds=1)):
        assert third.wait(DEADLINE_SECONDS)
    assert not beats[0].is_alive()


def test_a_heartbeat_ends_with_a_lost_lease():
    beats = []

    def renew():
        beats.append(threading.current_thread())
        raise LostLease(7)

    with heartbeat(renew, timedelta(milliseconds=1)):
        while not beats:
            threading.Event().wait(0.001)
        beats[0].join(DEADLINE_SECONDS)
        assert not beats[0].is_alive()
    assert len(beats) == 1
