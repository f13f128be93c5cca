"""The commands `plot` and `report`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.commands.options import MAX_ROW_ID, Moment, monitor_argument, with_app
from jobs.wording import counted_noun
from schemas.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.app import App
    from jobs.output import Output
    from jobs.pictures.values import View
    from jobs.reporting.selection import Selection
    from jobs.store import StoredIncident

_THEMES = ("light", "dark")


@click.command("plot")
@click.argument("target", metavar="MONITOR|INCIDENT")
@click.option("--out", "path", type=click.Path(path_type=Path, dir_okay=False), help="File to write, .png or .svg.")
@click.option("--since", type=Moment(), help="Only records at this time or later (UTC) [default: the newest records].")
@click.option("--until", type=Moment(), help="Only records up to this time (UTC).")
@click.option("--entity", help="Only records of this entity [default: that of the newest incident].")
@click.option("--channel", "channels", multiple=True, help="A feature to draw; repeat it [default: the causes].")
@click.option("--width", type=click.IntRange(320, 4000), default=1100, show_default=True, help="Width in pixels.")
@click.option("--theme", type=click.Choice(_THEMES), default="light", show_default=True, help="Colours of the picture.")
@with_app
def plot_command(
    app: "App",
    out: "Output",
    target: str,
    path: Path | None,
    since: "datetime | None",
    until: "datetime | None",
    entity: str | None,
    channels: tuple[str, ...],
    width: int,
    theme: str,
) -> None:
    """Draw the records of a monitor or an incident. The picture shows the values that the model expects."""
    from jobs.pictures import THEMES, Canvas, draw_view, format_of, save
    from jobs.reporting.selection import Selection

    incident = _incident(app, target)
    path = path or Path(f"{target}.png" if incident is None else f"incident-{incident.id}.png")
    format_of(path)
    selection = Selection(since, until, entity, channels)
    view, heading = _view(app, target, incident, selection)
    save(draw_view(view, Canvas(width, THEMES[theme]), heading=heading), path)
    result = {"picture": str(path), "model_id": view.model_id, "records": view.records}
    flagged = sum(view.scores.is_flagged)

    def describe() -> None:
        out.line(f"Wrote {path}: {counted_noun(view.records, 'record')}, {flagged:,} flagged.")
        for note in view.notes:
            out.line(note)

    out.result(result | {"flagged": flagged, "notes": view.notes}, describe)


def _incident(app: "App", target: str) -> "StoredIncident | None":
    """Return the incident of a number; None if the target is the name of a monitor."""
    if not target.isdecimal():
        app.config.monitor(target)
        return None
    incident = app.store.incidents.get(min(int(target), MAX_ROW_ID))
    app.config.monitor(incident.monitor)
    return incident


def _view(app: "App", target: str, incident: "StoredIncident | None", selection: "Selection") -> "tuple[View, str]":
    from jobs.reporting.views import ViewReader

    if incident is None:
        view = ViewReader(app.source(target), app.store).of_selection(selection)
        return view, " · ".join(filter(None, [target, view.entity]))
    if (selection.since, selection.until, selection.entity) != (None, None, None):
        msg = "An incident has its own range and entity. Leave out --since, --until and --entity, or name its monitor."
        raise UsageError(msg)
    view = ViewReader(app.source(incident.monitor), app.store).of_incident(incident, selection.features)
    return view, " · ".join(filter(None, [incident.monitor, f"incident {incident.id}", incident.entity]))


@click.command("report")
@monitor_argument
@click.option(
    "--out",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="File to write.",
)
@click.option(
    "--incidents", type=click.IntRange(0, 50), default=5, show_default=True, help="How many of the newest incidents."
)
@with_app
def report_command(app: "App", out: "Output", monitor: str, path: Path, incidents: int) -> None:
    """Write a report of a monitor as one HTML page. The page needs no network."""
    from jobs.pictures import write
    from jobs.reporting.page import render_report
    from jobs.reporting.report import read_report
    from jobs.reporting.views import ViewReader

    reader = ViewReader(app.source(monitor), app.store)
    report = read_report(reader, app.clock(), max_incidents=incidents)
    write(path, render_report(report).encode("utf-8"))
    shown_incidents = counted_noun(len(report.incidents), "incident")
    result = {"report": str(path), "monitor": monitor, "model_id": report.model.id, "incidents": len(report.incidents)}
    out.result(result, lambda: out.line(f"Wrote {path} with {shown_incidents}. Open it in a browser."))
