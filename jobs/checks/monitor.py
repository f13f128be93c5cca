"""Compares a monitor's configuration with the live database, before anything runs."""

from collections.abc import Iterable

from jobs.checks.columns import check_entities, check_texts, check_time_forms, check_times, check_types
from jobs.checks.finding import Finding
from jobs.checks.holidays import check_holidays
from jobs.checks.indexes import check_key_index, check_past_index
from jobs.checks.keys import check_growth, check_key_types, check_keys
from jobs.checks.records import check_features, check_normal_records, check_records, check_unreadable
from jobs.checks.series import check_series
from jobs.databases import reading
from jobs.reading.source import Source
from jobs.wording import counted_noun
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, SourceAway, SourceError
from schemas.unreadable import UnreadableRecord

_SAMPLE_RECORDS = 20_000  # the newest normal ones, whose values are read


def check_monitor(name: str, monitor: MonitorConfig, source: Source) -> list[Finding]:
    """Return every problem of a monitor, or one finding of level ok if there are none."""
    try:
        problems = _problems(name, monitor, source)
    except SourceError as exc:
        return [Finding("error", str(exc))]
    features = counted_noun(len(monitor.features.names), "feature")
    if all(finding.level == "ok" for finding in problems):
        problems.insert(0, Finding("ok", f"Monitor {name!r}: the table, its key and {features} fit."))
    return problems


def refuse_unfit(name: str, monitor: MonitorConfig, source: Source) -> None:
    """Refuse a monitor that does not fit its table.

    Raises:
        RecordsError: If a check finds an error; names the first.
        SourceAway: If the database of the table cannot be reached.
    """
    try:
        problems = _problems(name, monitor, source)
    except SourceAway:
        raise
    except SourceError as exc:
        raise RecordsError(str(exc)) from exc
    for finding in problems:
        if finding.level == "error":
            raise RecordsError(finding.message)


def _problems(name: str, monitor: MonitorConfig, source: Source) -> list[Finding]:
    watched = source.table()
    problems = [*check_holidays(monitor), *check_types(monitor, watched), *check_key_types(monitor, watched)]
    with reading(source.engine, SourceError) as connection:
        problems += check_keys(connection, monitor, watched)
        problems += check_records(connection, monitor, watched)
        problems += check_times(connection, monitor, watched)
        if not _has_error(problems):
            problems += check_growth(connection, name, monitor, watched)
        problems += check_time_forms(connection, monitor, watched)
        problems += check_key_index(connection, monitor, watched)
    if not _has_error(problems):
        problems += check_normal_records(source, monitor, watched)
    problems += check_entities(source, monitor, watched)
    if not _has_error(problems):
        problems += check_past_index(source, monitor, watched)
        unreadable: list[UnreadableRecord] = []
        newest = source.read_normal(_SAMPLE_RECORDS, with_label=monitor.label is not None, left_out=unreadable)
        problems += check_unreadable(source.name, unreadable, len(newest))
        problems += check_texts(monitor, watched, newest)
        problems += check_series(newest, monitor)
        problems += check_features(newest, monitor)
    return problems


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)
