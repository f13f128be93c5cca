"""Times on the command line."""

from datetime import UTC, datetime

import click
import pytest

from jobs.commands.options import Moment


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01 12:30", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("2026-03-01T12:30:00Z", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("2026-03-01T12:30:00.5+02:00", datetime(2026, 3, 1, 10, 30, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_time_in_iso_8601_is_a_time_in_utc(text, time):
    assert Moment().convert(text, None, None) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1h", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("2d", datetime(2026, 2, 27, 12, 30, tzinfo=UTC)),
        ("1w", datetime(2026, 2, 22, 12, 30, tzinfo=UTC)),
        ("1h 30m ago", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("now", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("Today", datetime(2026, 3, 1, tzinfo=UTC)),
        ("yesterday", datetime(2026, 2, 28, tzinfo=UTC)),
    ],
)
def test_a_time_is_named_by_how_long_ago_it_was(text, time, now):
    assert Moment(lambda: now).convert(text, None, None) == time


@pytest.mark.parametrize(
    "text", ["", "tomorow", "1x", "99999999d", "2026-02-30", "0001-01-01", "9999-12-31", "9999-12-31T23:59-05:00"]
)
def test_another_text_is_refused(text):
    with pytest.raises(
        click.BadParameter, match="is not a valid time. Use a form such as|is not in the years 2 to 9998"
    ):
        Moment().convert(text, None, None)
