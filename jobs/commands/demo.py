"""The command `demo`: import, train, score and draw two tables."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import json_option
from jobs.wording import cell, counted_noun, percent, shown

if TYPE_CHECKING:
    from detector.core.progress import Epoch
    from jobs.app import App
    from jobs.demo.demo import DemoReport
    from jobs.demo.scorecard import Outcome, Scorecard
    from jobs.output import Output, Update

_MAX_RECORDS_SHOWN = 8
_MAX_CAUSES_SHOWN = 3
_NEXT_STEPS = """
See it in the browser, at the address that this command logs:
  {program} serve --config {config}

Next, your own table, in three steps:
  {program} init my.toml --source sqlite:///my.db --table my_table    # writes a monitor named my_table
  {program} migrate --config my.toml && {program} train my_table --config my.toml
  {program} score my_table --config my.toml && {program} anomalies list my_table --config my.toml"""


@click.command("demo")
@click.option(
    "--into",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the demo's files.",
)
@json_option
def demo_command(folder: Path, is_json: bool) -> None:
    """Import, train, score, evaluate and draw two labelled tables."""
    from jobs.app import App
    from jobs.demo.demo import prepare
    from jobs.output import Output

    out = Output(is_json=is_json)
    with App.opened(prepare(folder)) as app:
        app.choose_backend()
        reports = _run(app, out, folder)
    out.result(reports, lambda: out.line(_NEXT_STEPS.format(program=_program(), config=folder / "config.toml")))


def _program() -> str:
    """Return the command of this program: its name if it is on the path, otherwise as it was called."""
    called = Path(sys.argv[0])
    return "plumbline" if shutil.which("plumbline") or called.name != "plumbline" else str(called)


def _run(app: "App", out: "Output", folder: Path) -> "list[DemoReport]":
    from jobs.demo.demo import fill, run_monitor

    for table, rows in fill(app, folder).items():
        out.line(f"Imported {counted_noun(rows, 'record')} into the table {table}.")
    reports = []
    for name in app.config.monitors:
        with out.progress(f"training and scoring {name}") as update:

            def show(epoch: "Epoch", update: "Update" = update) -> None:
                update(epoch.number, epoch.of, f"held-out ELBO {shown(epoch.held_out_elbo)}")

            report = run_monitor(app, name, folder, show)
        if not out.is_json:
            _describe(app, out, report)
        reports.append(report)
    return reports


def _describe(app: "App", out: "Output", report: "DemoReport") -> None:
    card, scoring = report.training.card, report.scoring
    batches = counted_noun(scoring.batches, "batch", "batches")
    out.line(
        f"\nMonitor {report.monitor}: trained on {shown(card.training_records)} normal records in "
        f"{report.training_seconds:.1f} s,\nscored {shown(scoring.records)} records in {batches} in "
        f"{report.scoring_seconds:.1f} s, flagged {shown(scoring.anomalies)}."
    )
    if report.verdict is None:
        _describe_records(app, out, report)
    else:
        _describe_scorecard(out, report.verdict, card.false_positive_rate or 0.0)
    evaluation = report.evaluation.evaluation
    out.line(
        f"Scores compared with the labels, on {shown(evaluation.records)} records that the training did not use: "
        f"AUROC {evaluation.auroc:.3f}, average precision {evaluation.average_precision:.3f}."
    )
    out.line(f"Picture: {report.picture}")


def _describe_records(app: "App", out: "Output", report: "DemoReport") -> None:
    from jobs.store import AnomalyQuery

    rows = []
    for row in app.store.anomalies.page(AnomalyQuery(monitor=report.monitor, limit=_MAX_RECORDS_SHOWN)):
        cause = row.attribution[0]
        vae_scores = (row.reconstruction_error, row.elbo)
        main_cause = (cause["feature"], cell(cause["value"]), cell(cause["expected"]))
        rows.append((row.record_key, round(row.severity), *vae_scores, *main_cause))
    columns = ["key", "severity", "reconstruction error", "negative ELBO", "cause", "value", "expected"]
    out.table(columns, rows, "Newest flagged records")
    evaluation, rate = report.evaluation.evaluation, report.training.card.false_positive_rate or 0.0
    out.line(
        f"Flagged {percent(evaluation.recall)} of the anomalies and {percent(evaluation.false_positive_rate)} of the "
        f"normal records (configured: {percent(rate)}); precision {shown(evaluation.precision)}."
    )


def _describe_scorecard(out: "Output", scorecard: "Scorecard", rate: float) -> None:
    _print_incidents(out, scorecard)
    columns = ["event", "entity", "start", "end", "records", "flagged", "outcome"]
    out.table(columns, [_outcome_row(outcome) for outcome in scorecard.outcomes], "Injected events")
    faults = [outcome for outcome in scorecard.outcomes if outcome.event.is_fault]
    detected = sum(outcome.found_at is not None for outcome in faults)
    out.line(
        f"Found {detected} of {counted_noun(len(faults), 'fault')}. Flagged {shown(scorecard.normal_flagged)} of "
        f"{shown(scorecard.normal_records)} normal records: {percent(scorecard.false_alarm_rate)} "
        f"(configured: {percent(rate)}).\n{shown(scorecard.echoes)} of them belong to incidents of the faults."
    )


def _print_incidents(out: "Output", scorecard: "Scorecard") -> None:
    rows = []
    for matched in scorecard.incidents:
        item = matched.incident
        span = (item.entity, item.start_time, item.end_time)
        rows.append((*span, item.records, round(item.peak_score, 2), _causes(item.causes), ", ".join(matched.events)))
    columns = ["entity", "start", "end", "records", "peak score", "causes", "events"]
    out.table(columns, rows, "Incidents among records that the training did not use")


def _causes(causes: Sequence[Mapping[str, Any]]) -> str:
    """Format the main causes with their direction."""
    return ", ".join(
        f"{cause['feature']} {'↑' if cause['deviation'] > 0 else '↓'}" for cause in causes[:_MAX_CAUSES_SHOWN]
    )


def _outcome_row(outcome: "Outcome") -> tuple[Any, ...]:
    event = outcome.event
    if outcome.found_at is not None:
        result = f"found after {(outcome.found_at - event.start).total_seconds() / 3600:.1f} h"
    elif event.is_fault:
        result = "missed"
    else:
        result = "no fault, but flagged" if outcome.flagged else "no fault, not flagged"
    return event.name, event.pump, event.start, event.end, outcome.records, outcome.flagged, result
