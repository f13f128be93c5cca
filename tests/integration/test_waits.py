"""No database keeps a caller waiting for ever: locks, slow statements, stopped peers, servers that do not answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from jobs import database_calls
from jobs.api.change_limit import MAX_CHANGES
from jobs.app import open_store
from jobs.databases import open_engine, reading, writing
from jobs.dialects import dialect_of
from jobs.dialects.arrow_reader import ArrowReader
from jobs.reading.source import Source
from jobs.store import migrations
from schemas.config import MonitorConfig
from schemas.errors import SourceError, SourceTimeout, StoreError
from schemas.service import Timeouts
from tests.api_service import opened_service, serving
from tests.chaos.waiting import until
from tests.silent_network import namespace_to, proxy_to
from tests.watched_table import START, MonitoredTable

SHORT = Timeouts(connect=timedelta(seconds=1), lock=timedelta(milliseconds=200), statement=timedelta(milliseconds=500))
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
STOPPED = """
import sys, psycopg
connection = psycopg.connect(sys.argv[1])
connection.execute("SELECT monitor FROM monitors WHERE monitor = 'pump' FOR UPDATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch):
    """Let this process end an overdue call as soon as its server should have."""
    monkeypatch.setattr(database_calls, "_SERVER_SECONDS", 0.2)
    monkeypatch.setattr(database_calls, "_CANCEL_SECONDS", 0.2)


@pytest.fixture
def short_engine(postgres_url):
    engine = open_engine(postgres_url, SHORT)
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def source(short_engine):
    pump = MonitoredTable(open_store(short_engine))
    pump.put(10, 20, 30)
    source = Source("pump", MonitorConfig(**{k: v for k, v in pump.settings.items() if v is not None}), short_engine)
    source.table()
    yield source
    source.close()


@contextmanager
def locked(url, statement):
    """Hold the locks of a statement for the time of a block."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
        yield
    engine.dispose()


def backends(engine):
    """Return the processes of the server that serve other connections to the database."""
    pids = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    with engine.connect() as connection:
        return list(connection.scalars(pids))


@contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_locked_table_ends_a_read_with_the_name_of_the_limit(source, postgres_url):
    everything = source.next_range(None, 10, None)
    with locked(postgres_url, "LOCK TABLE readings IN ACCESS EXCLUSIVE MODE"):
        for read in (source.count, source.read):  # through psycopg, and through ADBC
            with pytest.raises(SourceTimeout, match=r"lock timeout\. Another transaction holds a lock on it"):
                read(everything)
    assert source.count(everything) == len(source.read(everything)) == 3


def test_an_endless_statement_is_ended(database_url, impatient):
    engine = open_engine(database_url, SHORT)
    migrations.upgrade(engine)
    with pytest.raises(StoreError, match=r"statement timeout|interrupted"), reading(engine) as connection:
        connection.execute(text(ENDLESS)).all()
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_mariadb_ends_waits_for_locks_and_slow_statements(mariadb_url):
    engine = open_engine(mariadb_url, SHORT)
    patient = open_engine(mariadb_url, SHORT.model_copy(update={"statement": timedelta(minutes=1)}))
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE a (n INTEGER PRIMARY KEY) ENGINE = InnoDB"))
        connection.execute(text("INSERT INTO a VALUES (1)"))
    held = locked(mariadb_url, "SELECT n FROM a FOR UPDATE")
    with held, pytest.raises(StoreError, match="Lock wait timeout"), writing(patient) as connection:
        connection.execute(text("UPDATE a SET n = 2"))
    with pytest.raises(StoreError, match="max_statement_time"), reading(engine) as connection:
        connection.execute(text("SELECT SLEEP(60) FROM a"))
    migrations.upgrade(engine)  # whose statements and locks may take longer
    for opened in (engine, patient):
        opened.dispose()


def test_a_limit_of_the_role_or_the_address_stays_in_force(postgres_url):
    stricter = f"{postgres_url.get_secret_value()}&options=-clock_timeout%3D70ms"
    engine = open_engine(SecretStr(stricter), SHORT)
    with reading(engine) as connection:
        limits = [connection.scalar(text(f"SHOW {name}_timeout")) for name in ("lock", "statement")]
    engine.dispose()
    assert limits == ["70ms", "500ms"]


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_server_that_accepts_and_never_answers_is_given_up(kind):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        engine = open_engine(SecretStr(f"{kind}://u@127.0.0.1:{listener.getsockname()[1]}/db"), SHORT)
        with pytest.raises(StoreError, match="time"), reading(engine):
            pass
        if kind == "postgresql":
            reader = ArrowReader(engine.url, dialect_of(engine), SHORT)
            with pytest.raises(SourceError, match="time"):
                reader.fetch(select(text("1")))
        engine.dispose()


def test_a_backend_that_hangs_is_replaced_by_a_new_connection(source, postgres_url, impatient):
    everything = source.next_range(None, 10, None)
    source.read(everything)
    admin = open_engine(postgres_url)
    with stopped(backends(admin)):
        assert source.count(everything) == 3  # the check of the pooled connection fails, and a new one is opened
        with pytest.raises(SourceTimeout, match="does not respond, so the read timed out"):
            source.read(everything)
        assert len(source.read(everything)) == 3
    admin.dispose()


def test_a_peer_that_stops_inside_a_transaction_holds_up_no_other_for_long(source, short_engine, postgres_url):
    store = open_store(short_engine)
    address = short_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [sys.executable, "-c", STOPPED, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout.readline() == "locked\n"
        os.kill(peer.pid, signal.SIGSTOP)
        with pytest.raises(StoreError, match="lock timeout"):
            store.ledger.fix_key("pump", ("id",))
        store.runs.start("pump", "score", START)
        peer.kill()
    until(lambda: _fixed(store), "the server has noticed that the peer is gone")


def _fixed(store):
    try:
        store.ledger.fix_key("pump", ("id",))
    except StoreError:
        return False
    return True


@pytest.fixture(params=[proxy_to, namespace_to], ids=["proxy", "namespace"])
def network(request, postgres):
    with request.param(f"{postgres.query['host']}/.s.PGSQL.5432") as network:
        if network is None:
            pytest.skip("this user may not create a network namespace")
        yield network


def test_a_network_that_drops_packets_ends_a_read_in_time_and_carries_the_next_one(source, network, impatient):
    timeouts = SHORT.model_copy(update={"silence": timedelta(seconds=1)})
    address = source.engine.url.set(host=network.host, port=network.port, query={})
    engine = open_engine(SecretStr(address.render_as_string(hide_password=False)), timeouts)
    remote = Source("pump", source.monitor, engine)
    everything = remote.next_range(None, 10, None)
    assert len(remote.read(everything)) == 3
    with network.silent():
        for read in (remote.count, remote.read, remote.read):
            with pytest.raises((SourceError, SourceTimeout), match=r"time|respond|refused"):
                read(everything)
    assert remote.count(everything) == len(remote.read(everything)) == 3
    remote.close()
    engine.dispose()


def test_neither_health_and_metrics_nor_lists_wait_for_labels(postgres_url):
    with opened_service(postgres_url) as service, serving(service) as client:
        label = {"target": client.post, "args": ("/anomalies/1/label", {"label": "known"})}
        calls = [threading.Thread(**label) for _ in range(10)]
        with locked(postgres_url, "SELECT monitor FROM monitors FOR UPDATE"):
            for call in calls:
                call.start()
            until(
                lambda: _waiting_labels(service.store.engine) >= MAX_CHANGES, "labels wait in every place for changes"
            )
            paths = ("/readyz", "/metrics", "/healthz", "/monitors")
            assert [client.get(path).status for path in paths] == [200] * 4
        for call in calls:
            call.join()
        assert client.get("/anomalies/1").json["label"] == "known"


def _waiting_labels(engine):
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with reading(engine) as connection:
        return connection.scalar(text(waiting))


def test_migrations_are_limited_by_no_timeout_of_statements(postgres_url):
    engine = open_engine(postgres_url, Timeouts(statement=timedelta(milliseconds=1)))
    migrations.upgrade(engine)
    with pytest.raises(StoreError, match="statement timeout"), writing(engine) as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    engine.dispose()
