"""Compares a monitor's configuration with the live database, before anything runs."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Column, Connection, MetaData, Select, String, Table, cast, func, select
from sqlalchemy import Index as SqlIndex
from sqlalchemy.schema import CreateIndex

from jobs.alerting import check_address
from jobs.databases import reading
from jobs.dialects import Family
from jobs.key_growth import late_keys
from jobs.kinds import kind_of
from jobs.reading.source import Source
from jobs.reading.table import WatchedTable, raw_sql
from jobs.timing import Timing, check_timing
from schemas.config import Config, MonitorConfig
from schemas.errors import ConfigError, RecordsError, SourceError
from schemas.frames import FORMS, Form
from schemas.keys import key_label

if TYPE_CHECKING:
    import pandas as pd

_MIN_NORMAL_RECORDS = 20  # ten to train on, ten to calibrate with
_MAX_KEYS_CHECKED = 100_000  # the newest keys
_SAMPLE_RECORDS = 20_000  # the newest normal ones, whose values are read
_LARGE_TABLE_RECORDS = 10_000  # from this size on a series needs an index

_NUMBERS: set[Family] = {"integer", "float", "decimal", "boolean", "unknown"}
_TIMES: set[Family] = {"instant", "timestamp", "date", "unknown"}
_NO_KEYS: dict[Family, str] = {
    "float": "is not exact",
    "boolean": "has two values",
    "other": "has no order that new records follow",
}


@dataclass(frozen=True)
class Finding:
    """The outcome of a check: a problem with its solution, or success."""

    level: Literal["ok", "warning", "error"]
    message: str


def check_monitor(name: str, monitor: MonitorConfig, source: Source) -> list[Finding]:
    """Return every problem of a monitor, or one finding of level ok if there are none."""
    try:
        watched = source.table()
        problems = [*_types(monitor, watched), *_key_types(monitor, watched)]
        with reading(source.engine, SourceError) as connection:
            problems += _keys(connection, monitor, watched)
            problems += _records(connection, monitor, watched)
            if not _has_error(problems):
                problems += _growth(connection, name, monitor, watched)
            problems += _time_forms(connection, monitor, watched)
            problems += _indexes(connection, monitor, watched)
        if not _has_error(problems):
            problems += _normal_records(source, monitor, watched)
        if not _has_error(problems):
            problems += _features(source.read_normal(_SAMPLE_RECORDS, with_label=monitor.label is not None), monitor)
    except SourceError as exc:
        return [Finding("error", str(exc))]
    count = len(monitor.features.names)
    return problems or [Finding("ok", f"Monitor {name!r}: the table, its key and {count} features fit.")]


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)


def check_service(config: Config) -> Iterator[Finding]:
    """Yield the problems of the monitors' schedules and of the alert channels."""
    for name, monitor in config.monitors.items():
        openings = [window.cron for window in monitor.maintenance]
        for schedule in (monitor.score_every, monitor.retrain.every, *openings):
            if schedule is not None:
                yield from _refusals(f"Monitor {name!r}", partial(check_timing, Timing(schedule, monitor.time_zone)))
    for name, address in config.alerts.channels.items():
        yield from _refusals(f"Channel {name!r}", partial(check_address, address))


def refuse_bad_service(config: Config) -> None:
    """Refuse a configuration with a wrong schedule or channel.

    Raises:
        ConfigError: If there is one; names the first.
    """
    for finding in check_service(config):
        raise ConfigError(finding.message)


def _refusals(place: str, check: Callable[[], None]) -> Iterator[Finding]:
    try:
        check()
    except ConfigError as exc:
        yield Finding("error", f"{place}: {exc}")


def refuse_unfit(name: str, monitor: MonitorConfig, source: Source) -> None:
    """Refuse a monitor that does not fit its table.

    Raises:
        RecordsError: If a check finds an error; names the first.
    """
    for finding in check_monitor(name, monitor, source):
        if finding.level == "error":
            raise RecordsError(finding.message)


def needed_normal_records(rate: float) -> int:
    """Return how many normal records training needs if at most half of them calibrate the false-positive rate.

    >>> needed_normal_records(0.01)
    198
    """
    return max(2 * (math.ceil(1 / rate) - 1), _MIN_NORMAL_RECORDS)


def _types(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    # SQLite keeps times as texts
    times: set[Family] = _TIMES | {"text"} if watched.dialect.has_dynamic_types else _TIMES
    fitting_forms: dict[Form, set[Family]] = {"number": _NUMBERS, "truth": _NUMBERS, "time": times}
    roles = (
        *((kind, names, fitting_forms.get(FORMS[kind])) for kind, names in monitor.features.by_type().items()),
        ("time", (monitor.time,), times),
        ("updated", (monitor.updated,), times | {"integer"}),  # a number that grows with each change is enough
        ("label", (monitor.label,), _NUMBERS),
    )
    for role, names, fitting in roles:
        for column in (watched.columns[name] for name in names if name is not None):
            if fitting is not None and column.family not in fitting:
                yield Finding(
                    "error",
                    f"Column {column.name!r} is listed as {role}, but its type is {column.type.lower()}. "
                    "List it where it belongs in config.toml, or convert it in a query.",
                )


def _key_types(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    for column in (watched.columns[name] for name in monitor.key):
        if column.family in _NO_KEYS:
            yield Finding(
                "error",
                f"Column {column.name!r} in the key is of type {column.type.lower()}, which {_NO_KEYS[column.family]}. "
                "Choose a key that grows with each new record, such as an identity column or a time.",
            )
        elif column.family == "text":
            yield Finding(
                "warning",
                f"Column {column.name!r} in the key is text. Make sure that new records sort after old ones; "
                "a record that sorts before the watermark is never scored.",
            )
        elif column.family == "uuid":
            yield Finding(
                "warning",
                f"Column {column.name!r} in the key is a UUID. UUIDs of version 7 grow; random ones do not, so that "
                "most new records would sort before the watermark and come late. Make sure that yours grow, or choose "
                "another key, such as an identity column or a time.",
            )


def _keys(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    named = ", ".join(monitor.key)
    for column in watched.key_columns():
        if connection.execute(select(column).where(column.is_(None)).limit(1)).first() is not None:
            yield Finding("error", f"Column {column.key!r} in the key is null in a record. Choose a key without nulls.")
    if any(index.is_unique and set(index.columns) <= set(monitor.key) for index in watched.indexes or ()):
        return
    newest = select(*watched.key_columns()).where(watched.after(None)).order_by(*watched.order(newest_first=True))
    keys = newest.limit(_MAX_KEYS_CHECKED).subquery("newest")
    repeated = select(*keys.c).group_by(*keys.c).having(func.count() > 1).limit(1)
    duplicate = connection.execute(repeated).first()
    if duplicate is not None:
        label = key_label(tuple(duplicate))
        yield Finding("error", f"The key ({named}) is not unique: {label} occurs twice. Choose a unique key.")


def _growth(connection: Connection, name: str, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a key by which the newest records sort below older ones."""
    late = late_keys(connection, monitor, watched)
    if late is not None:
        listed = ", ".join(f'"{part}"' for part in late.proposal)
        key = f"[{listed}]" if len(late.proposal) > 1 else listed
        yield Finding(
            "warning",
            f"The key ({', '.join(monitor.key)}) does not grow: {late.late:,} of the newest {late.newest:,} records by "
            f"{late.column!r} sort below older records, so they come late and are not scored after `late_after`. "
            f"Set key = {key} under [monitors.{name}].",
        )


def _features(records: "pd.DataFrame", monitor: MonitorConfig) -> Iterator[Finding]:
    """Report the features by which new records are unlike the training records."""
    from jobs.unsteady_features import unsteady_features

    for warning in unsteady_features(records, monitor).values():
        yield Finding("warning", warning)


def _records(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    if connection.execute(select(*watched.key_columns()).limit(1)).first() is None:
        yield Finding("error", "The table holds no records. Fill it, for example with: plumbline import FILE")
        return
    for name in monitor.features.names:
        column = watched.records.c[name]
        if connection.execute(select(column).where(column.is_not(None)).limit(1)).first() is None:
            yield Finding(
                kind_of(monitor).null_feature,
                f"Column {name!r} is null in every record. Remove it from config.toml.",
            )


def _normal_records(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    is_conformal = monitor.first_threshold == "conformal"
    if monitor.normal is None and not is_conformal:
        return
    needed = needed_normal_records(monitor.false_positive_rate)
    try:
        with reading(source.engine, SourceError) as connection:
            count = connection.scalar(_normal_count(monitor, watched)) or 0
    except SourceError as exc:
        if monitor.normal is None:
            raise
        yield Finding(
            "error",
            f"`normal` is {monitor.normal!r}, and {str(exc)[0].lower()}{str(exc)[1:]} It is a condition in the "
            "database's own SQL; put a name with capitals or spaces in double quotes.",
        )
        return
    if is_conformal and count < needed:
        yield Finding(
            "error",
            f"Found {count} normal records to train on; a false-positive rate of {monitor.false_positive_rate:g} needs "
            f"{needed}, as at most half of them calibrate. Collect more (or raise max_training_records if it is the "
            'limit), set a larger rate, or set threshold = "pot".',
        )


def _normal_count(monitor: MonitorConfig, watched: WatchedTable) -> Select[Any]:
    normal = select(*watched.key_columns()).limit(monitor.max_training_records)
    if monitor.normal is not None:
        normal = normal.where(raw_sql(f"({monitor.normal}\n)"))
    return select(func.count()).select_from(normal.subquery("normal_records"))


def _time_forms(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report times of a series in more than one form, if the database orders them as texts."""
    if monitor.time is None or monitor.time not in kind_of(monitor).past_columns(monitor):
        return
    time = watched.records.c[monitor.time]
    form = watched.dialect.written_form(time)
    if form is None:
        return
    examples = select(func.min(cast(time, String))).where(time.is_not(None)).group_by(*form).limit(2)
    forms = connection.scalars(examples).all()
    if len(forms) > 1:
        yield Finding(
            "error",
            f"The column {monitor.time!r} holds times in more than one form, such as {' and '.join(map(repr, forms))}, "
            f"which {watched.dialect.title} does not order by time. Write all in one form, such as "
            "'2026-01-31 08:00:00.000000', in UTC.",
        )


def _indexes(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    if not _has_index(watched, monitor.key):
        yield Finding(
            "warning",
            f"No index begins with the key ({', '.join(monitor.key)}), so that every batch reads the whole table. "
            f"Create one: {_create_index(connection, watched, monitor.key)}",
        )
    columns = kind_of(monitor).past_columns(monitor)
    if columns and not _has_index(watched, columns):
        yield Finding(
            "error" if _is_large(connection, watched) else "warning",
            f"No index begins with ({', '.join(columns)}), so that the past of every series is searched for in the "
            f"whole table. Create one: {_create_index(connection, watched, columns)}",
        )


def _has_index(watched: WatchedTable, columns: tuple[str, ...]) -> bool:
    """Return whether an index begins with the columns; True for a view or a query, whose indexes are not visible."""
    indexes = watched.indexes
    return indexes is None or any(index.columns[: len(columns)] == columns for index in indexes)


def _create_index(connection: Connection, watched: WatchedTable, columns: tuple[str, ...]) -> str:
    name = str(getattr(watched.records, "name", ""))
    schema = getattr(watched.records, "schema", None)
    copy = Table(name, MetaData(), *(Column(column) for column in columns), schema=schema)
    index = SqlIndex(f"ix_{name}_{'_'.join(columns)}"[:60], *copy.c)
    return f"{CreateIndex(index).compile(dialect=connection.dialect)};"


def _is_large(connection: Connection, watched: WatchedTable) -> bool:
    """Return whether the table is too large to be searched for the past of each series."""
    first = select(*watched.key_columns()).limit(_LARGE_TABLE_RECORDS).subquery("first_records")
    return (connection.scalar(select(func.count()).select_from(first)) or 0) >= _LARGE_TABLE_RECORDS
