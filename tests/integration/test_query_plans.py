"""Status, metrics and feedback read millions of flagged rows through an index, or not at all."""

import re
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import and_, event, insert, literal, select, union_all

from jobs.app import open_store
from jobs.databases import open_engine, reading, writing
from jobs.similar_incidents import similar_incidents
from jobs.store import AlertQuery, AnomalyQuery, AuditQuery, EventQuery, IncidentQuery, migrations
from jobs.store.labelled import is_labelled
from jobs.tuning.labelled import verdicts_of_people
from schemas.config import parse_config
from schemas.tables import anomalies, audit, batches, incidents
from tests.api_service import FakeService, serving
from tests.watched_table import MODEL

STATISTICS = {
    "sqlite": ("ANALYZE",),
    # VACUUM marks no row as visible to all whose commit is not written yet, and those of tests are asynchronous.
    "postgresql": ("SET synchronous_commit = on", "VACUUM ANALYZE"),
    "mysql": ("ANALYZE TABLE anomalies, batches, incidents",),
}
LARGE = ("anomalies", "batches", "batch_hours", "runs", "events", "incidents", "unreadable_records", "alerts", "audit")


def fill(store, now):
    """Insert 4,000 flagged rows in 400 incidents, of which few have a label or are open, and gather statistics."""
    monitor = {"monitor": "pump"}
    model_id = store.models.add("pump", MODEL, now, promote=True)
    batch = monitor | {"state": "done", "planned_at": now, "model_id": model_id, "records": 9, "anomalies": 1}
    incident = monitor | {"start_time": now, "end_time": now, "peak_time": now, "peak_score": 1.0, "records": 10}
    incident |= {"peak_severity": 1.0, "causes": [], "opened_at": now, "updated_at": now}
    anomaly = monitor | {"anomaly_score": 1.0, "p_value": 0.1, "severity": 1.0, "threshold": 1.0, "attribution": []}
    anomaly |= {"model_id": model_id, "batch_id": 1, "flagged_at": now, "record_time": now}
    with writing(store.engine) as connection:
        batch_rows = [batch | {"after_key": f"[{n}]", "upto_key": f"[{n + 1}]"} for n in range(1000)]
        connection.execute(insert(batches), batch_rows)
        states = ["open" if n < 2 else "ended" for n in range(400)]
        connection.execute(insert(incidents), [incident | {"state": state} for state in states])
        labels = ["confirmed" if n < 3 else "open" for n in range(4000)]
        rows = [anomaly | {"record_key": str(n), "incident_id": n // 10 + 1, "label": labels[n]} for n in range(4000)]
        connection.execute(insert(anomalies), rows)
    gather_statistics(store)


def gather_statistics(store):
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in STATISTICS[store.engine.dialect.name]:
            connection.exec_driver_sql(statement)


def copy_to_other_monitors(store, *tables):
    """Insert the rows of tables for four more monitors."""
    with writing(store.engine) as connection:
        for table in tables:
            names = [column.name for column in table.c if column.name not in {"id", "monitor"}]
            rows = [select(literal(name), *(table.c[name] for name in names)) for name in ("a", "b", "c", "d")]
            connection.execute(insert(table).from_select(["monitor", *names], union_all(*rows)))
    gather_statistics(store)


def executed_by(engine, query):
    """Run a query of a store, and return its statements with their parameters."""
    executed = []
    listener = ("before_cursor_execute", lambda _c, _cursor, sql, parameters, *_: executed.append((sql, parameters)))
    event.listen(engine, *listener)
    query()
    event.remove(engine, *listener)
    return executed


@pytest.fixture
def plans(store, now):
    """Return a function that runs a query of the store and returns the plan of each of its statements."""

    fill(store, now)

    def explain(query):
        executed = executed_by(store.engine, query)
        return [
            plan for sql, parameters in executed if sql.lstrip().startswith("SELECT") for plan in one(sql, parameters)
        ]

    def one(sql, parameters):
        is_sqlite = store.engine.dialect.name == "sqlite"
        with reading(store.engine) as connection:
            if not is_sqlite:
                for kind in ("seqscan", "bitmapscan"):  # which are best for small tables
                    connection.exec_driver_sql(f"SET LOCAL enable_{kind} = off")
            rows = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{sql}", parameters)
            yield sql, "\n".join(str(row[-1]) for row in rows)

    return explain


def scans(plans):
    """Return the plans that read every row of a large table."""
    whole = re.compile(rf"Seq Scan on ({'|'.join(LARGE)})\b|SCAN ({'|'.join(LARGE)})(?! USING)")
    return [plan for plan in plans if whole.search(plan[1])]


INDEXES_OF_OVERVIEWS = {
    "sum(batches.records)": "ix_batches_totals",
    "SELECT batches.id": "ix_batches_monitor_state",
    "FROM runs": "ix_runs_monitor_kind_started_at",
    "anomalies.label,": "ix_anomalies_labelled",
    "anomalies.flagged_at": "ix_anomalies_labelled",
    "FROM batch_hours": "ix_batch_hours_monitor_hour",
    "FROM incidents": "ix_incidents_monitor_state",
    "min(events.since)": "ix_events_ongoing",
}


@pytest.mark.parametrize("names", [["pump"], ["pump", "fan", "valve"]])
def test_the_status_of_monitors_reads_no_whole_table(store, plans, now, names):
    explained = plans(lambda: (store.overviews.of(names, now), store.history.newest_days(names, 14, now)))
    assert scans(explained) == []
    used = {part: [plan for sql, plan in explained if part in sql] for part in INDEXES_OF_OVERVIEWS}
    for part, index in INDEXES_OF_OVERVIEWS.items():
        assert used[part], part
        assert all(index in plan for plan in used[part]), (part, used[part])


def test_the_p_values_of_a_model_are_read_by_an_index(store, plans):
    ((_, plan), *_) = plans(lambda: store.drifts.newest_counts("pump", 1, 100))
    assert "ix_batch_profiles_monitor" in plan


def test_the_totals_of_the_ledger_are_read_from_an_index_alone(store, plans):
    (totals,) = [plan for sql, plan in plans(lambda: store.runs.status("pump")) if "late_records" in sql]
    assert "ix_batches_totals" in totals


def test_metrics_read_labels_from_the_index_of_labelled_rows(store, plans, now):
    explained = plans(lambda: store.metrics.read(["pump", "fan"], now))
    assert scans(explained) == []
    assert any("ix_anomalies_labelled" in plan for _, plan in explained)


PAGES = {
    "ix_anomalies_monitor": lambda store, _: store.anomalies.page(AnomalyQuery("pump")),
    "ix_incidents_monitor": lambda store, _: store.incidents.page(IncidentQuery("pump")),
    "ix_events_monitor": lambda store, _: store.events.page(EventQuery("pump")),
    "ix_anomalies_record_time": lambda store, now: store.anomalies.page(AnomalyQuery(until=now)),
    "ix_anomalies_monitor_record_time": lambda store, now: store.anomalies.page(AnomalyQuery("pump", since=now)),
    "ix_anomalies_entity": lambda store, _: store.anomalies.page(AnomalyQuery("pump", entity="a")),
    "ix_anomalies_labelled": lambda store, _: store.anomalies.page(AnomalyQuery("pump", label="confirmed")),
    "ix_incidents_start_time": lambda store, now: store.incidents.page(IncidentQuery(until=now)),
    "ix_incidents_monitor_end_time": lambda store, now: store.incidents.page(IncidentQuery("pump", since=now)),
    "ix_events_at": lambda store, now: store.events.page(EventQuery(since=now)),
}


def test_filtered_pages_are_read_from_an_index_in_its_order(store, plans, now):
    if store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's planner sorts tables as small as these")
    for index, query in PAGES.items():
        ((_, plan),) = plans(partial(query, store, now))
        assert f"USING INDEX {index} " in plan + " "
        assert "TEMP B-TREE" not in plan or index == "ix_anomalies_labelled", plan


PATHS = (
    "/",
    "/page/monitors/pump?days=90&by=cause",
    "/page/monitors/pump?since=2026-02-01&until=2026-03-02",
    "/page/incidents/7",
    "/page/records/7",
    "/page/events?monitor=pump&kind=gap",
    "/page/alerts",
    "/page/monitors/pump/models",
    "/page/maintenance",
)


def test_no_page_of_operators_reads_a_large_table_whole(store, plans):
    monitor = {"table": "t", "key": "id", "time": "at", "entity": "e", "numeric": ["x"]}
    config = parse_config({"monitors": {"pump": monitor}}, Path("config.toml"))
    with serving(FakeService(store, config)) as client:
        explained = {path: plans(lambda path=path: client.get(path)) for path in PATHS}
    from_newest = re.compile(r"ORDER BY (incidents|alerts)\.id DESC\s+LIMIT")  # until the limit is reached
    whole = {path: [sql for sql, _ in scans(found) if not from_newest.search(sql)] for path, found in explained.items()}
    assert whole == {path: [] for path in PATHS}
    assert all(explained.values())


@pytest.fixture
def in_mariadb(mariadb_url, now):
    """Return a filled store in MariaDB."""
    engine = open_engine(mariadb_url)
    migrations.upgrade(engine)
    store = open_store(engine)
    fill(store, now)
    yield store
    engine.dispose()


def test_mariadb_reads_labels_from_an_index_too(in_mariadb):
    c = anomalies.c
    judged = {
        "ix_anomalies_labelled": is_labelled(),
        "ix_anomalies_labelled_at": and_(c.labelled_at.is_not(None), c.label == "open"),
    }
    with reading(in_mariadb.engine) as connection:
        for index, is_judged in judged.items():
            labels = select(c.record_key, c.label).where(c.monitor == "pump", is_judged)
            sql = str(labels.compile(in_mariadb.engine, compile_kwargs={"literal_binds": True}))
            (step,) = connection.exec_driver_sql(f"EXPLAIN {sql}").mappings()
            assert (step["type"], step["key"], int(step["rows"]) < 10) == ("range", index, True), step


def test_mariadb_reads_the_status_of_monitors_from_indexes_too(in_mariadb, now):
    executed = executed_by(in_mariadb.engine, lambda: in_mariadb.overviews.of(["pump", "fan", "valve"], now))
    with reading(in_mariadb.engine) as connection:
        steps = [
            step
            for sql, parameters in executed
            if sql.lstrip().startswith("SELECT")
            for step in connection.exec_driver_sql(f"EXPLAIN {sql}", parameters).mappings()
            if step["table"] in LARGE
        ]
    assert {"anomalies", "batches", "incidents", "runs"} <= {step["table"] for step in steps}
    assert [step for step in steps if step["key"] is None] == []


def test_the_acts_of_one_actor_are_read_from_an_index(store, plans, now):
    act = {"at": now, "action": "label", "subject": "anomaly 7"}
    with writing(store.engine) as connection:
        connection.execute(insert(audit), [act | {"actor": f"key {n // 3}"} for n in range(1500)])
    ((_, plan),) = plans(lambda: store.audit.page(AuditQuery(actor="key a")))
    assert "ix_audit_actor" in plan


def test_feedback_for_a_training_starts_from_the_labelled_rows(store, plans):
    explained = plans(lambda: store.feedback.read("pump"))
    assert scans(explained) == []
    used = {index for _, plan in explained for index in re.findall(r"ix_anomalies_labelled(?:_at)?", plan)}
    assert used == {"ix_anomalies_labelled", "ix_anomalies_labelled_at"}
    assert set(store.feedback.read("pump").labels) == {"0", "1", "2"}


INDEXES_ALONE = {
    "anomalies.severity": "ix_anomalies_monitor",
    "incidents.suppressed_by": "ix_incidents_monitor",
    "sum(batches.rescorings)": "ix_batches_totals",
}


def test_feedback_and_metrics_read_long_lists_from_indexes_alone(store, plans, now):
    copy_to_other_monitors(store, anomalies, incidents)
    explained = plans(lambda: (store.feedback.read("pump"), store.metrics.read(["pump"], now)))
    is_sqlite = store.engine.dialect.name == "sqlite"
    alone = r"USING COVERING INDEX {}\b" if is_sqlite else r"Index Only Scan (?:Backward )?using {}\b"
    for part, index in INDEXES_ALONE.items():
        (plan,) = [plan for sql, plan in explained if part in sql]
        assert re.search(alone.format(index), plan), plan
        assert "TEMP B-TREE" not in plan, plan


@pytest.mark.parametrize("part", ["anomalies.severity", "incidents.suppressed_by", "events.since IS NOT NULL"])
def test_mariadb_reads_them_from_indexes_alone_too(in_mariadb, now, part):
    copy_to_other_monitors(in_mariadb, anomalies, incidents)
    read = partial(in_mariadb.feedback.read, "pump"), partial(in_mariadb.metrics.read, ["pump"], now)
    ((sql, parameters),) = [one for query in read for one in executed_by(in_mariadb.engine, query) if part in one[0]]
    with reading(in_mariadb.engine) as connection:
        steps = connection.exec_driver_sql(f"EXPLAIN {sql}", parameters).mappings().all()
    step = next(step for step in steps if step["table"] in LARGE)
    assert (step["key"], "Using index" in step["Extra"]) == (INDEXES_ALONE.get(part, "ix_events_until"), True), step


OPERATING = ("batches", "batch_hours", "anomalies", "alerts", "incidents", "incident_notes", "maintenance_windows")


def test_the_pages_of_operators_read_no_whole_table(store, plans, now):
    queries = (
        lambda: store.incident_notes.of(1),
        lambda: store.incident_notes.handling([1, 2]),
        lambda: store.maintenance_windows.of("pump"),
        lambda: store.history.first_batch("pump", now),
        lambda: store.history.newest_batches("pump", now, 100),
        lambda: store.tunings.get("pump"),
        lambda: verdicts_of_people(store, "pump", now, now),
        lambda: store.outbox.page(AlertQuery(incident_id=1)),
        lambda: similar_incidents(store.incidents.get(1), store),
    )
    whole = re.compile(rf"Seq Scan on ({'|'.join(OPERATING)})\b|SCAN ({'|'.join(OPERATING)})(?! USING)")
    explained = [plan for query in queries for plan in plans(query)]
    assert [plan for plan in explained if whole.search(plan[1])] == []
