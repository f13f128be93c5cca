"""Holidays of a monitor: dates, those of a country or the events of a calendar file; others are refused."""

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from detector.series.clock import holiday_years
from jobs.checks import check_country
from jobs.training.series_training import settings_of
from schemas.config import MonitorConfig, load_config
from schemas.country_holidays import country_holidays
from schemas.errors import ConfigError
from schemas.holidays import read_holidays
from schemas.series import SeriesConfig
from tests.workspace import ROOT

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

SCORING = """
import pathlib, sys
import jobs.kinds.series, jobs.scoring.run, schemas.holidays
from schemas.config import load_config

load_config(pathlib.Path(sys.argv[1]), {})
sys.exit("holidays" in sys.modules)
"""


def test_dates_are_sorted_and_listed_once():
    assert read_holidays(SeriesConfig(holidays=["2026-12-25", "2026-05-01", "2026-12-25"]), [2030]) == (
        "2026-05-01",
        "2026-12-25",
    )


def test_every_day_of_an_event_is_a_holiday_and_its_end_is_not(tmp_path):
    (tmp_path / "days.ics").write_text(CALENDAR)
    monitor = '[monitors.m]\ntable = "t"\nkey = "id"\ntime = "at"\nnumeric = "x"\nseries = { holidays = "days.ics" }\n'
    (tmp_path / "config.toml").write_text(monitor)
    config = load_config(tmp_path / "config.toml", {}).monitor("m").series  # the path starts at the file's folder
    assert read_holidays(config, [2030]) == ("2026-05-01", "2026-12-25", "2026-12-26")


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
        read_holidays(SeriesConfig(holidays=str(tmp_path / "days.ics")), ())


def test_a_missing_calendar_file_is_refused():
    with pytest.raises(ConfigError, match="The holidays in none.ics cannot be read"):
        read_holidays(SeriesConfig(holidays="none.ics"), ())
    with pytest.raises(ValueError, match="or the path of an .ics file"):
        SeriesConfig(holidays="2026-12-25")
    with pytest.raises(ValueError, match='its subdivision such as "DE-BY"'):
        SeriesConfig(holidays="days.txt")


@pytest.mark.parametrize(
    ("place", "day", "name"),
    [
        ("DE-BY", "2026-06-04", "Corpus Christi"),
        ("DE-BE", "2026-06-04", None),
        ("DE", "2026-10-03", "German Unity Day"),
        ("US", "2026-11-26", "Thanksgiving Day"),
        ("US-NY", "2026-02-12", "Lincoln's Birthday"),
        ("US-TX", "2026-02-12", None),
        ("JP", "2026-09-22", "National Holiday"),
    ],
)
def test_a_country_has_its_public_holidays_and_those_of_its_subdivision(place, day, name):
    days = country_holidays(place, [2026])
    assert {date.isoformat(): title for date, title in days.items()}.get(day) == name
    assert list(days) == sorted(days)


def test_years_that_lack_holidays_by_the_moon_are_no_warning():
    assert len(country_holidays("IN", [2036])) < len(country_holidays("IN", [2035]))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("UK", "has no country with the code 'UK'. Did you mean 'GB'?"),
        ("Germany", "'Germany'. Did you mean 'DE'?"),
        ("XX", "'XX'. Expected a code of ISO 3166"),
        ("DE-XX", "'DE' has no subdivision 'XX'. Use one of: BB, BE, BW, BY, HB"),
        ("DE-Bayern", "'DE' has no subdivision 'Bayern'. Did you mean 'DE-BY'?"),
        ("JP-13", "has no subdivisions of 'JP', received '13'. Use 'JP' alone."),
    ],
)
def test_an_unknown_country_or_subdivision_is_refused_with_what_was_expected(place, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        read_holidays(SeriesConfig(holidays=place), ())


def test_a_country_is_no_path_of_a_file_and_reading_it_imports_no_package(tmp_path):
    monitor = '[monitors.m]\ntable = "t"\nkey = "id"\ntime = "at"\nnumeric = "x"\nseries = { holidays = "DE" }\n'
    (tmp_path / "config.toml").write_text(monitor)
    assert load_config(tmp_path / "config.toml", {}).monitor("m").series.holidays == "DE"
    subprocess.run([sys.executable, "-c", SCORING, str(tmp_path / "config.toml")], cwd=ROOT, check=True)


def test_a_model_stores_the_holidays_from_its_first_record_to_ten_years_after_its_last():
    runs = [np.array(["2025-01-01T03:00", "2026-03-01"], "M8[s]"), np.array(["2025-06-01"], "M8[s]")]
    years = holiday_years(runs, "America/New_York")  # it is still 2024 there
    settings = settings_of(SeriesConfig(holidays="US-NY"), "America/New_York", years)
    assert (settings.holidays[0], settings.holidays[-1]) == ("2024-01-01", "2036-12-25")
    assert "2026-11-26" in settings.holidays
    assert holiday_years([np.arange(3)], "UTC") == range(0)


@pytest.mark.parametrize(
    ("country", "at", "finding"),
    [
        (
            "DE-BY",
            "2026-12-26T23:30",
            ("ok", "'DE-BY' has 12 public holidays in 2026; the next is 2027-01-01, New Year's Day."),
        ),
        (
            "DE-BY",
            "2026-11-30T12:00",
            ("ok", "'DE-BY' has 12 public holidays in 2026; the next is 2026-12-25, Christmas Day."),
        ),
        ("DE", "2100-06-01T12:00", ("warning", "'DE' has 9 public holidays in 2100, and the installed version")),
    ],
)
def test_check_reports_the_holidays_of_this_year_and_the_next_one_by_local_time(country, at, finding):
    monitor = MonitorConfig(
        table="t", key="id", time="at", numeric="x", time_zone="Europe/Berlin", series={"holidays": country}
    )
    (found,) = check_country(monitor, datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert (found.level, found.message[: len(finding[1])]) == finding


def test_check_reports_no_country_for_dates_files_and_unknown_countries():
    for days in (["2026-12-25"], "days.ics", "XX"):
        monitor = MonitorConfig(table="t", key="id", time="at", numeric="x", series={"holidays": days})
        assert list(check_country(monitor, datetime(2026, 1, 1, tzinfo=UTC))) == []
