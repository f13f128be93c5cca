"""Holidays of a monitor: dates or the events of a calendar file; what cannot be read is refused."""

import pytest

from schemas.config import load_config
from schemas.errors import ConfigError
from schemas.holidays import read_holidays
from schemas.series import SeriesConfig

CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
SUMMARY:Christmas: two
  days
BEGIN:VALARM
DTSTART:19990101
END:VALARM
END:VEVENT
BEGIN:VEVENT
DTSTART:20260501T000000
END:VEVENT
END:VCALENDAR
"""


def test_dates_are_sorted_and_listed_once():
    assert read_holidays(SeriesConfig(holidays=["2026-12-25", "2026-05-01", "2026-12-25"])) == (
        "2026-05-01",
        "2026-12-25",
    )


def test_every_day_of_an_event_is_a_holiday_and_its_end_is_not(tmp_path):
    (tmp_path / "days.ics").write_text(CALENDAR)
    monitor = '[monitors.m]\ntable = "t"\nkey = "id"\ntime = "at"\nnumeric = "x"\nseries = { holidays = "days.ics" }\n'
    (tmp_path / "config.toml").write_text(monitor)
    config = load_config(tmp_path / "config.toml", {}).monitor("m").series  # the path starts at the file's folder
    assert read_holidays(config) == ("2026-05-01", "2026-12-25", "2026-12-26")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("DTSTART:20260501T000000", "SUMMARY:none"), "has an event without DTSTART"),
        (("20260501T", "2026-5-1T"), r"has the date '2026-5-1T000000'. Expected a day such as 20261225"),
        (("DTSTART:20260501", "RRULE:FREQ=YEARLY\nDTSTART:20260501"), r"repeats \(RRULE\)"),
        (("20261227", "20291227"), "has an event of 1098 days"),
        (("VEVENT", "VTODO"), "has no event"),
    ],
)
def test_a_calendar_file_that_cannot_be_used_is_refused(tmp_path, change, message):
    (tmp_path / "days.ics").write_text(CALENDAR.replace(*change))
    with pytest.raises(ConfigError, match=message):
        read_holidays(SeriesConfig(holidays=str(tmp_path / "days.ics")))


def test_a_missing_calendar_file_is_refused():
    with pytest.raises(ConfigError, match="The holidays in none.ics cannot be read"):
        read_holidays(SeriesConfig(holidays="none.ics"))
    with pytest.raises(ValueError, match="or the path of an .ics file"):
        SeriesConfig(holidays="2026-12-25")
