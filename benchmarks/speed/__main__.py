"""Benchmark of speed and memory: ``python -m benchmarks.speed``.

It creates its own table in a temporary database. Progress goes to stderr, the figures to stdout.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter, sleep

from sqlalchemy import text

from benchmarks.processes import print_progress
from benchmarks.speed.report import Machine, Timing, report
from benchmarks.speed.setting import MONITORS, WHOLE, Database, Size, copied_records, temporary_database, write_config
from benchmarks.speed.table import KEY, TABLE, write_records
from benchmarks.timing import resident_bytes
from jobs.app import App
from jobs.databases import writing

STEPS = ("read", "score", "write", "fit", "quarter", "whole", "first_batch", "isolation_forest", "lof")
STARTS = 3  # of each measured process, after one that is not counted
FEW_ROWS = 256
SERVICE_WAIT_SECONDS = 120
MIN_ROWS = 2_000  # needed to calibrate a rate of one in a thousand
_PLUMBLINE = ("-m", "jobs.cli")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if it succeeded, 1 if a step failed, 2 if the call was wrong."""
    options = _parser().parse_args(arguments)
    size = Size(options.rows, options.columns)
    machine = Machine(_processor(), os.cpu_count() or 1, options.threads, os.getloadavg()[0])
    try:
        timings = _measured(size, options.database, options.threads)
    except subprocess.CalledProcessError as exc:
        print_progress(f"{' '.join(exc.cmd[1:])} ended with {exc.returncode}: {exc.stderr.strip()}")
        return 1
    section = report(timings, size, options.database, machine)
    if options.out:
        options.out.write_text(section, encoding="utf-8")
    else:
        sys.stdout.write(section)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rows", type=_rows, default=1_000_000, help="records of the table (default: 1000000)")
    parser.add_argument("--columns", type=int, default=38, help="numeric columns (default: 38)")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--threads", type=int, default=2, help="threads that a library may use (default: 2)")
    parser.add_argument("--out", type=Path, help="Markdown file to write (default: standard output)")
    return parser


def _rows(argument: str) -> int:
    rows = int(argument)
    if rows < MIN_ROWS:
        raise argparse.ArgumentTypeError(f"expected {MIN_ROWS} or more, received {rows}")
    return rows


def _measured(size: Size, database: Database, threads: int) -> dict[str, Timing]:
    environment = os.environ | _limits(threads)
    with temporary_database(database) as (folder, url):
        config = folder / "config.toml"
        write_config(config, url, size)
        timings = _prepared(folder, config, size, environment)
        for step in STEPS:
            timings |= _step(step, config, environment)
        with App.opened(config) as app:
            return timings | _starts(app, size, environment) | {"serve": _serve(app, size, environment)}


def _prepared(folder: Path, config: Path, size: Size, environment: Mapping[str, str]) -> dict[str, Timing]:
    """Create the table and the models as a user would, and time import and training."""
    file = folder / f"{TABLE}.parquet"
    write_records(file, size.rows, size.columns, size.normal)
    settings = ("--config", str(config))
    _run((*_PLUMBLINE, "migrate", *settings), environment)
    importing = (*_PLUMBLINE, "import", str(file), "--table", TABLE, "--key", KEY, *settings)
    import_seconds = _run(importing, environment)
    file.unlink()
    train_seconds = [_run((*_PLUMBLINE, "train", name, *settings), environment) for name in MONITORS]
    return {"import": Timing(size.rows, (import_seconds,)), "train": Timing(size.normal, tuple(train_seconds))}


def _step(name: str, config: Path, environment: Mapping[str, str]) -> dict[str, Timing]:
    output = _output(("-m", "benchmarks.speed.steps", name, str(config)), environment)
    measured = json.loads(output.splitlines()[-1])
    return {
        name: Timing(fields["records"], tuple(fields["seconds"]), fields["peak_bytes"])
        for name, fields in measured.items()
    }


def _starts(app: App, size: Size, environment: Mapping[str, str]) -> dict[str, Timing]:
    """Time processes from start to end; a first start, which may compile modules, does not count."""
    settings = ("--config", str(app.path))
    calls = {
        "python": ("-c", ""),
        "pandas": ("-c", "import pandas"),
        "help": (*_PLUMBLINE, "--help"),
        "status": (*_PLUMBLINE, "status", *settings),
        "anomalies": (*_PLUMBLINE, "anomalies", "list", *settings),
    }
    timings = {name: [_run(call, environment) for _ in range(STARTS + 1)] for name, call in calls.items()}
    timings["few"] = []
    for number in range(STARTS + 1):
        _add_records(app, size, number)
        timings["few"].append(_run((*_PLUMBLINE, "score", WHOLE, *settings), environment))
    return {name: Timing(1, tuple(seconds[1:])) for name, seconds in timings.items()}


def _add_records(app: App, size: Size, copies_before: int) -> None:
    """Append a few new records to the table."""
    with writing(app.engine) as connection:
        connection.execute(text(copied_records(size, FEW_ROWS, copies_before)))


def _serve(app: App, size: Size, environment: Mapping[str, str]) -> Timing:
    """Measure the memory of a service at rest, after a run of each monitor; one has a few new records to score."""
    print_progress("serve")
    _add_records(app, size, STARTS + 1)
    before = {name: app.store.runs.last_started(name, "score") for name in MONITORS}
    command = [sys.executable, *_PLUMBLINE, "serve", "--config", str(app.path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as service:  # noqa: S603
        try:
            for _ in range(SERVICE_WAIT_SECONDS):
                if service.poll() is not None or all(_has_run(app, name, before[name]) for name in MONITORS):
                    break
                sleep(1)
            return Timing(FEW_ROWS, (1.0,), resident_bytes(service.pid))
        finally:
            service.terminate()


def _has_run(app: App, name: str, before: datetime | None) -> bool:
    """Return whether a run of a monitor that began after another is over."""
    last = app.store.runs.status(name).last_runs.get("score")
    return last is not None and last.outcome is not None and app.store.runs.last_started(name, "score") != before


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    started = perf_counter()
    _output(arguments, environment)
    return perf_counter() - started


def _output(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    print_progress(" ".join(arguments[1:]) or "python")
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout  # noqa: S603


def _limits(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # pip compiles modules, so a start does not
    return dict.fromkeys(names, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1"} | compiled


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "A processor without a name"


if __name__ == "__main__":
    sys.exit(main())
