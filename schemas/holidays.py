"""The holidays of a monitor: dates from its configuration, those of a country, or those of a calendar file."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from schemas.country_holidays import country_holidays
from schemas.errors import ConfigError
from schemas.series import SeriesConfig

MAX_EVENT_DAYS = 400  # a longer event is no holiday


def read_holidays(config: SeriesConfig, years: Iterable[int]) -> tuple[str, ...]:
    """Return the holidays of a section as dates such as "2026-12-25", in ascending order; of a country, in some years.

    Raises:
        ConfigError: If the calendar file cannot be read, or there is no such country.
    """
    if not isinstance(config.holidays, str):
        return tuple(sorted({day.isoformat() for day in config.holidays}))
    if config.holiday_country is not None:
        return tuple(day.isoformat() for day in country_holidays(config.holiday_country, years))
    path = Path(config.holidays)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"The holidays in {path} cannot be read: {exc}. Expected an iCalendar file (.ics) in UTF-8."
        raise ConfigError(msg) from exc
    return tuple(sorted({day.isoformat() for day in _days(text, path)}))


def _days(text: str, path: Path) -> Iterator[date]:
    """Yield the days of all events of a calendar."""
    events = _events(text)
    if not events:
        msg = f"{path} has no event. Expected an iCalendar file with a VEVENT for each holiday."
        raise ConfigError(msg)
    for event in events:
        if "RRULE" in event:
            msg = f"{path} has an event that repeats (RRULE). List each of its days as an event of its own."
            raise ConfigError(msg)
        if "DTSTART" not in event:
            msg = f"{path} has an event without DTSTART. Give each event a start such as DTSTART;VALUE=DATE:20261225."
            raise ConfigError(msg)
        first = _date(event["DTSTART"], path)
        end = _date(event["DTEND"], path) if "DTEND" in event else first + timedelta(days=1)
        days = max((end - first).days, 1)  # the end is exclusive
        if days > MAX_EVENT_DAYS:
            msg = f"{path} has an event of {days} days. Expected at most {MAX_EVENT_DAYS}; shorten it or leave it out."
            raise ConfigError(msg)
        yield from (first + timedelta(days=number) for number in range(days))


def _events(text: str) -> list[dict[str, str]]:
    """Return the properties of each VEVENT by name, without parameters; those of parts within an event are left out."""
    events: list[dict[str, str]] = []
    open_parts: list[str] = []
    for line in text.replace("\r\n ", "").replace("\n ", "").splitlines():  # a line that begins with a space continues
        name, _, value = line.partition(":")
        name = name.partition(";")[0].strip().upper()
        if name == "BEGIN":
            open_parts.append(value.strip().upper())
            if open_parts[-1] == "VEVENT":
                events.append({})
        elif name == "END" and open_parts:
            open_parts.pop()
        elif open_parts and open_parts[-1] == "VEVENT":
            events[-1].setdefault(name, value.strip())
    return events


def _date(value: str, path: Path) -> date:
    try:
        return datetime.strptime(value[:8], "%Y%m%d").date()  # noqa: DTZ007 - a day of the local calendar
    except ValueError:
        msg = f"{path} has the date {value!r}. Expected a day such as 20261225."
        raise ConfigError(msg) from None
