"""The commands `train`, `score`, `forecast` and `evaluate`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from jobs.commands.card import describe_training
from jobs.commands.options import counted_progress, monitor_argument, with_app, workers_if_configured
from jobs.commands.top import print_ranked
from jobs.realised_rate import rate_sentence
from jobs.wording import counted_noun, shown
from schemas.errors import PlumblineError

if TYPE_CHECKING:
    from jobs.app import App
    from jobs.evaluation import Forecast
    from jobs.output import Output
    from jobs.scoring.run import Progress, ScoringReport

_TOP_TITLE = "The most anomalous normal records that were held out (more: plumbline top)"


@click.command("train")
@monitor_argument
@click.option("--challenger", is_flag=True, help="Store the model without making it the champion.")
@with_app
def train_command(app: "App", out: "Output", monitor: str, challenger: bool) -> None:
    """Train a model on normal records. It is calibrated and becomes the monitor's champion."""
    source, store = app.source(monitor), app.store
    app.choose_backend()
    from detector.core.progress import Epoch
    from jobs.training.train import TrainingOrder, train_monitor

    with out.progress(f"training {monitor}") as update:

        def show(epoch: Epoch) -> None:
            held_out = "" if epoch.held_out_elbo is None else f", held out {epoch.held_out_elbo:.4g}"
            update(epoch.number, epoch.of, f"ELBO {epoch.elbo:.4g}{held_out} nats per record")

        order = TrainingOrder("never" if challenger else "always")
        report = train_monitor(source, store, app.clock, order=order, progress=show)

    def describe() -> None:
        out.line(report.role)
        if report.verdict != "first":
            out.line(report.reason)
        describe_training(out, report.card, monitor)
        if report.left_out:
            counts = (f"{count:,} {reason}" for reason, count in report.left_out.items())
            out.line(f"Normal records that were left out: {'; '.join(counts)}.")
        if report.top:
            print_ranked(out, report.top, _TOP_TITLE)
        if report.join_view:
            out.line(f"Flagged rows next to their records: SELECT * FROM {report.join_view}")

    out.result(report, describe)
    if report.verdict == "degenerate" and not challenger:
        msg = f"Model {report.model_id} was refused and stays a challenger. {report.reason} See: plumbline models show"
        raise PlumblineError(f"{msg} {report.model_id}")


@click.command("score")
@monitor_argument
@with_app
def score_command(app: "App", out: "Output", monitor: str) -> None:
    """Score the new records of a table. Anomalies are flagged into the store."""
    source, store = app.source(monitor), app.store
    from jobs.drift import assess_drift, drift_sentence
    from jobs.scoring.run import score_monitor

    workers = workers_if_configured(app)
    with scoring_progress(out, monitor) as show:
        elsewhere = workers.score_batches if workers else None
        report = score_monitor(source, store, app.clock, progress=show, elsewhere=elsewhere)
    drift = assess_drift(store, monitor, source.monitor, app.clock)

    def describe() -> None:
        describe_scoring(app, out, report)
        if drift is not None and drift.is_drift:
            out.line(drift_sentence(monitor, report.model_id, drift))

    out.result({**vars(report), "drift": drift}, describe)


@contextmanager
def scoring_progress(out: "Output", monitor: str) -> Iterator[Callable[["Progress"], None]]:
    """Yield a function that shows the progress of a scoring run."""
    with out.progress(f"scoring {monitor}") as update:

        def show(progress: "Progress") -> None:
            records, anomalies = progress.records, progress.anomalies
            note = f"{counted_noun(records, 'record')}, {counted_noun(anomalies, 'anomaly', 'anomalies')}"
            update(progress.batches_done, progress.batches_planned, note)

        yield show


def describe_scoring(app: "App", out: "Output", report: "ScoringReport") -> None:
    """Print the outcome of a scoring run, with a warning if it flags far more than requested."""
    noun = "record" if report.rescored else "new record"
    records, batches = counted_noun(report.records, noun), counted_noun(report.batches, "batch", "batches")
    anomalies = counted_noun(report.anomalies, "anomaly", "anomalies")
    out.line(f"Scored {records} in {batches} with model {report.model_id}: {anomalies}.")
    if report.suppressed:
        suppressed = counted_noun(report.suppressed, "anomaly resembles", "anomalies resemble")
        out.line(f"{suppressed} a record labelled false_positive, and so no incident was opened.")
    if report.rescored:
        late = counted_noun(report.late_records, "record")
        out.line(f"{report.rescored:,} of the batches had been scored before; {late} came late.")
    if report.unreadable_records:
        unreadable = counted_noun(report.unreadable_records, "record")
        out.line(f"{unreadable} cannot be read and wait for a correction: plumbline status")
    if report.too_late_records:
        late = counted_noun(report.too_late_records, "record")
        out.line(f"{late} came later than `late_after` and were not scored: plumbline rescore {report.monitor}")
    rate = app.monitor(report.monitor).false_positive_rate
    sentence = rate_sentence(report.records, report.anomalies, rate, report.causes)
    if sentence and report.anomalies > rate * report.records:
        out.line(
            f"{sentence} "
            "Either many records are anomalous, or normal records have changed since the training. See the causes:\n"
            f"  plumbline anomalies list {report.monitor}\n"
            "If the records are normal, label them known, or set retrain.learn_incidents to all, and train again:\n"
            f"  plumbline train {report.monitor}"
        )
    if held := app.store.runs.status(report.monitor).running_batches:
        leased = counted_noun(held, "batch is", "batches are")
        out.line(f"{leased} held by another worker, or by a dead one until its lease runs out.")


@click.command("forecast")
@monitor_argument
@with_app
def forecast_command(app: "App", out: "Output", monitor: str) -> None:
    """Report how many records of history would have been flagged, and alerted. Nothing is written."""
    source, store = app.source(monitor), app.store
    from jobs.evaluation import forecast_monitor

    workers = workers_if_configured(app)
    with counted_progress(out, f"forecasting {monitor}") as progress:
        elsewhere = workers.score_history if workers else None
        forecast = forecast_monitor(source, store, progress, now=app.clock(), elsewhere=elsewhere)

    def describe() -> None:
        days = f" over {forecast.days:.1f} days" if forecast.days else ""
        a_day = f", {shown(forecast.flagged_per_day)} a day" if forecast.days else ""
        records = counted_noun(forecast.records, "record")
        out.line(f"{records}{days}: {forecast.flagged:,} would have been flagged{a_day}.")
        if forecast.held_out_records:
            out.line(_held_out_note(forecast.held_out_records))
        if forecast.includes_training_records:
            out.line("These include the training records, so expect a larger share on new records.")
        elif sentence := forecast.rate_sentence:
            out.line(sentence)
        _describe_unreadable(out, forecast.unreadable_records)
        _describe_alerts(out, forecast)
        rows = [
            (rate, count, count / forecast.days if forecast.days else None) for rate, count in forecast.by_rate.items()
        ]
        if forecast.decided_by == "false_positive_rate":
            out.table(["false-positive rate", "flagged", "a day"], rows, "Flagged records at other rates")
        else:
            out.line(f"Another false_positive_rate would flag the same with this model: {forecast.decided_by} decides.")
        if forecast.by_day:
            out.table(["day", "flagged", "alerts"], _busiest_days(forecast), "The busiest days")

    out.result(forecast, describe)


def _describe_alerts(out: "Output", forecast: "Forecast") -> None:
    """Print the alerts of a forecast, and the incidents that rules would have held back."""
    from jobs.alert_preview import MAX_FLAGGED

    counts = forecast.alerts
    if counts is None:
        if forecast.days and forecast.flagged > MAX_FLAGGED:
            out.line(f"More than {MAX_FLAGGED:,} records are flagged, so their alerts are not previewed.")
        return
    channels = ", ".join(f"{count:,} to {channel}" for channel, count in counts.by_channel.items()) or "none"
    a_day = f", {shown(counts.alerts / forecast.days)} a day" if forecast.days and counts.alerts else ""
    out.line(f"{counted_noun(counts.incidents, 'incident')}. Alerts: {channels}{a_day}.")
    if counts.held_back:
        reasons = ", ".join(f"{count:,} by {reason}" for reason, count in counts.held_back.items())
        out.line(f"Not alerted: {counted_noun(sum(counts.held_back.values()), 'incident')}, {reasons}.")


def _busiest_days(forecast: "Forecast") -> list[tuple[str, int, int | None]]:
    """Return the ten days with the most flagged records, with their alerts."""
    busiest = sorted(sorted(forecast.by_day, key=lambda day: -forecast.by_day[day])[:10])
    alerts = forecast.alerts
    return [(day, forecast.by_day[day], alerts.by_day.get(day, 0) if alerts else None) for day in busiest]


def _held_out_note(records: int) -> str:
    return (
        "There are no records after the training. "
        f"Instead the {counted_noun(records, 'normal record')} were used that the training held out to calibrate."
    )


@click.command("evaluate")
@monitor_argument
@click.option("--all", "everything", is_flag=True, help="Include the records that the model was made from.")
@with_app
def evaluate_command(app: "App", out: "Output", monitor: str, everything: bool) -> None:
    """Compare scores with the label column. By default only records after the training count."""
    source, store = app.source(monitor), app.store
    from jobs.evaluation import evaluate_monitor

    workers = workers_if_configured(app)
    with counted_progress(out, f"evaluating {monitor}") as progress:
        elsewhere = workers.score_history if workers else None
        report = evaluate_monitor(source, store, everything=everything, progress=progress, elsewhere=elsewhere)
    evaluation = report.evaluation

    def describe() -> None:
        out.facts(
            {
                "model": report.model_id,
                "records compared": evaluation.records,
                "labelled anomalies": evaluation.anomalies,
                "AUROC": evaluation.auroc,
                "average precision": evaluation.average_precision,
                "flagged": evaluation.flagged,
                "precision": evaluation.precision,
                "recall": evaluation.recall,
                "configured false-positive rate": source.monitor.false_positive_rate,
                "realised false-positive rate": evaluation.false_positive_rate,
            }
        )
        if report.held_out_records:
            out.line(_held_out_note(report.held_out_records))
            out.line("Anomalies are those that the training left out, so the precision on all records is lower.")
        _describe_unreadable(out, report.unreadable_records)
        if report.includes_training_records:
            out.line("These include the training records, so expect worse results on new records.")

    out.result(report, describe)


def _describe_unreadable(out: "Output", count: int) -> None:
    if count:
        out.line(f"{counted_noun(count, 'record')} cannot be read and {'was' if count == 1 else 'were'} left out.")
