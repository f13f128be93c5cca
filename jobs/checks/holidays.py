"""Checks of the holidays of series: that they can be read, and which public holiday is the next."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from jobs.checks.finding import Finding
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.country_holidays import country_holidays
from schemas.errors import ConfigError
from schemas.holidays import read_holidays


def check_holidays(monitor: MonitorConfig) -> Iterator[Finding]:
    """Report holidays that cannot be read."""
    try:
        if monitor.series is not None:
            read_holidays(monitor.series, ())
    except ConfigError as exc:
        yield Finding("error", str(exc))


def check_country(monitor: MonitorConfig, at: datetime) -> Iterator[Finding]:
    """Report the number of public holidays in the year of a time and the next one, or that later ones are missing."""
    country = None if monitor.series is None else monitor.series.holiday_country
    if country is None:
        return
    today = at.astimezone(ZoneInfo(monitor.time_zone)).date()
    try:
        names = country_holidays(country, (today.year, today.year + 1))
    except ConfigError:  # an error of `check_holidays`
        return
    count = counted_noun(sum(day.year == today.year for day in names), "public holiday")
    if not any(day.year > today.year for day in names):
        yield Finding(
            "warning",
            f"{country!r} has {count} in {today.year}, and the installed version of the package `holidays` lists none "
            f"from {today.year + 1} on. List the dates in `holidays`, or update the package and train again.",
        )
        return
    following = next(day for day in names if day >= today)
    yield Finding("ok", f"{country!r} has {count} in {today.year}; the next is {following}, {names[following]}.")
