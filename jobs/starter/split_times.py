"""Times that a table keeps as a date and a time of day, or an hour, in two columns; a query has them in one."""

import re
from dataclasses import replace

import pandas as pd
from sqlalchemy import Connection, TableClause

from jobs.starter.labels import quoted
from jobs.starter.sample import Sample
from jobs.starter.source_query import SourceQuery, described_query, place_of
from jobs.starter.times import propose_times

_TIME_OF_DAY = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?"
_HOUR_NAME = re.compile(r"(^|_|\s)(hours?|hr|hh|stunde|std)($|_|\s)", re.IGNORECASE)
_HOURS = range(25)  # some count from 1 to 24
_MAX_DAYS = 0.5  # distinct dates by records: a day has several
_MIN_RISING_SHARE = 0.7  # of the steps from record to record of a day, by which a time of day is that of the record


def query_of_moments_in_two_columns(connection: Connection, sample: Sample) -> SourceQuery | None:
    """Return a query that has date and time of day of a table in one column; None if they are not apart."""
    table, date = sample.table, propose_times(sample, None).time
    if date is None or not isinstance(table.records, TableClause) or not _has_days_alone(sample, date):
        return None
    parts = (column.name for column in sample.columns(date) if _is_part(sample, column.name))
    part = next((name for name in parts if _rises_within_days(sample, date, name)), None)
    if part is None or f"{date}_{part}" in table.columns:
        return None
    name, is_hour = f"{date}_{part}", not sample.is_text(part)
    moment = table.dialect.moment_of_parts(quoted(connection, date), quoted(connection, part), is_hour=is_hour)
    if moment is None:
        return None
    sql = f"SELECT *, {moment} AS {quoted(connection, name)} FROM {place_of(connection, table.records)}"
    return SourceQuery(
        sql,
        replace(described_query(connection, sql, table), key=table.key, indexes=table.indexes),
        f"The query has {date} and {part} as one time.",
        left_out=dict.fromkeys((date, part), f"a part of the time: {name} of the query has it"),
        time=name,
    )


def _has_days_alone(sample: Sample, name: str) -> bool:
    """Return whether times are the beginning of a day, with several records for most days."""
    times = sample.times(name).dropna()
    return bool((times == times.dt.normalize()).all()) and times.nunique() <= _MAX_DAYS * len(times)


def _rises_within_days(sample: Sample, date: str, part: str) -> bool:
    """Return whether times of day grow with the records of a day, unlike hours of work or the time of a fault."""
    days, ranks = sample.times(date), sample.records[part].rank(method="dense")
    steps = ranks.diff()[days == days.shift()]
    return len(steps) > 0 and float((steps >= 0).mean()) >= _MIN_RISING_SHARE


def _is_part(sample: Sample, name: str) -> bool:
    """Return whether a column holds times of day as texts, or hours by its name and values."""
    if not sample.is_read(name) or sample.null_share(name) > 0:
        return False
    if sample.is_text(name):
        return bool(sample.present(name).str.fullmatch(_TIME_OF_DAY).all())
    is_number = sample.table.columns[name].family in {"integer", "unknown"}
    hours = pd.to_numeric(sample.present(name), errors="coerce")
    return is_number and _HOUR_NAME.search(name) is not None and bool(hours.isin(_HOURS).all())
