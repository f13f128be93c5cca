"""Benchmark of the size of a store that serves for a year: ``python -m benchmarks.retention``.

The rows that a service would write are inserted into an SQLite store by bulk SQL, day by day, and after each day the
store is pruned with the default settings, as `serve` does every hour. Two services are simulated:

- a schedule of 10 seconds, with ten records in each batch, for a year;
- 2,000 entities every five minutes with tracked thresholds, for as many days as the size needs to become steady.

Progress goes to stderr, the table to stdout.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, event, text

from benchmarks.processes import print_progress
from benchmarks.report import markdown_table
from jobs.app import open_store
from jobs.databases import open_engine, reading, writing
from jobs.retention import prune
from jobs.store import Store, migrations
from schemas.config import Config

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MIB = 2**20
SECONDS_PER_DAY = 86_400
ANOMALY_SHARE = 0.01
RECORDS_PER_ASSESSMENT = 200
FEATURES = tuple(f"channel_{number}" for number in range(10))
PROFILE = json.dumps({name: [200] * 10 for name in (*FEATURES, "p_value")})
CAUSE = {"feature": FEATURES[0], "share": 0.512345, "deviation": 4.123456, "value": 71.25, "expected": 48.1234}
STATE = json.dumps({"rate": 0.01, "threshold": 3.1234567890123, "spread": 0.8123456789, "before": None, "calm": 0})
TABLES = ("batches", "batch_hours", "batch_profiles", "trackers", "runs", "drifts", "drift_features", "anomalies")

_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count}) "
_TIME = "strftime('%Y-%m-%d %H:%M:%S.000000', :day, '+' || (n * :step) || ' seconds')"
_OF_DAY = "planned_at >= strftime('%Y-%m-%d %H:%M:%S.000000', :day)"


@dataclass(frozen=True)
class Scenario:
    """A service that is simulated.

    Attributes:
        name: in the table of results.
        step: seconds between two scoring runs.
        records: number of records in a batch.
        entities: number of entities with tracked thresholds; 0 without any.
        days: number of simulated days.
    """

    name: str
    step: int
    records: int
    entities: int
    days: int

    @property
    def batches(self) -> int:
        """The number of batches a day."""
        return SECONDS_PER_DAY // self.step


@dataclass(frozen=True)
class Size:
    """The size of a store after some days."""

    days: int
    mebibytes: float
    rows: dict[str, int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retention", description=__doc__)
    parser.add_argument("--days", type=int, default=365, help="days of the schedule of 10 seconds")
    parser.add_argument("--step", type=int, default=10, help="seconds between two runs of the first schedule")
    parser.add_argument("--entities", type=int, default=2_000, help="entities with tracked thresholds")
    parser.add_argument("--entity-days", type=int, default=21, help="days of the entities")
    parser.add_argument("--keep-all", action="store_true", help="insert without pruning, for comparison")
    options = parser.parse_args(arguments)
    scenarios = (
        Scenario(f"{options.step} s, 10 records a batch", options.step, 10, 0, options.days),
        Scenario(f"5 min, {options.entities:,} entities", 300, options.entities, options.entities, options.entity_days),
    )
    for scenario in scenarios:
        if scenario.days:
            sizes, slowest = simulate(scenario, is_pruned=not options.keep_all)
            sys.stdout.write(f"{scenario.name}; longest pruning of a day {slowest:.1f} s\n\n")
            lines = markdown_table(["days", "MiB", *TABLES], [_row(size) for size in sizes])
            sys.stdout.write("\n".join(lines) + "\n\n")
    return 0


def simulate(scenario: Scenario, *, is_pruned: bool) -> tuple[list[Size], float]:
    """Return the sizes of a store over time, and the longest pruning in seconds."""
    sizes, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(SecretStr(f"sqlite:///{Path(folder) / 'store.db'}"))
        event.listen(engine, "connect", _trust_the_disk)
        migrations.upgrade(engine)
        store = open_store(engine)
        _add_champion(engine)
        for day in range(scenario.days):
            now = START + (day + 1) * DAY
            _insert_day(engine, scenario, day)
            if is_pruned:
                slowest = max(slowest, _seconds(partial(_prune, store, now)))
            if day + 1 == scenario.days or (day + 1) % max(1, scenario.days // 6) == 0:
                sizes.append(_size(engine, day + 1))
                print_progress(f"{scenario.name}: day {day + 1}, {sizes[-1].mebibytes:.0f} MiB")
        engine.dispose()
    return sizes, slowest


def _trust_the_disk(connection: Any, _record: Any) -> None:
    """Wait for no disk: the store is thrown away."""
    connection.execute("PRAGMA synchronous = OFF")


def _row(size: Size) -> list[str]:
    return [str(size.days), f"{size.mebibytes:,.0f}", *(f"{size.rows[name]:,}" for name in TABLES)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _prune(store: Store, at: datetime) -> None:
    monitor = {"table": "readings", "key": "id", "time": "read_at", "entity": "pump", "numeric": FEATURES}
    config = Config.model_validate({"monitors": {"pump": monitor}})
    prune(config, store, lambda: at, config.monitors)


def _add_champion(engine: Engine) -> None:
    model = (
        "INSERT INTO models (id, monitor, state, created_at, promoted_at, sha256, artifact, manifest, card) "
        "VALUES (1, 'pump', 'champion', :at, :at, 'ab', :artifact, '{}', '{}')"
    )
    with writing(engine) as connection:
        connection.execute(text(model), {"at": _stored(START), "artifact": b"\0" * MIB})
        connection.execute(text("INSERT INTO monitors (monitor) VALUES ('pump')"))


def _insert_day(engine: Engine, scenario: Scenario, day: int) -> None:
    """Insert the rows of a day: the recounts, batches with their details, runs, drift assessments and anomalies."""
    entities = json.dumps({f"entity-{n}": 1 for n in range(scenario.entities)}) if scenario.entities else None
    given = {
        "day": _stored(START + day * DAY),
        "now": _stored(START + (day + 1) * DAY),
        "tomorrow": _stored(START + (day + 2) * DAY),
        "first": day * scenario.batches,
        "step": scenario.step,
        "records": scenario.records,
        "flagged": ANOMALY_SHARE * scenario.records,
        "entities": entities,
        "profile": PROFILE,
        "causes": json.dumps([CAUSE] * 5),
        "state": STATE,
    }
    with writing(engine) as connection:
        for statement in _statements(scenario):
            connection.execute(text(statement), {name: given[name] for name in given if f":{name}" in statement})


def _statements(scenario: Scenario) -> list[str]:
    each_batch = _NUMBERS.format(count=scenario.batches)
    assessments = scenario.batches * scenario.records // max(RECORDS_PER_ASSESSMENT, scenario.records)
    each_assessment = _NUMBERS.format(count=assessments)
    each_anomaly = _NUMBERS.format(count=round(ANOMALY_SHARE * scenario.batches * scenario.records))
    each_feature, each_entity = _NUMBERS.format(count=len(FEATURES)), _NUMBERS.format(count=max(1, scenario.entities))
    key = "CAST((:first + n{0}) * :records AS TEXT)"
    after = f"CASE WHEN :first + n = 0 THEN '' ELSE '[' || {key.format('')} || ']' END"
    statements = [
        "UPDATE batches SET recounted_at = :now, recount_at = :tomorrow WHERE recount_at < :now",
        (
            "INSERT INTO batches (id, monitor, after_key, upto_key, state, planned_at, attempts, model_id, "
            "finished_at, records, anomalies, counted, checksum, recounted_at, recount_at, entities) "
            f"{each_batch} "
            f"SELECT :first + n + 1, 'pump', {after}, '[' || {key.format(' + 1')} || ']', 'done', {_TIME}, 1, "
            f"1, {_TIME}, :records, :flagged, :records, '123456789 987654321', {_TIME}, {_TIME}, :entities FROM numbers"
        ),
        (
            "INSERT INTO batch_hours (batch_id, hour, monitor, records, anomalies) SELECT id, "
            "strftime('%Y-%m-%d %H:00:00.000000', planned_at), monitor, records, anomalies FROM batches "
            f"WHERE {_OF_DAY}"
        ),
        (
            "INSERT INTO batch_profiles (batch_id, monitor, model_id, records, counts) "
            f"SELECT id, monitor, 1, records, :profile FROM batches WHERE {_OF_DAY}"
        ),
        (
            "INSERT INTO runs (monitor, kind, started_at, finished_at, outcome, counts, worker) "
            f"{each_batch} SELECT 'pump', 'score', {_TIME}, {_TIME}, 'done', "
            '\'{"model_id": 1, "batches": 1, "records": 10, "anomalies": 0}\', \'host:1:ab\' FROM numbers'
        ),
        (
            "INSERT INTO drifts (monitor, model_id, from_batch, upto_batch, records, assessed_at, ks_statistic, "
            f"ks_p_value, is_drift) {each_assessment} "
            "SELECT 'pump', 1, :first + n, :first + n + 1, 2000, :day, .01, .5, 0 FROM numbers"
        ),
        (
            f"INSERT INTO drift_features (drift_id, feature, psi) {each_feature} "
            "SELECT drifts.id, 'channel_' || n, .01 FROM drifts, numbers WHERE assessed_at = :day"
        ),
        (
            "INSERT INTO anomalies (monitor, record_key, record_key_int, record_time, entity, anomaly_score, p_value, "
            "severity, threshold, top_feature, attribution, model_id, batch_id, flagged_at) "
            f"{each_anomaly} SELECT 'pump', :first || '-' || n, n, :day, 'entity-' || (n % 2000), 5.1, .001, 60, 4.2, "
            "'channel_0', :causes, 1, :first + 1, :day FROM numbers"
        ),
    ]
    trackers = (
        f"INSERT INTO trackers (model_id, entity, batch_id, state_before, state_after) {each_entity} "
        f"SELECT 1, 'entity-' || n, batches.id, :state, :state FROM batches, numbers WHERE {_OF_DAY}"
    )
    return [*statements, trackers] if scenario.entities else statements


def _stored(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _size(engine: Engine, days: int) -> Size:
    with reading(engine) as connection:
        pages, free, page_size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        rows = {name: int(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()) for name in TABLES}
    return Size(days, (pages - free) * page_size / MIB, rows)


if __name__ == "__main__":
    sys.exit(main())
