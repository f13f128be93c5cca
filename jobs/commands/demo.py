"""demo: the main job on two tables, start to end."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.commands.options import json_option

if TYPE_CHECKING:
    from detector.training import Epoch
    from jobs.app import App
    from jobs.demo.demo import DemoReport
    from jobs.output import Output, Update

_NEXT = """\
Now your own table, in three steps:
  {program} init my.toml --source sqlite:///my.db --table my_table    # writes a monitor named my_table
  {program} migrate --config my.toml && {program} train my_table --config my.toml
  {program} score my_table --config my.toml && {program} anomalies list my_table --config my.toml"""


@click.command("demo")
@click.option(
    "--into", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True
)
@json_option
def demo_command(folder: Path, is_json: bool) -> None:
    """Run the main job on two labelled tables: import, train, score, flag, compare, draw."""
    from jobs.app import App
    from jobs.demo.demo import prepare
    from jobs.output import Output

    out = Output(is_json=is_json)
    with App.opened(prepare(folder)) as app:
        app.choose_backend()
        reports = _run(app, out, folder)
    out.result(reports, lambda: out.say(_NEXT.format(program=_program())))


def _program() -> str:
    """How to call this program from here: by name where it is on the path, else as it was called."""
    called = Path(sys.argv[0])
    return "plumbline" if shutil.which("plumbline") or called.name != "plumbline" else str(called)


def _run(app: "App", out: "Output", folder: Path) -> "list[DemoReport]":
    from jobs.demo.demo import fill, run_monitor

    for table, rows in fill(app, folder).items():
        out.say(f"Imported {rows:,} records into the table {table}.")
    reports = []
    for name in app.config.monitors:
        with out.progress(f"training and scoring {name}") as update:

            def show(epoch: "Epoch", update: "Update" = update) -> None:
                update(epoch.number, epoch.of, f"held-out ELBO {epoch.held_out_elbo:.4g}")

            report = run_monitor(app, name, folder, show)
        _describe(app, out, report)
        reports.append(report)
    return reports


def _describe(app: "App", out: "Output", report: "DemoReport") -> None:
    from jobs.output import cell, counted_noun, shown
    from jobs.store import AnomalyQuery

    name, card, found = report.monitor, report.training.card, report.evaluation.evaluation
    out.say(f"\nMonitor {name}: trained on {card['training_records']:,} normal records in {card['epochs']} epochs,")
    batches = counted_noun(report.scoring.batches, "batch", "batches")
    out.say(
        f"scored {report.scoring.records:,} records in {batches}, flagged {report.scoring.anomalies:,}. The newest:"
    )
    rows = []
    for row in app.store.anomalies(AnomalyQuery(monitor=name, limit=8)):
        cause = row.attribution[0]
        values = (cell(cause["value"]), cell(cause["expected"]))
        rows.append((row.record_key, row.record_time, row.entity, round(row.severity), cause["feature"], *values))
    if not out.is_json:
        out.table(["key", "time", "entity", "severity", "cause", "value", "expected"], rows)
    out.say(
        f"Against the labels, on {found.records:,} records that the model was not made from: AUROC {found.auroc:.3f}, "
        f"average precision {found.average_precision:.3f},\nrecall {found.recall:.3f}, precision "
        f"{shown(found.precision)}; false-positive rate asked {card['false_positive_rate']:g}, found "
        f"{found.false_positive_rate:.2g}."
    )
    out.say(f"Picture: {report.picture}")
