"""Compares a monitor's configuration with the live database, before anything runs."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    String,
    Subquery,
    Table,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy import Index as SqlIndex
from sqlalchemy.schema import CreateIndex

from jobs.alerting import check_address
from jobs.databases import reading
from jobs.dialects import Family
from jobs.dialects.type_advice import conversion_advice
from jobs.key_growth import late_keys
from jobs.kinds import kind_of
from jobs.reading.source import Source, keys_of
from jobs.reading.table import WatchedTable, raw_sql
from jobs.reading.text_forms import disguise_of
from jobs.reading.tolerant import are_few
from jobs.timing import Timing, check_timing
from jobs.wording import counted_noun, number
from schemas.config import Config, MonitorConfig
from schemas.errors import ConfigError, RecordsError, SourceError
from schemas.frames import FORMS, Form
from schemas.keys import key_label
from schemas.unreadable import UnreadableRecord, listed

_MIN_NORMAL_RECORDS = 20  # ten to train on, ten to calibrate with
_MAX_KEYS_CHECKED = 100_000  # the newest keys
_SAMPLE_RECORDS = 20_000  # the newest normal ones, whose values are read
_MOMENTS_OF_PAST = 64  # about as many as a series is scored with

_NUMBERS: set[Family] = {"integer", "float", "decimal", "boolean", "unknown"}
_TIMES: set[Family] = {"instant", "timestamp", "date", "unknown"}


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
            problems += _unread_times(connection, monitor, watched)
            if not _has_error(problems):
                problems += _growth(connection, name, monitor, watched)
            problems += _time_forms(connection, monitor, watched)
            problems += _key_index(connection, monitor, watched)
        if not _has_error(problems):
            problems += _normal_records(source, monitor, watched)
        problems += _entities(source, monitor, watched)
        if not _has_error(problems):
            problems += _past_index(source, monitor, watched)
            unreadable: list[UnreadableRecord] = []
            newest = source.read_normal(_SAMPLE_RECORDS, with_label=monitor.label is not None, left_out=unreadable)
            problems += _unreadable(source.name, unreadable, len(newest))
            problems += _numbers_as_texts(monitor, watched, newest)
            problems += _features(newest, monitor)
    except SourceError as exc:
        return [Finding("error", str(exc))]
    features = counted_noun(len(monitor.features.names), "feature")
    return problems or [Finding("ok", f"Monitor {name!r}: the table, its key and {features} fit.")]


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
                    + conversion_advice(column.name, column.type, role),
                )
    yield from _texts(monitor, watched)


def _texts(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report categories and entities of a type without a form of its own: they are read as text."""
    for name in dict.fromkeys((*monitor.features.categorical, monitor.entity)):
        if name is not None and watched.columns[name].family == "other":
            yield Finding(
                "warning",
                f"Column {name!r} is of type {watched.columns[name].type.lower()}, and is read as its text: two values "
                "are the same if their texts are. If that is not what you mean, convert it in a query.",
            )


def _key_types(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    for column in (watched.columns[name] for name in monitor.key):
        reason = watched.dialect.unordered_families.get(column.family)
        if reason is not None:
            yield Finding(
                "error",
                f"Column {column.name!r} in the key is of type {column.type.lower()}, which {reason}. "
                "Choose a key that grows with each new record, such as an identity column or a time.",
            )
        elif column.family in {"text", "enum"}:
            yield Finding(
                "warning",
                f"Column {column.name!r} in the key is {column.family}. Make sure that new records sort after old "
                "ones; a record that sorts before the watermark is never scored.",
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
    keys = _newest(watched)
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
        if connection.execute(select(literal(1)).where(column.is_not(None)).limit(1)).first() is None:
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
            f"database's own SQL; {watched.dialect.quoting_advice}.",
        )
        return
    if is_conformal and count < needed:
        yield Finding(
            "error",
            f"Found {counted_noun(count, 'normal record')} to train on; a false-positive rate of "
            f"{number(monitor.false_positive_rate)} needs "
            f"{needed}, as at most half of them calibrate. Collect more (or raise max_training_records if it is the "
            'limit), set a larger rate, or set threshold = "pot".',
        )


def _numbers_as_texts(monitor: MonitorConfig, watched: WatchedTable, records: pd.DataFrame) -> Iterator[Finding]:
    """Report columns of texts that look like numbers or times, by a sample of the records."""
    texts: set[Family] = {"text", "unknown"}
    for name in monitor.features.holding("text"):
        if watched.columns[name].family not in texts:  # a number by its type: its owner made it a category
            continue
        disguise = disguise_of(records[name].dropna())
        if disguise is not None:
            yield Finding(
                "warning",
                f"Column {name!r} is listed as categorical, and holds {disguise.description}. Each of them is a "
                "category of its own, and a new one is anomalous. Convert the column, in the table or in a `query`.",
            )


def _normal_count(monitor: MonitorConfig, watched: WatchedTable) -> Select[Any]:
    normal = select(*watched.key_columns()).limit(monitor.max_training_records)
    if monitor.normal is not None:
        normal = normal.where(raw_sql(f"({monitor.normal}\n)"))
    return select(func.count()).select_from(normal.subquery("normal_records"))


def _unread_times(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report values among the newest that are no times, and times that only Plumbline reads."""
    dialect = watched.dialect
    for name in dict.fromkeys((monitor.time, *monitor.features.holding("time"))):
        if name is None:
            continue
        newest, columns = _newest(watched, name), (name, *watched.key)
        if (example := _example(connection, newest, columns, dialect.is_no_time(newest.c[name]))) is not None:
            value, *key = example
            yield Finding(
                "warning",
                f"Column {name!r} holds {value!r}, which is not read as a time, in the record with the key "
                f"{key_label(tuple(key))}. {dialect.time_advice(value)}.",
            )
        if (example := _example(connection, newest, columns, dialect.is_foreign_time(newest.c[name]))) is not None:
            yield Finding(
                "warning",
                f"Column {name!r} holds times such as {example[0]!r}, which Plumbline reads and the functions of "
                f"{dialect.title} do not, so that conditions and dashboards may miss them. "
                "Write times like '2026-01-31 08:00:00', in UTC.",
            )


def _newest(watched: WatchedTable, *names: str) -> Subquery:
    """Return the keys and columns of the newest records, as many as are checked."""
    columns = dict.fromkeys((*names, *watched.key))
    newest = select(*(watched.records.c[name] for name in columns)).where(watched.after(None))
    return newest.order_by(*watched.order(newest_first=True)).limit(_MAX_KEYS_CHECKED).subquery("newest")


def _example(
    connection: Connection, newest: Subquery, names: Sequence[str], condition: ColumnElement[bool] | None
) -> Sequence[Any] | None:
    """Return columns of the first record that meets a condition, or None."""
    if condition is None:
        return None
    return connection.execute(select(*(newest.c[name] for name in names)).where(condition).limit(1)).first()


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


def _entities(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report entities that the database cannot compare, if the past of a record is searched for by them."""
    name = monitor.entity
    if name is None or name not in kind_of(monitor).past_columns(monitor):
        return
    entity, declared = watched.records.c[name], watched.columns[name].type.lower()
    one = select(entity).where(entity.is_not(None)).limit(1).scalar_subquery()
    try:
        with reading(source.engine, SourceError) as connection:
            connection.execute(select(entity).where(entity == one).distinct().limit(1)).first()
    except SourceError as exc:
        yield Finding(
            "error",
            f"The entity {name!r} is of type {declared}, whose values {watched.dialect.title} does not compare: {exc} "
            "Convert it to text in a query, or name another column as `entity`.",
        )


def _unreadable(name: str, left_out: list[UnreadableRecord], readable: int) -> Iterator[Finding]:
    """Report records among the newest normal ones that cannot be read."""
    if not left_out:
        return
    if not are_few(left_out, readable):
        yield Finding("error", left_out[0].sentence(name))
    else:
        yield Finding(
            "warning",
            f"{counted_noun(len(left_out), 'record')} of the newest {len(left_out) + readable:,} normal records "
            f"cannot be read, and will be left out until corrected: {listed(left_out)}.",
        )


def _key_index(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    if not _has_index(watched, monitor.key):
        yield Finding(
            "warning",
            f"No index begins with the key ({', '.join(monitor.key)}), so that every batch reads the whole table. "
            f"Create one: {_create_index(connection, watched, monitor.key)}",
        )


def _past_index(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Warn if the past of a series is searched for without an index, and measure how long that takes."""
    columns = kind_of(monitor).past_columns(monitor)
    if not columns or _has_index(watched, columns):
        return
    newest = source.read_newest(1)
    cost = "" if newest.empty else f", which took {_seconds_to_read_past(source, newest):.2g} s for one record just now"
    with reading(source.engine, SourceError) as connection:
        statement = _create_index(connection, watched, columns)
    yield Finding(
        "warning",
        f"No index begins with ({', '.join(columns)}), so that the past of every series is searched for in the "
        f"whole table{cost}; each batch does so for each of its entities. Create one: {statement}",
    )


def _seconds_to_read_past(source: Source, newest: pd.DataFrame) -> float:
    """Return how long it takes to read the past of the newest record."""
    (key,) = keys_of(newest, source.monitor.key)
    start = time.perf_counter()
    source.read_past(key, _MOMENTS_OF_PAST)
    return time.perf_counter() - start


def _has_index(watched: WatchedTable, columns: tuple[str, ...]) -> bool:
    """Return whether an index begins with the columns; True for a view or a query, whose indexes are not visible."""
    indexes = watched.indexes
    return indexes is None or any(index.columns[: len(columns)] == columns for index in indexes)


def _create_index(connection: Connection, watched: WatchedTable, columns: tuple[str, ...]) -> str:
    name = str(getattr(watched.records, "name", ""))
    schema = getattr(watched.records, "schema", None)
    copy = Table(name, MetaData(), *(Column(column) for column in columns), schema=schema)
    options = watched.dialect.index_options({column: watched.columns[column].type for column in columns})
    index = SqlIndex(f"ix_{name}_{'_'.join(columns)}"[:60], *copy.c, **options)
    return f"{CreateIndex(index).compile(dialect=connection.dialect)};"
