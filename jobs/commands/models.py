"""The commands `models list`, `show`, `promote` and `rollback`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from jobs.commands.card import card_facts, describe_card
from jobs.commands.options import any_monitor_argument, monitor_argument, user_name, with_app
from schemas.errors import UsageError

if TYPE_CHECKING:
    from detector.core.comparison import ComparisonReport
    from jobs.app import App
    from jobs.output import Output


@click.group("models")
def models_command() -> None:
    """The trained models: list, show, promote, roll back."""


@models_command.command("list")
@any_monitor_argument
@with_app
def list_command(app: "App", out: "Output", monitor: str | None) -> None:
    """List models, newest first."""
    if monitor:
        app.config.monitor(monitor)
    models = [replace(model, manifest={}) for model in app.store.models.all(monitor)]
    columns = ["id", "monitor", "state", "trained", "records", "held-out ELBO", "rate", "threshold"]
    rows = [
        (
            str(model.id),
            model.monitor,
            model.state,
            model.created_at,
            model.card.training_records,
            model.card.held_out_elbo,
            model.card.false_positive_rate,
            model.card.threshold,
        )
        for model in models
    ]
    hint = "There is no model yet. Train one: plumbline train MONITOR"
    out.result(models, lambda: out.table(columns, rows) if rows else out.line(hint))


@models_command.command("show")
@click.argument("model_id", metavar="ID", type=int)
@click.option("--markdown", is_flag=True, help="Print the model card in Markdown, as its training wrote it.")
@with_app
def show_command(app: "App", out: "Output", model_id: int, markdown: bool) -> None:
    """Show a model: its training records, its settings, and its comparison with the champion of its time."""
    model = app.store.models.get(model_id)
    if markdown:
        _show_markdown(app, out, model_id)
        return

    def describe() -> None:
        about = model.about
        out.line(f"Model {model.id} of monitor {model.monitor!r}, {model.state}")
        out.facts(
            {
                "trained": model.created_at,
                "promoted": model.promoted_at,
                "retired": model.retired_at,
                "SHA-256": model.sha256,
                **card_facts(model.card),
                "keys": about.training.keys,
                "left out": ", ".join(f"{n:,} {why}" for why, n in about.training.left_out.items()) or None,
                "times": about.training.times,
                "made with": ", ".join(f"{k} {v}" for k, v in about.versions.items()),
                "settings": ", ".join(f"{k} = {v}" for k, v in model.manifest.get("config", {}).items()),
            }
        )
        if epochs := [(epoch.number, epoch.elbo, epoch.held_out_elbo) for epoch in about.history]:
            out.table(["epoch", "ELBO", "held-out ELBO"], epochs)
        describe_card(out, model.card, model.monitor)
        if model.comparison is not None:
            _describe_comparison(out, model.comparison)

    out.result(model, describe)


def _show_markdown(app: "App", out: "Output", model_id: int) -> None:
    text = app.store.models.card_markdown(model_id)
    if text is None:
        msg = f"Model {model_id} has no card in Markdown. Show its numbers instead: plumbline models show {model_id}"
        raise UsageError(msg)
    out.result({"model_id": model_id, "markdown": text}, lambda: out.line(text.rstrip()))


def _describe_comparison(out: "Output", report: "ComparisonReport") -> None:
    from jobs.training.model_card import comparison_rows

    champion = "" if report.champion_id is None else f"model {report.champion_id}"
    out.table(["on the same records", "this model", champion], comparison_rows(report), "Comparison with the champion")
    for note in report.notes:
        out.line(note)
    out.line(report.reason)


@models_command.command("promote")
@click.argument("model_id", metavar="ID", type=int)
@click.option("--force", is_flag=True, help="Promote the model even if its comparison with the champion refused it.")
@click.option("--for", "monitor", metavar="MONITOR", help="Promote a copy of the model for another monitor.")
@with_app
def promote_command(app: "App", out: "Output", model_id: int, force: bool, monitor: str | None) -> None:
    """Make a model its monitor's champion."""
    original = None
    if monitor is not None:
        from jobs.shared_models import copy_model

        original, model_id = model_id, copy_model(app.store, model_id, monitor, app.monitor(monitor), app.clock())
    app.store.models.promote(model_id, app.clock(), force=force, actor=user_name(), copy_of=original)
    model = replace(app.store.models.get(model_id), manifest={})
    view = _join_anomalies(app, model.monitor)

    def describe() -> None:
        out.line(f"Model {model_id} is the champion of monitor {model.monitor!r}.")
        if view:
            out.line(f"Flagged rows next to their records: SELECT * FROM {view}")

    out.result({**vars(model), "join_view": view}, describe)


def _join_anomalies(app: "App", monitor: str) -> str | None:
    """Build the view of a champion that was promoted by hand; its monitor may have left the configuration."""
    from jobs.join_view import join_anomalies

    return join_anomalies(app.store, app.source(monitor)) if monitor in app.config.monitors else None


@models_command.command("rollback")
@monitor_argument
@with_app
def rollback_command(app: "App", out: "Output", monitor: str) -> None:
    """Make the champion before this one champion again."""
    app.config.monitor(monitor)
    model_id = app.store.models.roll_back(monitor, app.clock(), user_name())
    out.result(
        {"model_id": model_id}, lambda: out.line(f"Model {model_id} is the champion of monitor {monitor!r} again.")
    )
