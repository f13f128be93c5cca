"""After an interrupted or killed command, the next one loses and duplicates nothing."""

import os
import pty
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from jobs.app import App
from jobs.scoring.run import score_monitor
from tests.workspace import PUMP, RECORDS, start_python

FLAGGED = (
    "SELECT record_key, anomaly_score, p_value, severity, threshold, top_feature, model_id"
    " FROM anomalies ORDER BY record_key_int"
)
ENDLESS = "members = 2\nhidden = 16\nsteps = 10000000\npatience = 10000000"
BATCHES = RECORDS // 30
LATE = datetime(2026, 1, 6, 12, tzinfo=UTC)


def until(plant, sql, process):
    """Wait until the result of a query changes."""
    before = plant.query(sql)
    while plant.query(sql) == before:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate())


def shown_on(terminal, text):
    """Return the output of a program on a terminal, up to a text or to its end."""
    shown = ""
    while text not in shown:
        try:
            shown += os.read(terminal, 10_000).decode()
        except OSError:  # the program has closed its side
            break
    return shown


def test_a_killed_scoring_is_continued(plant):
    undisturbed = plant.query(FLAGGED)
    for table in ("anomalies", "batch_hours", "batches"):
        plant.query(f"DELETE FROM {table}")
    plant.configure(plant.url, PUMP.replace("batch_size = 300", 'batch_size = 30\nlease = "1ms"'))
    process = plant.start("score", "pump")
    until(plant, "SELECT count(*) > 2 FROM batches WHERE state = 'done'", process)
    process.kill()
    process.communicate()
    ((done,),) = plant.query("SELECT count(*) FROM batches WHERE state = 'done'")
    assert 2 < done < BATCHES

    report = plant.must("score", "pump", "--json").json
    assert report["batches"] == BATCHES - done
    assert plant.query("SELECT sum(records), count(*), min(state) FROM batches") == [(RECORDS, BATCHES, "done")]
    assert plant.query("SELECT sum(records) FROM batch_hours") == [(RECORDS,)]
    assert plant.query(FLAGGED) == undisturbed
    assert plant.must("score", "pump", "--json").json["records"] == 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_stores_no_model(plant, stop):
    models = plant.query("SELECT id, state FROM models")
    plant.configure(plant.url, PUMP, model=ENDLESS)
    terminal, theirs = pty.openpty()
    process = plant.start("train", "pump", stderr=theirs)
    os.close(theirs)
    assert "held out" in shown_on(terminal, "held out")
    process.send_signal(stop)
    assert "Error: Interrupted. No partial results were kept" in shown_on(terminal, "again.")
    process.communicate()
    os.close(terminal)

    assert process.returncode == 1
    assert plant.query("SELECT id, state FROM models") == models
    newest = "SELECT kind, outcome, finished_at IS NOT NULL FROM runs ORDER BY id DESC LIMIT 1"
    assert plant.query(newest) == [("train", "interrupted", True)]
    plant.configure(plant.url, PUMP)
    assert plant.must("train", "pump", "--challenger", "--json").json["model_id"] > models[-1][0]


SWALLOWED = """
import os, signal
from jobs import interruption
from jobs.output import Output
interruption.handle_signals()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    pass  # as some libraries do
with Output(is_json=True).progress("working") as update:
    try:
        update(1, None, "")
    except KeyboardInterrupt:
        print("stopped")
"""


def test_an_interrupt_that_a_library_discards_still_stops_the_work():
    assert start_python("-c", SWALLOWED).communicate() == ("stopped\n", "")


HALF_RAISED = """
import os, signal
import click
from jobs import cli, interruption
@click.command()
def broken():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise SystemError("returned a result with an exception set") from None
cli.cli = broken
cli.main([])
"""


def test_an_interrupt_of_which_a_library_makes_a_system_error_is_reported_as_one():
    assert start_python("-c", HALF_RAISED).communicate()[1].startswith("Error: Interrupted.")


def test_records_that_settle_late_are_scored_in_any_order(plant):
    """A watermark that did not wait would skip a key that commits after a higher one."""
    plant.configure(plant.url, PUMP + 'settle = "1h"')
    plant.must("score", "pump")
    insert = (
        "INSERT INTO pump_readings (id, read_at, pump, flow, pressure, is_open, mode, is_fault)"
        " SELECT :id, :at, pump, flow, pressure, is_open, mode, is_fault FROM pump_readings WHERE id = 1"
    )

    def scored(clock):
        with App.opened(plant.folder / "config.toml") as app:
            return score_monitor(app.source("pump"), app.store, lambda: clock).records

    plant.query(insert, id=RECORDS + 10, at=LATE.isoformat(sep=" "))
    assert scored(LATE + timedelta(minutes=30)) == 0
    plant.query(insert, id=RECORDS + 5, at=LATE.isoformat(sep=" "))
    assert scored(LATE + timedelta(minutes=61)) == 2
    assert scored(LATE + timedelta(days=1)) == 0
