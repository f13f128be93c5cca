"""`plumbline serve` as a process: schedules, signals, reloads, failures, late runs, trainings."""

import ctypes
import signal
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from jobs.app import App
from jobs.databases import open_engine
from jobs.scoring.run import plan_batches
from schemas.config import load_config
from tests.e2e.serve_process import serving
from tests.silent_network import proxy_to
from tests.workspace import PUMP, RECORDS, SMALL_MODEL

NEVER = "never"
ENDLESS_MODEL = "members = 2\nhidden = 16\nsteps = 10000000\npatience = 10000000"
INSERT = (
    "INSERT INTO pump_readings (id, read_at, pump, flow, pressure, is_open, mode, is_fault)"
    " SELECT id + (SELECT max(id) FROM pump_readings), read_at, pump, flow, pressure, is_open, mode, is_fault"
    " FROM pump_readings WHERE id = 1"
)
SCORED = (
    "SELECT monitor FROM batches WHERE monitor = :monitor AND state = 'done'"
    " GROUP BY monitor HAVING sum(records) >= :records"
)
RESULTS = (
    "anomalies",
    "batch_hours",
    "batch_profiles",
    "batches",
    "incidents",
    "runs",
    "events",
    "workers",
    "monitors",
)


def configure(plant, service="api = false", base=PUMP, model=SMALL_MODEL, **monitors):
    """Write config.toml with monitors of the same table, each with its own settings."""
    sections = [f'[store]\nurl = "{plant.url}"\n[service]\nlog = "json"\n{service}\n']
    for name, settings in monitors.items():
        sections.append(f"[monitors.{name}]\n{base}{settings}\n[monitors.{name}.model]\n{model}\n")
    (plant.folder / "config.toml").write_text("".join(sections), encoding="utf-8")


def as_stored(plant, time):
    """Convert a time to what the driver of the database accepts."""
    return time if plant.url.startswith("postgresql") else f"{time:%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def locked_ledger(plant):
    """Yield a connection to the store that keeps others from planning or claiming batches and from ending runs."""
    engine = open_engine(load_config(plant.folder / "config.toml", {}).store.url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE batches, runs IN SHARE MODE"))
        yield connection
    engine.dispose()


@contextmanager
def locked(plant, statement):
    """Hold the locks of a statement for the time of a block."""
    engine = open_engine(load_config(plant.folder / "config.toml", {}).store.url)
    with engine.begin() as connection:
        connection.execute(text(statement))
        yield
    engine.dispose()


def catch_in_a_run(plant, stack):
    """Lock the ledger until the stack closes, if a run is in progress; return whether one is."""
    with ExitStack() as attempt:
        connection = attempt.enter_context(locked_ledger(plant))
        if connection.execute(text("SELECT 1 FROM runs WHERE outcome IS NULL")).first():
            stack.push(attempt.pop_all())
            return True
    return False


@pytest.fixture
def site(plant):
    """A plant with champions of two monitors and no scored records."""
    for table in RESULTS:
        plant.query(f"DELETE FROM {table}")
    plant.query("DELETE FROM retrain_requests")
    plant.query("DELETE FROM models WHERE monitor = 'fan'")
    columns = "state, created_at, promoted_at, sha256, artifact, manifest, card"
    plant.query(f"INSERT INTO models (monitor, {columns}) SELECT 'fan', {columns} FROM models WHERE monitor = 'pump'")
    plant.query("DELETE FROM pump_readings WHERE id > :last", last=RECORDS)
    return plant


def test_two_monitors_are_scored_by_their_schedules_until_sigterm(site):
    configure(site, pump='score_every = "1s"', fan='score_every = "2s"')
    with serving(site) as process:
        for monitor in ("pump", "fan"):
            process.until_found(SCORED, monitor=monitor, records=RECORDS)
        site.query(INSERT)
        for monitor in ("pump", "fan"):
            process.until_found(SCORED, monitor=monitor, records=RECORDS + 1)
        (worker,) = process.until_found("SELECT id, next_runs FROM workers WHERE stopped_at IS NULL")
        assert "pump" in str(worker[1])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert site.query("SELECT count(*) FROM workers WHERE stopped_at IS NULL") == [(0,)]
    by = "SELECT DISTINCT worker, outcome, scheduled_for IS NULL OR scheduled_for > started_at FROM runs"
    assert site.query(by) == [(worker[0], "done", False)]
    assert (
        site.query("SELECT monitor, count(*), sum(records) FROM batch_hours WHERE records < 0 GROUP BY monitor") == []
    )
    assert {line["monitor"] for line in process.logged("scored")} == {"pump", "fan"}
    assert all(line["run"] for line in process.logged("scored"))


def test_sigterm_finishes_the_current_batch_and_the_next_process_goes_on(site):
    small = PUMP.replace("batch_size = 300", "batch_size = 20")
    configure(site, base=small, pump='score_every = "1s"')
    with serving(site) as process:
        process.until_found("SELECT 1 FROM batches WHERE state = 'done'")
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    left = site.query("SELECT state, count(*) FROM batches GROUP BY state ORDER BY state")
    assert [state for state, _ in left] == ["done", "pending"]
    assert site.query("SELECT DISTINCT outcome FROM runs") == [("done",)]

    configure(site, base=small, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:  # pending batches need no schedule
        process.until_found(SCORED, monitor="pump", records=RECORDS)
    assert site.query("SELECT sum(records), sum(attempts), count(*) FROM batches") == [(RECORDS, 42, 42)]


def test_a_signal_that_another_thread_receives_stops_the_service(site):
    configure(site, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:
        pid, before = process.process.pid, threads_of(process)
        ((seen_at,),) = process.until_found("SELECT seen_at FROM workers")
        process.until_found("SELECT 1 FROM workers WHERE seen_at <> :before", before=seen_at)
        lasting = min(before & threads_of(process) - {pid})  # a signal to a thread that ends is lost
        assert ctypes.CDLL(None).tgkill(pid, lasting, signal.SIGTERM) == 0
        assert process.ended() == 0, process.lines


def threads_of(process):
    return {int(task.name) for task in Path(f"/proc/{process.process.pid}/task").iterdir()}


def test_a_second_signal_ends_at_once(site):
    configure(site, pump='score_every = "1s"')
    with serving(site) as process, ExitStack() as stack:
        process.until(partial(catch_in_a_run, site, stack))
        process.signal(signal.SIGTERM)
        process.until_logged("stopping")
        process.signal(signal.SIGTERM)
        assert process.ended() == 128 + signal.SIGTERM


def test_sigterm_ends_a_run_that_waits_for_a_lock(site):
    configure(site, pump='score_every = "1s"')
    with serving(site) as process, ExitStack() as stack:
        process.until(partial(catch_in_a_run, site, stack))
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


def test_sigterm_ends_a_training_while_the_store_is_locked(site):
    if not site.url.startswith("sqlite"):
        pytest.skip("in PostgreSQL, a statement that waits is cancelled")
    configure(site, pump=f'score_every = "{NEVER}"', model=ENDLESS_MODEL)
    config = site.folder / "config.toml"
    config.write_text(config.read_text() + '[store.timeouts]\nlock = "1h"\n')
    site.must("retrain", "pump")
    with serving(site) as process:
        process.until_found("SELECT 1 FROM retrain_requests WHERE state = 'running'")
        with locked(site, "UPDATE monitors SET scored_until = NULL"):
            process.signal(signal.SIGTERM)
            assert process.ended() == 0


def test_a_locked_table_is_an_event_until_it_is_free_and_holds_up_no_other_monitor(site):
    if site.url.startswith("sqlite"):
        pytest.skip("SQLite has no locks of tables")
    configure(site, 'api = false\nwaiting_after = "1s"', pump='score_every = "1s"', fan='score_every = "1s"')
    head, fan, rest = (site.folder / "config.toml").read_text().partition("[monitors.fan]")
    (site.folder / "config.toml").write_text(head + fan + rest.replace("pump_readings", "fan_readings", 1))
    site.query("CREATE TABLE fan_readings AS SELECT * FROM pump_readings")
    with serving(site) as process:
        with locked(site, "LOCK TABLE fan_readings IN ACCESS EXCLUSIVE MODE"):
            found = "SELECT message FROM events WHERE kind = 'waiting' AND monitor = 'fan' AND until IS NULL"
            ((message,),) = process.until_found(found)
            process.until_found(SCORED, monitor="pump", records=RECORDS)
        process.until_found("SELECT 1 FROM events WHERE kind = 'waiting' AND until IS NOT NULL")
        process.until_found(SCORED, monitor="fan", records=RECORDS)
    site.query("DROP TABLE fan_readings")
    assert "another transaction holds a lock" in message


def test_a_silent_network_is_an_event_that_holds_up_no_other_monitor_and_no_end(site, postgres):
    if site.url.startswith("sqlite"):
        pytest.skip("SQLite has no network")
    with proxy_to(f"{postgres.query['host']}/.s.PGSQL.5432") as network:
        address = make_url(site.url).set(host=network.host, port=network.port, query={})
        fan = f'score_every = "1s"\nsource = "{address.render_as_string(hide_password=False)}"'
        configure(site, 'api = false\nwaiting_after = "1s"', pump='score_every = "1s"', fan=fan)
        with serving(site) as process:
            process.until_found(SCORED, monitor="fan", records=RECORDS)
            with network.silent():
                process.until_found("SELECT 1 FROM events WHERE kind = 'waiting' AND monitor = 'fan' AND until IS NULL")
                site.query(INSERT)
                process.until_found(SCORED, monitor="pump", records=RECORDS + 1)
                process.signal(signal.SIGTERM)
                assert process.ended() == 0


def test_sighup_reloads_a_valid_configuration_and_refuses_an_invalid_one(site):
    configure(site, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:
        configure(site, pump='score_every = "61 * * * *"')
        process.signal(signal.SIGHUP)
        process.until_found("SELECT 1 FROM events WHERE kind = 'config_refused' AND message LIKE '%61 * * * *%'")
        configure(site, pump=f'score_every = "{NEVER}"', fan='score_every = "1s"')
        process.signal(signal.SIGHUP)
        process.until_found(SCORED, monitor="fan", records=RECORDS)
        assert site.must("status").out.count("no schedule") == 1
        configure(site, pump='score_every = "1s"')
        process.signal(signal.SIGHUP)
        process.until_found(SCORED, monitor="pump", records=RECORDS)
    assert any("61 * * * *" in line["message"] for line in process.logged("The changed configuration was refused"))


def test_a_changed_file_is_reloaded_and_a_change_of_a_fixed_section_is_refused(site):
    configure(site, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:
        configure(site, pump='score_every = "1s"')
        process.until_found(SCORED, monitor="pump", records=RECORDS)
        configure(site, "api = false\nmax_records = 7", pump='score_every = "1s"')
        refused = process.until_found("SELECT message FROM events WHERE kind = 'config_refused'")
    assert "[service] cannot change while the service runs" in refused[0][0]


def test_a_run_that_was_missed_while_no_process_served_is_made_up_for_and_recorded(site):
    configure(site, pump='score_every = "0 0 1 1 *"', fan=f'score_every = "{NEVER}"')
    last = datetime(2025, 12, 31, tzinfo=UTC)
    run = "INSERT INTO runs (monitor, kind, started_at, outcome, worker) VALUES (:monitor, 'score', :at, 'done', 'w')"
    for monitor in ("pump", "fan"):
        site.query(run, monitor=monitor, at=as_stored(site, last))
    with serving(site) as process:
        process.until_found(SCORED, monitor="pump", records=RECORDS)
    late = site.query("SELECT monitor, scheduled_for FROM runs WHERE scheduled_for IS NOT NULL")
    assert [(monitor, str(time)[:19]) for monitor, time in late] == [("pump", "2026-01-01 00:00:00")]
    ((monitor, message),) = site.query("SELECT monitor, message FROM events WHERE kind = 'missed_run'")
    assert monitor == "pump"
    assert "was due at 2026-01-01 00:00:00 UTC and started" in message


def test_a_failing_monitor_is_retried_and_does_not_affect_the_others(site):
    configure(site, pump='score_every = "1s"', fan='score_every = "1s"')
    broken = (site.folder / "config.toml").read_text()
    head, fan, rest = broken.partition("[monitors.fan]")
    (site.folder / "config.toml").write_text(head + fan + rest.replace("pump_readings", "gone", 1))
    with serving(site) as process:
        process.until_found(SCORED, monitor="pump", records=RECORDS)
        process.until_found("SELECT 1 FROM events WHERE kind = 'failing' AND monitor = 'fan' AND until IS NULL")
        site.query("CREATE VIEW gone AS SELECT * FROM pump_readings")
        process.until_found(SCORED, monitor="fan", records=RECORDS)
        process.until_found("SELECT 1 FROM events WHERE kind = 'failing' AND until IS NOT NULL")
        site.query("DROP VIEW gone")
    failed = site.query("SELECT DISTINCT monitor, message FROM runs WHERE outcome = 'failed'")
    assert {monitor for monitor, _ in failed} == {"fan"}


def test_a_retrain_request_is_processed_in_a_child_process(site):
    configure(site, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:
        site.query("INSERT INTO retrain_requests (monitor) VALUES ('pump')")
        with pytest.raises(DBAPIError, match="There is no monitor of this name"):
            site.query("INSERT INTO retrain_requests (monitor) VALUES ('nobody')")
        process.until_found("SELECT 1 FROM retrain_requests WHERE monitor = 'pump' AND state = 'done'")
    assert process.logged("training started")


def test_features_and_rates_that_change_while_the_service_runs(site):
    configure(site, pump='score_every = "1s"')
    with serving(site) as process:
        process.until_found(SCORED, monitor="pump", records=RECORDS)
        other = PUMP.replace('"flow", "pressure"', '"flow"').replace('["mode"]', '["mode", "pump"]')
        configure(site, base=other, pump='score_every = "1s"')
        process.until_logged("configuration reloaded")
        site.query(INSERT)
        process.until_found(SCORED, monitor="pump", records=RECORDS + 1)
        ((message,),) = process.until_found("SELECT message FROM events WHERE kind = 'features_changed'")
        assert "config.toml now adds pump and leaves out pressure for monitor 'pump'" in message
        rate = 'score_every = "1s"\nfalse_positive_rate = 0.00001'
        configure(site, base=PUMP.replace("false_positive_rate = 0.01", ""), pump=rate)
        ((message,),) = process.until_found("SELECT message FROM events WHERE kind = 'config_refused'")
        assert "Monitor 'pump': A false-positive rate of 0.00001 needs" in message
    assert site.query("SELECT count(*) FROM runs WHERE outcome = 'failed'") == [(0,)]


def test_a_training_ends_with_the_service_and_its_request_stays_pending(site):
    models = site.query("SELECT count(*) FROM models")
    configure(site, model=ENDLESS_MODEL, pump=f'score_every = "{NEVER}"')
    site.query("INSERT INTO retrain_requests (monitor) VALUES ('pump')")
    with serving(site) as process:
        process.until_found("SELECT 1 FROM retrain_requests WHERE state = 'running'")
    assert site.query("SELECT state, attempts FROM retrain_requests") == [("pending", 0)]
    configure(site, pump=f'score_every = "{NEVER}"')
    with serving(site) as process:
        process.until_found("SELECT 1 FROM retrain_requests WHERE state = 'done'")
    assert site.query("SELECT count(*) FROM models") == [(models[0][0] + 1,)]


def test_the_api_responds_until_the_service_stops(site):
    configure(site, "port = 0", pump='score_every = "1s"')
    with serving(site) as process:
        port = process.logged("API listening")[0]["message"].split()[-1]
        for path in ("healthz", "readyz", "monitors"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                assert answer.status == 200
        process.until_found(SCORED, monitor="pump", records=RECORDS)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60)


def test_workers_score_what_is_planned_and_the_death_of_one_loses_and_duplicates_nothing(site):
    small = PUMP.replace("batch_size = 300", 'batch_size = 20\nlease = "1s"')
    configure(site, base=small, pump='score_every = "1s"')
    with serving(site, "work") as survivor, serving(site, "work") as other:
        with App.opened(site.folder / "config.toml") as app:
            plan_batches(app.source("pump"), app.store, app.clock)
        site.query(INSERT)
        survivor.until_found("SELECT 1 FROM batches WHERE state = 'done'")
        other.process.kill()
        other.process.wait()
        survivor.until_found(SCORED, monitor="pump", records=RECORDS)
    assert site.query("SELECT count(*), sum(records), min(state) FROM batches") == [(42, RECORDS, "done")]
    assert site.query("SELECT sum(records) FROM batch_hours") == [(RECORDS,)]
    assert site.query("SELECT count(*) FROM runs") == [(0,)]
    assert site.query("SELECT count(*) FROM workers WHERE stopped_at IS NOT NULL") == [(1,)]
