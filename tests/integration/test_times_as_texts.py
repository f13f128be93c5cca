"""Times that are texts in SQLite: a young record waits in whatever form its time is written."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from jobs.checks import check_monitor
from jobs.databases import open_engine, writing
from jobs.reading.source import Source
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import KeyRange

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
READ = [  # all of them 06:39 UTC
    "2026-11-28 06:39:00",
    "2026-11-28T06:39:00Z",
    "2026/11/28 06:39:00",
    "2026.11.28 06:39:00",
    "20261128T063900",
    "20261128 063900",
    "2026-11-28T08:39:00+0200",
    "2026-11-28 08:39:00+02",
    "2026-11-28 08:39:00 +02:00",
    "2026-11-28 6:39:00",
    " 2026-11-28 06:39:00",
]
NOT_READ = [
    "28.11.2026 06:39:00",
    "28/11/2026 06:39",
    "11/28/2026 06:39:00",
    1764311940,
    1764311940000,
    "1764311940",
    2461372.7,
]
DATES = ["20261129", "2026/11/29"]


@pytest.fixture
def watched(sqlite_url):
    """Return a function that fills a table with times and opens the monitor on it."""
    engine = open_engine(sqlite_url)
    opened = []

    def fill(*times, declared="", **settings):
        with writing(engine) as connection:
            connection.execute(text(f"CREATE TABLE readings (id INTEGER PRIMARY KEY, read_at {declared}, flow REAL)"))
            insert = text("INSERT INTO readings VALUES (:id, :time, :id / 7.0)")
            connection.execute(insert, [{"id": key, "time": time} for key, time in enumerate(times, start=1)])
        settings = {"table": "readings", "key": "id", "time": "read_at", "numeric": ["flow"]} | settings
        opened.append(Source("pump", MonitorConfig(**settings), engine))
        return opened[-1]

    yield fill
    for source in opened:
        source.close()
    engine.dispose()


@pytest.mark.parametrize("written", READ)
def test_a_record_waits_until_it_is_settled(watched, written):
    source = watched("2026-11-28 03:00:00", written, "2026-11-28 04:00:00")
    read_at = datetime(2026, 11, 28, 6, 39, tzinfo=UTC)
    assert source.next_range(None, 9, read_at - timedelta(seconds=1)) == KeyRange(None, (1,))
    assert source.next_range(None, 9, read_at) == KeyRange(None, (3,))
    assert list(source.read(KeyRange(None, (3,)))["read_at"])[1] == read_at


@pytest.mark.parametrize("written", DATES)
def test_a_date_waits_until_its_midnight(watched, written):
    source = watched(written)
    assert source.next_range(None, 9, NOON) is None
    assert source.next_range(None, 9, NOON + timedelta(hours=12)) == KeyRange(None, (1,))


@pytest.mark.parametrize("written", NOT_READ)
def test_a_value_that_is_no_time_is_named_instead_of_settled(watched, written):
    source = watched("2026-11-28 03:00:00", written)
    with pytest.raises(SourceError, match="'read_at' .* should hold a time, but the record with key 2 holds"):
        source.read(source.next_range(None, 9, NOON))


@pytest.mark.parametrize("clock", ["now", "today"])
def test_a_word_is_no_time(watched, clock):
    source = watched(clock)
    with pytest.raises(SourceError, match="should hold a time"):
        source.read(source.next_range(None, 9, NOON))


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("28.11.2026 06:39:00", "Write times like '2026-01-31 08:00:00', in UTC"),
        (1764311940, r"Convert numbers in a `query`: datetime\(column, 'unixepoch'\)"),
        ("1764311940000", r"Convert numbers in a `query`: datetime\(column / 1000.0, 'unixepoch'\)"),
    ],
)
def test_check_names_a_value_that_is_no_time_however_old_it_is(watched, written, advice):
    times = [f"2026-11-{day:02} {hour:02}:00:00" for day in range(1, 28) for hour in range(24)]
    source = watched("2026-10-01 00:00:00", written, *times * 2)
    findings = check_monitor("pump", source.monitor, source)
    shown = f"'read_at' holds {written!r}, which is not read as a time, in the record with the key 2[.] {advice}"
    assert any(re.search(shown, finding.message) for finding in findings)


@pytest.mark.parametrize("written", ["2026/11/28 06:39:00", "20261128T063900", "2026-11-28T08:39:00+0200"])
def test_check_names_times_that_the_database_does_not_read(watched, written):
    source = watched(*[written] * 60, false_positive_rate=0.1)
    findings = check_monitor("pump", source.monitor, source)
    (finding,) = (finding for finding in findings if not finding.message.startswith("Feature"))
    assert finding.level == "warning"
    assert (
        f"holds times such as {written!r}, which Plumbline reads and the functions of SQLite do not" in finding.message
    )


def test_usual_times_are_no_finding(watched):
    times = ["2026-11-28 06:39:00", "2026-11-28T06:39:00Z", None, "2026-11-28", *["2026-11-28 06:39:00.5"] * 60]
    source = watched(*times, false_positive_rate=0.1)
    findings = check_monitor("pump", source.monitor, source)
    assert all(finding.level == "ok" or finding.message.startswith("Feature 'flow' rises") for finding in findings)


@pytest.mark.parametrize(
    ("before", "after"), [(1764311940.25, 1764311940.5), ("20261128T063900", "20261128T063901"), (b"a", b"b")]
)
def test_a_time_of_change_in_any_form_takes_effect(watched, before, after):
    source = watched(before, "2026-11-28 03:00:00", time=None, updated="read_at")
    before_change = source.fingerprint(KeyRange(None, (2,)))
    with writing(source.engine) as connection:
        connection.execute(text("UPDATE readings SET read_at = :after WHERE id = 1"), {"after": after})
    assert source.fingerprint(KeyRange(None, (2,))).differs_from(before_change)
