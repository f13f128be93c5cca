"""The commands `tune preview`, `set`, `show` and `clear`."""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import click

from jobs.commands.options import any_monitor_argument, monitor_argument, user_name, with_app
from jobs.wording import cell, shown, utc
from schemas.errors import UsageError

if TYPE_CHECKING:
    from detector.core.scorer import Scorer
    from jobs.app import App
    from jobs.output import Output
    from jobs.tuning.comparison import Comparison
    from jobs.tuning.labelled import LabelCounts
    from jobs.tuning.preview import Outcome
    from schemas.config import MonitorConfig
    from schemas.tuning import Tuning

_OPTIONS = (
    click.option("--rate", type=float, help="Share of normal records that may be flagged."),
    click.option("--severity", type=float, help="Peak severity from which an incident is alerted."),
    click.option("--escalate-severity", type=float, help="Peak severity from which it is severe."),
    click.option("--records", type=int, help="Flagged records that an alerted incident holds."),
    click.option("--consecutive", metavar="N[/OF]", help="Flagged records among consecutive ones, such as 3 or 3/5."),
    click.option("--direction", "directions", multiple=True, metavar="FEATURE=up|down", help="The way that matters."),
    click.option("--ignore-below", "smallest", multiple=True, metavar="FEATURE=NUMBER", help="Smallest deviation."),
    click.option("--quiet-hours", metavar="FROM-TO", help='Such as 22:00-06:00; "" for none.'),
)


def _tuning_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)


@click.group("tune")
def tune_command() -> None:
    """Rates and rules of alerts: preview, store, show, clear."""


@tune_command.command("preview")
@monitor_argument
@_tuning_options
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="Length of the history.")
@with_app
def preview_command(app: "App", out: "Output", monitor: str, days: int, **options: Any) -> None:
    """Report what settings would have made of the newest scored records. Nothing is written."""
    from jobs.tuning.comparison import Champion, Comparisons
    from jobs.tuning.lines import config_lines

    tuning = _tuning(options)
    source, store = app.source(monitor), app.store
    champion = store.models.require_champion(monitor)
    proposed = _checked(app, monitor, tuning)
    ready = Champion(champion.model_id, _scorer(app, monitor, source.monitor)())
    comparison = Comparisons().compare(source, store, ready, proposed, days, app.clock())

    def describe() -> None:
        out.line(_history_line(comparison))
        rows = list(zip(_TITLES, _cells(comparison.now), _cells(comparison.proposed), strict=True))
        out.table(["", "now", "proposed"], [row for row in rows if any(row[1:])])
        if tuning.settings:
            out.line(f"For config.toml, or store them with: plumbline tune set {monitor} ...")
            out.line(config_lines(monitor, tuning))

    out.result({"monitor": monitor, "comparison": comparison, "tuning": tuning.settings}, describe)


@tune_command.command("set")
@monitor_argument
@_tuning_options
@with_app
def set_command(app: "App", out: "Output", monitor: str, **options: Any) -> None:
    """Store settings in place of those of config.toml; the next run uses them."""
    from jobs.tuning.storing import store_tuning

    tuning = _tuning(options)
    _checked(app, monitor, tuning)
    store_tuning(app.store, monitor, tuning, app.clock(), user_name())
    text = f"Monitor {monitor!r} uses these settings from its next run on, until: plumbline tune clear {monitor}"
    out.result({"monitor": monitor, "settings": tuning.settings}, lambda: out.line(text))


@tune_command.command("show")
@any_monitor_argument
@with_app
def show_command(app: "App", out: "Output", monitor: str | None) -> None:
    """Show the settings that are stored in place of those of config.toml."""
    from jobs.tuning.lines import stored_lines

    if monitor:
        app.config.monitor(monitor)
    stored = [item for name, item in app.store.tunings.all().items() if monitor in {None, name}]

    def describe() -> None:
        for item in stored:
            out.line(f"# stored by {item.changed_by} at {utc(item.changed_at)}")
            out.line(stored_lines(item.monitor, item.settings))
        if not stored:
            out.line("No settings are stored: those of config.toml are in force.")

    out.result(stored, describe)


@tune_command.command("clear")
@monitor_argument
@with_app
def clear_command(app: "App", out: "Output", monitor: str) -> None:
    """Remove the stored settings, so that those of config.toml are in force."""
    app.store.tunings.clear(monitor, app.clock(), user_name())
    text = f"Monitor {monitor!r} uses the settings of config.toml from its next run on."
    out.result({"monitor": monitor, "cleared": True}, lambda: out.line(text))


def _tuning(options: dict[str, Any]) -> "Tuning":
    """Return the settings that options name.

    Raises:
        UsageError: If one is not valid.
    """
    from pydantic import ValidationError

    from schemas.tuning import Tuning, problem_of

    names = ("severity", "escalate_severity", "records", "quiet_hours")
    alert: dict[str, Any] = {name: options[name] for name in names}
    alert |= {"consecutive": _consecutive(options["consecutive"])}
    alert |= {"direction": _pairs(options["directions"], str), "ignore_below": _pairs(options["smallest"], float)}
    try:
        return Tuning.model_validate({"false_positive_rate": options["rate"], "alert": alert})
    except ValidationError as exc:
        raise UsageError(f"{problem_of(exc)}. See: plumbline tune set --help") from None


def _consecutive(text: str | None) -> int | dict[str, int] | None:
    if text is None:
        return None
    records, _, of = text.partition("/")
    if not records.isdecimal() or (of and not of.isdecimal()):
        msg = f"{text!r} is not a number of records. Use a form such as 3 or 3/5."
        raise UsageError(msg)
    return {"records": int(records), "of": int(of)} if of else int(records)


def _pairs(texts: tuple[str, ...], parse: Callable[[str], Any]) -> dict[str, Any] | None:
    pairs: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            pairs[name] = parse(value)
        except ValueError:
            msg = f"{text!r} has no number. Use a form such as flow=0.5."
            raise UsageError(msg) from None
    return pairs or None


def _checked(app: "App", monitor: str, tuning: "Tuning") -> "MonitorConfig":
    from jobs.tuning.storing import refuse_unfit

    configured, rate = app.config.monitor(monitor), tuning.false_positive_rate
    asked = configured if rate is None else configured.model_copy(update={"false_positive_rate": rate})
    return refuse_unfit(monitor, configured, tuning, _scorer(app, monitor, asked))


def _scorer(app: "App", monitor: str, settings: "MonitorConfig") -> "Callable[[], Scorer]":
    from jobs.champions import load_scorer

    return lambda: load_scorer(app.store, app.store.models.require_champion(monitor), settings)


_TITLES = (
    "flagged records",
    "incidents",
    "alerted incidents",
    "alerts",
    "alerts a day",
    "not alerted",
    "known faults found",
    "alarms that are known faults",
    "confirmed alarms kept",
    "alarms that are confirmed",
)


def _history_line(comparison: "Comparison") -> str:
    now, since, until = comparison.now, comparison.since, comparison.until
    span = "" if since is None or until is None else f" from {utc(since)} to {utc(until)}"
    cut = "; older ones of the span are left out" if comparison.is_cut else ""
    return f"{now.records:,} records{span}{cut}, scored by model {comparison.model_id}."


def _cells(outcome: "Outcome") -> list[str]:
    alerts = outcome.alerts
    counts = [cell(outcome.flagged)]
    if alerts is None:
        counts += [""] * 5
    else:
        held_back = ", ".join(f"{count} by {reason}" for reason, count in alerts.held_back.items())
        a_day = outcome.a_day(alerts.alerts)
        counts += [cell(alerts.incidents), cell(outcome.alerted_incidents), cell(alerts.alerts)]
        counts += ["" if a_day is None else shown(a_day), held_back]
    return [*counts, *_label_cells(outcome.faults), *_label_cells(outcome.verdicts)]


def _label_cells(counts: "LabelCounts | None") -> tuple[str, str]:
    if counts is None:
        return "", ""
    return f"{counts.found} of {counts.faults}", f"{counts.right} of {counts.right + counts.wrong}"
