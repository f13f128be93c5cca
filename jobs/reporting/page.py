"""The report as one HTML page that needs nothing else: no network, no script; every value is escaped."""

import itertools
from collections.abc import Mapping
from dataclasses import fields

from markupsafe import Markup

from jobs.html import html_environment
from jobs.pictures import DARK, LIGHT, draw_daily_rates, draw_view, inline_pair
from jobs.pictures.style import Theme
from jobs.reporting.report import MonitorReport
from jobs.wording import counted_noun, percent, shown, utc


def render_report(report: MonitorReport) -> str:
    """Return a report as an HTML document."""
    environment = html_environment("jobs.reporting")
    names = (f"p{number}" for number in itertools.count())
    environment.globals |= {
        "view_picture": lambda view: _both(inline_pair(lambda canvas: draw_view(view, canvas), next(names))),
        "daily_picture": lambda rates: _both(inline_pair(lambda canvas: draw_daily_rates(rates, canvas), next(names))),
        "colours": {"light": _colours(LIGHT), "dark": _colours(DARK)},
    }
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


def _colours(theme: Theme) -> Mapping[str, str]:
    return {field.name: getattr(theme, field.name) for field in fields(theme)}
