"""Benchmark of several workers on one store: ``python -m benchmarks.scale``.

It creates its own table in a temporary SQLite file, which every worker reads by itself, and a store in a temporary
PostgreSQL, so that the source is no bottleneck. Workers are processes of one thread: `plumbline work`, or workers of a
Dask cluster for which one `plumbline score` hands out the batches. Each setting is measured in turns, several times, in
the third pass over the table: the first ones load the model and compiled code. A pass counts as long as every worker
has batches to score. On a busy machine a worker waits for a processor; Linux counts that time, which is left out of the
second rate, and the processor time of a record does not depend on it.
Progress goes to stderr, the figures to stdout.
"""

import argparse
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import TypeAlias

import psutil
from sqlalchemy import Engine, func, select

from benchmarks.processes import ENVIRONMENT, print_progress
from benchmarks.speed.setting import MAX_NORMAL_RECORDS, temporary_database
from benchmarks.speed.table import ENTITY, KEY, TABLE, TIME, sensors, write_records
from jobs.app import App
from jobs.databases import reading, writing
from jobs.scoring.run import plan_batches
from schemas.tables import anomalies, batch_hours, batch_profiles, batches, incidents, runs, trackers

MONITOR = "whole"
WARM_UP_PASSES = 2
ENGINES = ("work", "dask")
_TABLES = (trackers, batch_hours, batch_profiles, anomalies, incidents, batches, runs)
_POLL_SECONDS = 0.1
_DEADLINE_SECONDS = 900
_END_SECONDS = 15
_BEGUN_SECONDS = 0.1  # of processor time, which an idle worker does not take within a pass
_SERIES = 'series = { models = "shared", network = false, calendar = false }\nthreshold = "online"\n'


Threads: TypeAlias = Mapping[int, tuple[float, float]]
"""For how many seconds each thread of a process has run, and could have run, but no processor was free."""


@dataclass(frozen=True)
class Sample:
    """The state of a run at one moment: the batches that are done, and the threads of each worker."""

    at: float
    batches: int
    workers: Sequence[Threads]


@dataclass(frozen=True)
class Rate:
    """The rate of some workers, without their start."""

    workers: int
    records: int
    seconds: float
    cpu_seconds: float
    delay_seconds: float

    def __str__(self) -> str:
        rates = f"{self.per_second:,.0f} records/s, {self.per_free_second:,.0f} without waits for a processor"
        return f"{self.workers} workers, {rates}, {self.per_cpu_second:,.0f} per CPU second"

    @property
    def per_second(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def per_free_second(self) -> float:
        """Records a second, without the time for which the workers waited for a processor."""
        return self.records / (self.seconds - self.delay_seconds / self.workers)

    @property
    def per_cpu_second(self) -> float:
        """Records a second of the workers' processor time."""
        return self.records / self.cpu_seconds

    @property
    def busy(self) -> float:
        """The share of a processor that each worker had."""
        return self.cpu_seconds / self.seconds / self.workers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if it succeeded."""
    options = _parser().parse_args(arguments)
    with _site(options) as site:
        planning = site.planning_rate()
        rates: dict[tuple[str, int], list[Rate]] = {}
        for number in range(options.repeats):
            for engine in options.engines:
                for workers in (1, options.workers):
                    rate = site.measure(engine, workers)
                    rates.setdefault((engine, workers), []).append(rate)
                    print_progress(f"{engine}, run {number + 1}: {rate}")
    sys.stdout.write(_report(options, rates, planning))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000, help="records of the table (default: 400000)")
    parser.add_argument("--columns", type=int, default=38, help="numeric columns (default: 38)")
    parser.add_argument("--batch", type=int, default=10_000, help="records of a batch (default: 10000)")
    parser.add_argument("--entities", type=int, default=64, help="machines of the table (default: 64)")
    parser.add_argument(
        "--online", action="store_true", help='series with threshold = "online", whose batches go in order'
    )
    parser.add_argument("--model", default="", help='settings of the model, such as "members = 2" (default: none)')
    parser.add_argument("--workers", type=int, default=2, help="workers that are compared with one (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each setting (default: 3)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="what hands out the batches")
    return parser


class Site:
    """A trained monitor, and the workers that score it again and again."""

    def __init__(self, folder: Path, app: App, batch: int) -> None:
        self.folder, self.app, self.batch = folder, app, batch
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def planning_rate(self) -> float:
        """Return how many records a second one planner enters into the ledger."""
        start = perf_counter()
        planned = self.plan()
        return planned * self.batch / (perf_counter() - start)

    def plan(self) -> int:
        """Forget every score, plan the whole table, and return the number of batches."""
        with writing(self.app.engine) as connection:
            for table in _TABLES:
                connection.execute(table.delete())
        plan_batches(self.app.source(MONITOR), self.app.store, self.app.clock)
        return self.app.store.ledger.count_pending(MONITOR)

    def measure(self, engine: str, workers: int) -> Rate:
        """Score the table with some workers."""
        with self._running(engine, workers) as processes:
            for _ in range(WARM_UP_PASSES):
                self._pass(engine, processes)
            planned, samples = self._pass(engine, processes)
        first, last = steady(samples, planned)
        return Rate(
            workers, (last.batches - first.batches) * self.batch, last.at - first.at, *times_between(first, last)
        )

    def _pass(self, engine: str, processes: Sequence[psutil.Popen]) -> tuple[int, list[Sample]]:
        """Plan the table and have it scored; return the number of batches, and what was seen meanwhile."""
        planned = self.plan()
        if engine == "work":
            return planned, list(self._samples(processes, planned))
        command = self._start("-m", "jobs.cli", "score", MONITOR, "--config", "dask.toml")
        samples = list(self._samples(processes[1:], planned))
        command.wait()
        return planned, samples

    def _samples(self, workers: Sequence[psutil.Popen], planned: int) -> Iterator[Sample]:
        give_up_at = perf_counter() + _DEADLINE_SECONDS
        done = 0
        while done < planned:
            done = _done(self.app.engine)
            yield Sample(perf_counter(), done, [_threads(worker.pid) for worker in workers])
            if perf_counter() > give_up_at:
                raise TimeoutError(f"{done} of {planned} batches were scored in {_DEADLINE_SECONDS} s.")
            sleep(_POLL_SECONDS)

    @contextmanager
    def _running(self, engine: str, workers: int) -> Iterator[list[psutil.Popen]]:
        """Start workers, after the scheduler if they need one, and end them with the block."""
        processes: list[psutil.Popen] = []
        try:
            if engine == "work":
                processes += [self._start("-m", "jobs.cli", "work", "--config", "config.toml") for _ in range(workers)]
            else:
                port = self.address.rpartition(":")[2]
                scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
                worker = (
                    "distributed.cli.dask_worker",
                    self.address,
                    "--nthreads",
                    "1",
                    "--no-nanny",
                    "--no-dashboard",
                )
                processes += [self._start("-m", *scheduler)]
                processes += [self._start("-m", *worker) for _ in range(workers)]
            yield processes
        finally:
            for process in reversed(processes):  # a worker of Dask may hang if its scheduler ends before it
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
                    _ended(process)

    def _start(self, *arguments: str) -> psutil.Popen:
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[1])}
        with (self.folder / "log").open("a") as log:
            return psutil.Popen([sys.executable, *arguments], cwd=self.folder, env=environment, stdout=log, stderr=log)


@contextmanager
def _site(options: argparse.Namespace) -> Iterator[Site]:
    with ExitStack() as stack:
        folder, url = stack.enter_context(temporary_database("postgresql"))
        site = Site(folder, stack.enter_context(App.opened(folder / "config.toml")), options.batch)
        _write_configs(folder, url, site.address, options)
        write_records(folder / f"{TABLE}.parquet", options.rows, options.columns, MAX_NORMAL_RECORDS, options.entities)
        for command in (
            ("migrate",),
            ("import", f"{TABLE}.parquet", "--table", TABLE, "--key", KEY, "--into", f"sqlite:///{folder}/source.db"),
        ):
            _run(folder, command)
        _add_index(folder)
        _run(folder, ("train", MONITOR))
        yield site


def _add_index(folder: Path) -> None:
    """Add the index by which the past of a series is found."""
    with closing(sqlite3.connect(folder / "source.db")) as connection:
        connection.execute(f"CREATE INDEX by_entity ON {TABLE} ({ENTITY}, {TIME})")


def _write_configs(folder: Path, url: str, scheduler: str, options: argparse.Namespace) -> None:
    """Write the configuration of `plumbline work`, and that of Dask."""
    monitor = f"""\
[store]
url = "{url}"
[monitors.{MONITOR}]
source = "sqlite:///{folder}/source.db"
table = "{TABLE}"
key = "{KEY}"
time = "{TIME}"
entity = "{ENTITY}"
numeric = {sensors(options.columns)}
normal = "{KEY} <= {MAX_NORMAL_RECORDS}"
false_positive_rate = 0.001
batch_size = {options.batch}
score_every = "never"
silent_after = "never"
{_SERIES if options.online else ""}
[monitors.{MONITOR}.model]
{options.model}
"""
    (folder / "config.toml").write_text(monitor, encoding="utf-8")
    dask = f'[runtime]\nexecutor = "dask"\nscheduler = "{scheduler}"\n'
    (folder / "dask.toml").write_text(dask + monitor, encoding="utf-8")


def _run(folder: Path, command: Sequence[str]) -> None:
    environment: Mapping[str, str] = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    arguments = [sys.executable, "-m", "jobs.cli", *command, "--config", "config.toml"]
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise RuntimeError(f"plumbline {command[0]} ended with {done.returncode}: {done.stderr}")


def _ended(process: psutil.Popen) -> None:
    """Wait for a process that was asked to end, and kill it if it does not."""
    try:
        process.wait(_END_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()


def steady(samples: Sequence[Sample], planned: int) -> tuple[Sample, Sample]:
    """Return the first and the last sample between which every worker had batches to score.

    Args:
        samples: of a pass.
        planned: number of batches of the pass.

    Raises:
        ValueError: If there are too few of them.
    """
    workers = len(samples[0].workers)
    lasting = [sample for sample in samples if sample.batches <= planned - workers]
    counted = [sample for sample in lasting if min(cpu for cpu, _ in grown(samples[0], sample)) >= _BEGUN_SECONDS]
    if len(counted) < 2 or counted[0].batches == counted[-1].batches:
        raise ValueError("The table is scored before every worker has begun. Name more --rows.")
    return counted[0], counted[-1]


def times_between(first: Sample, last: Sample) -> tuple[float, float]:
    """Return for how long all workers ran between two samples, and waited for a processor."""
    cpu, delay = zip(*grown(first, last), strict=True)
    return sum(cpu), sum(delay)


def grown(first: Sample, last: Sample) -> list[tuple[float, float]]:
    """Return for how long each worker ran between two samples, and its busiest thread waited for a processor."""
    return [_grown(*pair) for pair in zip(first.workers, last.workers, strict=True)]


def _grown(before: Threads, after: Threads) -> tuple[float, float]:
    none = (0.0, 0.0)
    growth = [
        (cpu - before.get(thread, none)[0], delay - before.get(thread, none)[1])
        for thread, (cpu, delay) in after.items()
    ]
    return sum(cpu for cpu, _ in growth), max(growth)[1]


def _threads(pid: int) -> Threads:
    """Return the times of the threads of a process."""
    stats = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            ran, waited, _ = path.read_text(encoding="ascii").split()
            stats[int(path.parent.name)] = (int(ran) / 1e9, int(waited) / 1e9)
    return stats


def _done(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.scalar(select(func.count()).where(batches.c.state == "done")) or 0)


def _report(options: argparse.Namespace, rates: Mapping[tuple[str, int], Sequence[Rate]], planning: float) -> str:
    kind = (
        f'series of {options.entities} machines, threshold = "online"' if options.online else "records, default score"
    )
    size = f"{options.rows:,} records of {options.columns} columns in batches of {options.batch:,}; {kind}."
    machine = f"Medians of {options.repeats}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}."
    lines = [
        f"{size} {machine}",
        f"One planner enters {planning:,.0f} records/s into the ledger.",
        "",
        "| | workers | records/s | without waits for a processor | per CPU second | processor share of a worker |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (engine, workers), found in rates.items():
        names = ("per_second", "per_free_second", "per_cpu_second")
        middle = [f"{median(getattr(rate, name) for rate in found):,.0f}" for name in names]
        lines.append(f"| {engine} | {workers} | {' | '.join(middle)} | {median(rate.busy for rate in found):.2f} |")
    header = "| efficiency | by the clock | without waits for a processor | by processor time |"
    lines += ["", header, "| --- | ---: | ---: | ---: |"]
    for engine in options.engines:
        lines.append(f"| {engine} | {_efficiency(rates, engine, options.workers)} |")
    return "\n".join(lines) + "\n"


def _efficiency(rates: Mapping[tuple[str, int], Sequence[Rate]], engine: str, workers: int) -> str:
    """Return the rates of several workers, compared with those of as many single ones."""
    pairs = list(zip(rates[engine, 1], rates[engine, workers], strict=True))
    names = ("per_second", "per_free_second", "per_cpu_second")
    parts = {name: workers if name != "per_cpu_second" else 1 for name in names}
    ratios = {
        name: median(getattr(several, name) / getattr(one, name) / parts[name] for one, several in pairs)
        for name in names
    }
    return " | ".join(f"{ratio:.2f}" for ratio in ratios.values())


if __name__ == "__main__":
    sys.exit(main())
