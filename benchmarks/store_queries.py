"""Benchmark of the queries of a store that has grown: ``python -m benchmarks.store_queries [ADDRESS]``.

A store of 50 monitors is filled by bulk SQL with 100,000 batches, 200,000 incidents of ten flagged rows, and 2,000,000
flagged rows, of which two in a thousand have a label, all of one monitor; `--scale` makes all of it smaller. The best
of five calls counts. Without an address the store is an SQLite file in a temporary folder.

Progress goes to stderr, the table to stdout.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import Engine, text

from benchmarks.processes import print_progress
from benchmarks.report import markdown_table
from detector.records.card import RecordCard
from jobs.app import open_store
from jobs.databases import open_engine, writing
from jobs.store import AnomalyQuery, EventQuery, IncidentQuery, NewModel, Store, migrations
from schemas.service import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=300)
MONITORS = 50
CALLS = 5

_ENDLESS = timedelta(days=1)  # no statement that fills a table is given up

_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count}) ",
    "postgresql": "WITH numbers(n) AS (SELECT generate_series(0, {count} - 1)) ",
    "mysql": "WITH numbers(n) AS (SELECT seq - 1 FROM seq_1_to_{count}) ",
}
_TIMES = {  # a year up to now, in the order of the numbers
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '2025-03-01', '+' || (n * 31536000 / {count}) || ' seconds')",
    "postgresql": "timestamptz '2025-03-01 00:00:00+00' + (n * 31536000.0 / {count}) * interval '1 second'",
    "mysql": "TIMESTAMPADD(SECOND, n * 31536000 DIV {count}, TIMESTAMP '2025-03-01 00:00:00')",
}
_A_DAY = {
    "sqlite": "'2026-02-28 12:00:00.000000'",
    "postgresql": "timestamptz '2026-02-28 12:00:00+00'",
    "mysql": "TIMESTAMP '2026-02-28 12:00:00'",
}
_STATISTICS = {
    "sqlite": "ANALYZE",
    "postgresql": "VACUUM ANALYZE",
    "mysql": "ANALYZE TABLE batches, incidents, anomalies, events, batch_hours",
}


@dataclass(frozen=True)
class Size:
    """The number of rows of a store."""

    batches: int = 100_000
    incidents: int = 200_000
    anomalies: int = 2_000_000

    def scaled(self, scale: float) -> "Size":
        """Return a size that is a share of this one."""
        return Size(*(max(MONITORS, round(count * scale)) for count in vars(self).values()))


def fill(engine: Engine, size: Size) -> Store:
    """Create a store with its rows, and return it."""
    migrations.upgrade(engine)
    store = open_store(engine)
    for number in range(MONITORS):
        model = NewModel(b"\x00", "ab" * 32, {"format": 1, "about": {}, "config": {}, "columns": []}, RecordCard())
        store.models.add(f"m{number}", model, NOW, promote=True)
    for table, statement in _statements(engine.dialect.name, size).items():
        print_progress(f"filling {table}")
        with writing(engine) as connection:
            if engine.dialect.name == "mysql":
                connection.exec_driver_sql("SET sql_mode = 'PIPES_AS_CONCAT'")
            connection.execute(text(statement))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(_STATISTICS[engine.dialect.name])
    return store


def queries(store: Store) -> Mapping[str, Callable[[], object]]:
    """Return the queries by what they are for."""
    names = [f"m{number}" for number in range(MONITORS)]
    anomalies, incidents, events = store.anomalies.page, store.incidents.page, store.events.page
    return {
        "status of one monitor": partial(store.overviews.get, "m7", NOW),
        "metrics of 50 monitors": partial(store.metrics.read, names, NOW),
        "feedback before a training": partial(store.feedback.read, "m7"),
        "anomalies of a label": partial(anomalies, AnomalyQuery("m7", label="confirmed")),
        "anomalies before an old time": partial(anomalies, AnomalyQuery(until=OLD)),
        "anomalies of a monitor before an old time": partial(anomalies, AnomalyQuery("m7", until=OLD)),
        "anomalies of an entity": partial(anomalies, AnomalyQuery("m7", entity="e7")),
        "a page deep in the list": partial(anomalies, AnomalyQuery(until=OLD, before_id=1000)),
        "incidents before an old time": partial(incidents, IncidentQuery(until=OLD)),
        "incidents of an entity": partial(incidents, IncidentQuery("m7", entity="e7")),
        "events since a time": partial(events, EventQuery(since=OLD)),
    }


def measure(query: Callable[[], object]) -> float:
    """Return the milliseconds of the fastest of some calls."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        query()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    with grown_store("Times the queries of a store that has grown.", arguments) as store:
        rows = [(name, f"{measure(query):.1f}") for name, query in queries(store).items()]
    sys.stdout.write("\n".join(markdown_table(("query", "milliseconds"), rows)) + "\n")


@contextmanager
def grown_store(description: str, arguments: Sequence[str] | None) -> "Iterator[Store]":
    """Yield a filled store, of the address and the size that the arguments of a benchmark name."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("address", nargs="?", help="of an empty SQLite, PostgreSQL or MariaDB database")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows; default 1")
    parser.add_argument("--filled", action="store_true", help="measure the store that an earlier run filled")
    options = parser.parse_args(arguments)
    with opened_engine(options.address) as engine:
        yield open_store(engine) if options.filled else fill(engine, Size().scaled(options.scale))


@contextmanager
def opened_engine(address: str | None) -> "Iterator[Engine]":
    """Open the database of an address, or an SQLite file in a temporary folder without one."""
    with tempfile.TemporaryDirectory(prefix="plumbline-queries-") as folder:
        url = address or f"sqlite:///{Path(folder) / 'plumbline.db'}"
        engine = open_engine(SecretStr(url), Timeouts(statement=_ENDLESS))
        yield engine
        engine.dispose()


def _statements(dialect: str, size: Size) -> Mapping[str, str]:
    """Return the statement that fills each table."""

    def insert(table: str, columns: str, values: str, count: int) -> str:
        numbers, when = _NUMBERS[dialect].format(count=count), _TIMES[dialect].format(count=count)
        return f"INSERT INTO {table} ({columns}) {numbers}SELECT {values.format(time=when)} FROM numbers"

    monitor, a_day = f"'m' || (n % {MONITORS})", _A_DAY[dialect]
    peak = "monitor, entity, state, start_time, end_time, peak_time, peak_score, peak_severity, records, causes"
    flagged = "monitor, record_key, record_time, entity, anomaly_score, p_value, severity, threshold, attribution"
    ten_of_one_monitor = f"(n - n % {10 * MONITORS}) / 10 + n % {MONITORS}"
    incident = f"({ten_of_one_monitor}) % {size.incidents} + 1"
    label = "CASE WHEN n % 1000 = 7 THEN 'confirmed' WHEN n % 1000 = 507 THEN 'false_positive' ELSE 'open' END"
    state = f"CASE WHEN n >= {size.incidents} - 2 * {MONITORS} THEN 'open' ELSE 'ended' END"
    return {
        "batches": insert(
            "batches",
            "monitor, after_key, upto_key, state, planned_at, finished_at, model_id, records, anomalies",
            f"{monitor}, '[' || n || ']', '[' || (n + 1) || ']', 'done', {{time}}, {{time}}, n % {MONITORS} + 1,"
            " 1000, 20",
            size.batches,
        ),
        "incidents": insert(
            "incidents",
            f"{peak}, opened_at, updated_at",
            f"{monitor}, 'e' || (n % 2000), {state}, {{time}}, {{time}}, {{time}},"
            " 5.0, 50.0, 10, '[]', {time}, {time}",
            size.incidents,
        ),
        "anomalies": insert(
            "anomalies",
            f"{flagged}, model_id, batch_id, flagged_at, label, incident_id",
            f"{monitor}, CAST(n AS VARCHAR(20)), {{time}}, 'e' || (n % 2000), 5.0, 0.001, 50.0, 3.0, '[]',"
            f" n % {MONITORS} + 1, n % {size.batches} + 1, {{time}}, {label}, {incident}",
            size.anomalies,
        ),
        "events": insert("events", "monitor, kind, at, message", f"{monitor}, 'late', {{time}}, 'late'", size.batches),
        "hours": insert(
            "batch_hours",
            "batch_id, hour, monitor, records, anomalies",
            f"n + 1, {a_day}, {monitor}, 1000, 20",
            size.batches,
        ),
    }


if __name__ == "__main__":
    main()
