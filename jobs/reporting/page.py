"""The report as one HTML page that needs nothing else: no network, no script; every value is escaped."""

import itertools
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobs.kinds.card_text import CardTable
from jobs.pictures import DARK, LIGHT, draw_daily_rates, draw_view, inline_pair
from jobs.pictures.style import Theme
from jobs.reporting.report import MonitorReport
from jobs.wording import cell, counted_noun, duration, percent, shown, utc, visible


def render_report(report: MonitorReport) -> str:
    """Return a report as an HTML document."""
    environment = Environment(
        loader=PackageLoader("jobs.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printed,
    )
    names = (f"p{number}" for number in itertools.count())
    environment.globals |= {
        "view_picture": lambda view: _both(inline_pair(lambda canvas: draw_view(view, canvas), next(names))),
        "daily_picture": lambda rates: _both(inline_pair(lambda canvas: draw_daily_rates(rates, canvas), next(names))),
        "colours": {"light": _colours(LIGHT), "dark": _colours(DARK)},
    }
    environment.filters |= {"percent": percent, "cell": _cell, "duration": duration, "counted": counted_noun}
    environment.tests |= {"facts": _is_facts, "table": _is_table}
    return environment.get_template("report.html").render(report=report, rate_sentence=rate_sentence(report))


def rate_sentence(report: MonitorReport) -> str:
    """Return how the share of flagged records compares with the configured rate."""
    rate = report.rate
    if rate.found is None:
        return "No record has been scored since the training."
    share = f"{rate.flagged:,} of {counted_noun(rate.records, 'record')} flagged ({percent(rate.found)})"
    scope = "" if rate.since is None else f" since the training records end on {utc(rate.since)}"
    if rate.asked is None:
        return f"{share}{scope}."
    expected = rate.asked * rate.records
    return f"{share}{scope}; the configured rate would flag {shown(round(expected, 1))} if all were normal."


def _both(pair: tuple[str, str]) -> Markup:
    """Return a picture for wide screens and one for narrow screens, of which the style sheet shows one.

    The texts of the pictures are escaped already.
    """
    wide, narrow = (Markup(svg) for svg in pair)  # noqa: S704
    return Markup('<div class="picture wide">{}</div><div class="picture narrow">{}</div>').format(wide, narrow)


def _printed(value: Any) -> Any:
    """Return a value as people read it: times in UTC, numbers with separators, no unprintable characters."""
    if isinstance(value, Markup):
        return value
    return visible(utc(value) if isinstance(value, datetime) else shown(value))


def _cell(value: Any) -> str:
    return visible(cell(value))


def _colours(theme: Theme) -> Mapping[str, str]:
    return {field.name: getattr(theme, field.name) for field in fields(theme)}


def _is_facts(paragraph: Any) -> bool:
    return isinstance(paragraph, Mapping)


def _is_table(paragraph: Any) -> bool:
    return isinstance(paragraph, CardTable)
