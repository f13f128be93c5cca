"""A folder to run commands in as a user does, and the readings that the tests watch."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import text

from jobs import cli
from jobs.databases import open_engine
from schemas.config import load_config

ROOT = Path(__file__).parent.parent
FAULTS = (710, 745, 790, 820)  # ids whose pressure does not fit the flow
RECORDS = 840
NORMAL = "is_fault = 0 AND id <= 700"
SMALL_MODEL = "members = 2\nsteps = 100\nhidden = 16"


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass(frozen=True)
class Workspace:
    """A folder in which commands run."""

    folder: Path

    def plumbline(self, *arguments):
        """Run a command in the folder, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.run([str(argument) for argument in arguments])
        return Result(code, out.getvalue(), err.getvalue())

    def must(self, *arguments):
        """Run a command that must succeed."""
        result = self.plumbline(*arguments)
        assert result.code == 0, result.err
        return result

    def start(self, *arguments, **options):
        """Start a command in a separate process."""
        return start_python("-m", "jobs.cli", *arguments, cwd=self.folder, **options)

    def query(self, sql, **parameters):
        """Run a query or a statement on the store, and return its rows."""
        config = load_config(self.folder / "config.toml", os.environ)
        engine = open_engine(config.store.url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(sql), parameters)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    def configure(self, store, monitor, *, name="pump", model=SMALL_MODEL):
        """Write config.toml with one monitor."""
        text = f'[store]\nurl = "{store}"\n[monitors.{name}]\n{monitor}\n[monitors.{name}.model]\n{model}\n'
        (self.folder / "config.toml").write_text(text, encoding="utf-8")


def start_python(*arguments, **options):
    """Start the interpreter with this repository on its path, from any folder."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options,
    )


def readings(records=RECORDS, faults=FAULTS, seed=0):
    """Make readings of two pumps, one a minute; flow and pressure follow the load, except in a fault."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=records)
    ids = np.arange(1, records + 1)
    is_fault = np.isin(ids, faults)
    pressure = 3 + load + 0.05 * rng.normal(size=records)
    return pd.DataFrame(
        {
            "id": ids,
            "read_at": pd.date_range("2026-01-05", periods=records, freq="min", tz="UTC"),
            "pump": np.where(ids % 2 == 0, "a", "b"),
            "flow": 50 + 10 * load + 0.5 * rng.normal(size=records),
            "pressure": np.where(is_fault, pressure + 9, pressure).round(3),
            "is_open": load > 0,
            "mode": np.where(load > 0.5, "high", "low"),
            "is_fault": is_fault.astype(int),
        }
    )


PUMP = f"""\
table = "pump_readings"
key = "id"
time = "read_at"
entity = "pump"
numeric = ["flow", "pressure"]
boolean = ["is_open"]
categorical = ["mode"]
normal = "{NORMAL}"
label = "is_fault"
false_positive_rate = 0.01
batch_size = 300
"""
