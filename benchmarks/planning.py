"""Benchmark of planning and recounting: ``python -m benchmarks.planning``.

It creates its own table in a temporary PostgreSQL, plans its batches as one planner does, and counts each of them again
as a search for late records does. The figures are by processor time of this process and of the database's, so they
hold on a busy machine too.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.speed.setting import temporary_database
from benchmarks.speed.table import sensors
from jobs.app import open_store
from jobs.databases import open_engine, reading, writing
from jobs.reading.source import Source
from jobs.scoring.run import plan_batches
from jobs.store import Store, migrations
from schemas.config import MonitorConfig
from schemas.keys import KeyRange
from schemas.tables import batches

TABLE = "records"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_BACKENDS = text("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Site:
    """A table without scores."""

    store: Store
    source: Source
    rows: int

    def plan(self) -> None:
        """Plan the whole table."""
        with writing(self.store.engine) as connection:
            connection.execute(batches.delete())
        plan_batches(self.source, self.store, lambda: NOW)

    def recount(self) -> None:
        """Count the records of each batch, with their checksum."""
        size = self.source.monitor.batch_size
        for start in range(0, self.rows, size):
            self.source.fingerprint(KeyRange((start,) if start else None, (start + size,)))

    def rate(self, work: Callable[[], None]) -> float:
        """Return for how many records a second of processor time suffices."""
        before = self._cpu_seconds()
        work()
        return self.rows / (self._cpu_seconds() - before)

    def _cpu_seconds(self) -> float:
        with reading(self.store.engine) as connection:
            backends = connection.scalars(_BACKENDS).all()
        return time.process_time() + sum(map(_cpu_seconds_of, backends))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if it succeeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="records of the table (default: 1000000)")
    parser.add_argument("--columns", type=int, default=38, help="numeric columns (default: 38)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each rate (default: 3)")
    options = parser.parse_args(arguments)
    with _site(options.rows, options.columns) as site:
        rates = {work.__name__: [site.rate(work) for _ in range(options.repeats)] for work in (site.plan, site.recount)}
    for name, measured in rates.items():
        sys.stdout.write(f"{name}: {median(measured):,.0f} records per CPU second\n")
    return 0


@contextmanager
def _site(rows: int, columns: int) -> Iterator[Site]:
    with temporary_database("postgresql") as (_, url):
        engine = open_engine(SecretStr(url))
        migrations.upgrade(engine)
        values = ", ".join(f"random() AS {name}" for name in sensors(columns))
        with writing(engine) as connection:
            times = "now() + id * INTERVAL '1 second' AS read_at, now() AS changed_at"
            series = f"SELECT id, {times}, {values} FROM generate_series(1, {rows}) AS id"
            connection.execute(text(f"CREATE TABLE {TABLE} AS {series}"))
            connection.execute(text(f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id)"))
        monitor = MonitorConfig(
            table=TABLE, key=("id",), time="read_at", updated="changed_at", numeric=tuple(sensors(columns))
        )
        source = Source("plain", monitor, engine)
        yield Site(open_store(engine), source, rows)
        source.close()
        engine.dispose()


def _cpu_seconds_of(pid: int) -> float:
    """Return the processor time of another process."""
    _, _, fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
