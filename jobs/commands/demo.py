"""demo: the main job on two tables, start to end."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import json_option

if TYPE_CHECKING:
    from detector.core.progress import Epoch
    from jobs.app import App
    from jobs.demo.demo import DemoReport
    from jobs.demo.scorecard import Outcome, Verdict
    from jobs.output import Output, Update

_NEWEST = 8
_CAUSES = 3
_NEXT = """
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
        if not out.is_json:
            _describe(app, out, report)
        reports.append(report)
    return reports


def _describe(app: "App", out: "Output", report: "DemoReport") -> None:
    from jobs.wording import counted_noun

    card, scoring = report.training.card, report.scoring
    batches = counted_noun(scoring.batches, "batch", "batches")
    out.say(
        f"\nMonitor {report.monitor}: trained on {card.training_records:,} normal records in "
        f"{report.training_seconds:.1f} s,\nscored {scoring.records:,} records in {batches} in "
        f"{report.scoring_seconds:.1f} s, flagged {scoring.anomalies:,}."
    )
    if report.verdict is None:
        _describe_records(app, out, report)
    else:
        _describe_verdict(out, report.verdict, card.false_positive_rate or 0.0)
    found = report.evaluation.evaluation
    out.say(
        f"Scores against the labels, on {found.records:,} records that the model was not made from: AUROC "
        f"{found.auroc:.3f}, average precision {found.average_precision:.3f}."
    )
    out.say(f"Picture: {report.picture}")


def _describe_records(app: "App", out: "Output", report: "DemoReport") -> None:
    from jobs.store import AnomalyQuery
    from jobs.wording import cell, shown

    rows = []
    for row in app.store.anomalies.page(AnomalyQuery(monitor=report.monitor, limit=_NEWEST)):
        cause = row.attribution[0]
        rows.append(
            (row.record_key, round(row.severity), cause["feature"], cell(cause["value"]), cell(cause["expected"]))
        )
    out.table(["key", "severity", "cause", "value", "expected"], rows, "The newest flagged records")
    found, asked = report.evaluation.evaluation, report.training.card.false_positive_rate
    out.say(
        f"Of the anomalies {found.recall:.0%} were flagged, and {shown(found.precision)} of what was flagged was one; "
        f"of normal records {found.false_positive_rate:.2%} were flagged, {asked:.2%} was asked for."
    )


def _describe_verdict(out: "Output", verdict: "Verdict", asked: float) -> None:
    from jobs.wording import counted_noun

    _print_incidents(out, verdict)
    columns = ["put in", "entity", "start", "end", "records", "flagged", "outcome"]
    out.table(columns, [_outcome_row(outcome) for outcome in verdict.outcomes], "What was put in")
    faults = [outcome for outcome in verdict.outcomes if outcome.event.is_fault]
    found = sum(outcome.found_at is not None for outcome in faults)
    out.say(
        f"Found {found} of {counted_noun(len(faults), 'fault')}. Of {verdict.normal_records:,} normal records "
        f"{verdict.normal_flagged:,} were flagged: {verdict.false_alarm_rate:.2%}, {asked:.2%} was asked for;\n"
        f"{verdict.echoes:,} of them belong to incidents of these faults."
    )


def _print_incidents(out: "Output", verdict: "Verdict") -> None:
    rows = []
    for matched in verdict.incidents:
        item = matched.incident
        when = (item.entity, item.start_time, item.end_time)
        rows.append((*when, item.records, round(item.peak_score, 2), _causes(item.causes), ", ".join(matched.events)))
    columns = ["entity", "start", "end", "records", "peak score", "causes", "put in"]
    out.table(columns, rows, "Incidents among records that the model was not made from")


def _causes(causes: Sequence[Mapping[str, Any]]) -> str:
    """The main causes with their direction."""
    return ", ".join(f"{cause['feature']} {'↑' if cause['deviation'] > 0 else '↓'}" for cause in causes[:_CAUSES])


def _outcome_row(outcome: "Outcome") -> tuple[Any, ...]:
    event = outcome.event
    if outcome.found_at is not None:
        told = f"found after {(outcome.found_at - event.start).total_seconds() / 3600:.1f} h"
    elif event.is_fault:
        told = "missed"
    else:
        told = "no fault, but flagged" if outcome.flagged else "no fault, and quiet"
    return event.name, event.pump, event.start, event.end, outcome.records, outcome.flagged, told
