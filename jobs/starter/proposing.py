"""Proposes a monitor for a table, by types, names and a bounded sample of its values."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection, Engine, TableClause, inspect

from detector.series.settings import MIN_RECORDS
from jobs.addresses import display_name
from jobs.databases import reading
from jobs.dialects import dialect_of
from jobs.dialects.families import NUMBERS
from jobs.reading.table import WatchedTable, describe_table, describe_tables
from jobs.starter.clean_values import query_of_clean_values
from jobs.starter.cut_offs import TRAINING_SHARE, CutOff, propose_cut_off
from jobs.starter.entities import Readings, find_entity, find_readings, find_signals
from jobs.starter.epochs import query_of_times
from jobs.starter.features import Columns, Context, propose_features
from jobs.starter.keys import Key, existing_columns, propose_key
from jobs.starter.labels import Labels, propose_labels
from jobs.starter.long_format import query_of_moments
from jobs.starter.rates import Rate, propose_rate, records_per_day
from jobs.starter.sample import Sample, read_sample
from jobs.starter.source_query import SourceQuery
from jobs.starter.split_times import query_of_moments_in_two_columns
from jobs.starter.times import Times, propose_times
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, SourceError, UsageError
from schemas.series import SeriesConfig

_DAY = timedelta(days=1)
_MAX_CATEGORIES_OF_ENTITIES = 64  # an entity of a monitor without series is a category too, unless it has more values


@dataclass(frozen=True)
class Choices:
    """What a user decides before a monitor is proposed; empty to leave it to the proposal.

    Attributes:
        key: columns of the key.
        time: of a record.
        entity: what a record is about.
        label: true for known anomalies.
    """

    key: tuple[str, ...] = ()
    time: str | None = None
    entity: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Proposal:
    """A monitor that fits a table.

    Attributes:
        name: of the monitor.
        table: that it watches.
        query: a query of the table that is watched in its place; None to watch the table.
        key: columns that are unique, never null, and grow.
        times: columns of times.
        entity: what a record is about; None if unknown.
        readings: of entities at regular times, watched as series; None if there are none.
        labels: the label, and the records that are normal by it.
        cut_off: up to when records are normal; None if all may be.
        columns: the features, and the columns that are left out with the reason.
        rate: of false positives.
        newest_gap: the longest usual pause between two records of the table; None if unknown.
    """

    name: str
    table: str
    query: SourceQuery | None
    key: Key
    times: Times
    entity: str | None
    readings: Readings | None
    labels: Labels
    cut_off: CutOff | None
    columns: Columns
    rate: Rate
    newest_gap: timedelta | None

    @property
    def normal(self) -> str | None:
        """The SQL condition for records that training may use; None for all."""
        parts = [part for part in (self.labels.normal, self.cut_off and self.cut_off.condition) if part]
        return " AND ".join(parts) or None

    @property
    def is_time_first(self) -> bool:
        """Whether records are read in the order of their times."""
        numbers = {} if self.query is None else self.query.numbers
        first = self.key.columns[0]
        return first in {self.times.time, numbers.get(self.times.time or "")} and len(self.key.columns) > 1


def propose_monitor(engine: Engine, table: str, choices: Choices) -> Proposal:
    """Return a monitor for a table.

    Args:
        engine: The engine of the database that holds it.
        table: Its name; `schema.table` if it is not in the default schema.
        choices: What the user decides.

    Raises:
        UsageError: If there is no such table or column, or no key that grows.
        RecordsError: If the table is empty, or no column is a feature.
        SourceError: If the table cannot be read, or its key is null or not unique.
    """
    with reading(engine, SourceError) as connection:
        sample = read_sample(engine, connection, _describe(connection, table))
        if sample.records.empty:
            raise RecordsError(f"The table {table!r} holds no records. Fill it, then run the command again.")
        chosen = _existing(sample.table, table, choices)
        query = _query_of_times(connection, sample, chosen)
        if query is not None:
            sample = read_sample(engine, connection, query.table)
            times = {number: time for time, number in query.numbers.items()}
            chosen = replace(chosen, time=query.time or times.get(chosen.time or "", chosen.time))
        taken = {*chosen.key, chosen.time, chosen.entity, chosen.label}
        query = query_of_clean_values(connection, sample, query, taken, is_series=_has_readings(sample, chosen))
        if query is not None and (query.marks or query.truths):
            sample = read_sample(engine, connection, query.table)
        moments = _query_of_moments(connection, sample, query, chosen)
        if moments is not None:
            of_moments = read_sample(engine, connection, moments.table)
            if _has_readings(of_moments, chosen):
                sample, query = of_moments, moments
        return _propose(connection, sample, table, chosen, query)


def _query_of_times(connection: Connection, sample: Sample, choices: Choices) -> SourceQuery | None:
    """Return a query that has times in place of numbers, or of dates with a time of day in another column."""
    query = query_of_times(connection, sample)
    if query is None and choices.time is None:
        query = query_of_moments_in_two_columns(connection, sample)
    return query


def monitor_name(table: str) -> str:
    """Return a name for the monitor of a table, or of files; that of a pattern is the name of its folder.

    >>> monitor_name("Pump Readings"), monitor_name("2024.Über"), monitor_name("表")
    ('pump_readings', 'table_2024_ber', 'table')
    >>> monitor_name("/data/readings/*.parquet"), monitor_name("/data/line 4/**/*.csv"), monitor_name("pump.csv.gz")
    ('readings', 'line_4', 'pump_csv_gz')
    """
    if "/" in table:
        parts = [part for part in table.split("/") if part and "*" not in part]
        table = parts[-1] if parts else table
    slug = re.sub(r"[^a-z0-9]+", "_", table.lower()).strip("_")
    return (slug if slug[:1].isalpha() else f"table_{slug}")[:41].strip("_")


def _describe(connection: Connection, table: str) -> WatchedTable:
    inspector = inspect(connection)
    schema, _, rest = table.partition(".")
    is_table = inspector.has_table(table) or (rest and inspector.has_table(rest, schema))
    if not is_table and dialect_of(connection).query_of_files(table) is None:
        place, hint = display_name(connection.engine.url), describe_tables(inspector, table)
        raise UsageError(f"There is no table {table!r} in {place}. {hint}. Name one of its tables with --table.")
    described = describe_table(connection, table, MonitorConfig.model_construct(table=table, key=()))
    records = described.records
    if not isinstance(records, TableClause):  # a folder of files
        return replace(described, key=())
    return replace(described, key=described.dialect.primary_key(connection, records))


def _existing(described: WatchedTable, table: str, choices: Choices) -> Choices:
    def one(option: str, name: str | None) -> str | None:
        return None if name is None else existing_columns(described, table, option, (name,))[0]

    return Choices(
        existing_columns(described, table, "key", choices.key),
        one("time", choices.time),
        one("entity", choices.entity),
        one("label", choices.label),
    )


def _query_of_moments(
    connection: Connection, sample: Sample, query: SourceQuery | None, choices: Choices
) -> SourceQuery | None:
    """Return a query with a record for each moment, if a table has several and the user names no other key."""
    time = propose_times(sample, choices.time).time
    if time is None or choices.key or choices.label or _has_readings(sample, choices):
        return None
    return query_of_moments(connection, sample, query, time, choices.entity)


def _has_readings(sample: Sample, choices: Choices) -> bool:
    time = propose_times(sample, choices.time).time
    return time is not None and find_readings(sample, time, choices.entity) is not None


def _propose(
    connection: Connection, sample: Sample, table: str, choices: Choices, query: SourceQuery | None
) -> Proposal:
    times = propose_times(sample, choices.time)
    if query is not None:
        times = replace(times, left_out={**times.left_out, **query.left_out})
    readings = find_readings(sample, times.time, choices.entity) if times.time else None
    key = propose_key(sample, table, choices.key, times.time, readings)
    if query is not None:
        key = query.with_numbers(key)
    if readings is None and times.time is not None and len(key.columns) == 1:
        readings = find_signals(sample, times.time, choices.entity)
    labels = propose_labels(connection, sample, choices.label, *key.columns, times.time, choices.entity)
    if readings is not None and not _is_series(sample, readings, labels, {*key.columns, times.time, labels.label}):
        readings = None
    is_taken = (*key.columns, times.time, times.updated, labels.label, *labels.left_out)
    entity = choices.entity or (readings.entity if readings else None)
    if readings is None and entity is None:
        entity = find_entity(sample, *(name for name in is_taken if name not in sample.table.key))
    columns = _columns(sample, times, entity, labels, key, is_series=readings is not None)
    cut_off = propose_cut_off(connection, sample, times.time, key.columns)
    return Proposal(
        name=monitor_name(table),
        table=table,
        query=query,
        key=key,
        times=times,
        entity=entity,
        readings=readings,
        labels=labels,
        cut_off=cut_off,
        columns=columns,
        rate=_rate(sample, times.time, readings, labels, has_cut_off=cut_off is not None),
        newest_gap=_usual_gap(sample, times.time),
    )


def _columns(sample: Sample, times: Times, entity: str | None, labels: Labels, key: Key, *, is_series: bool) -> Columns:
    taken = {*key.columns, times.time, times.updated, labels.label}
    if entity is not None and (is_series or sample.texts(entity).nunique() > _MAX_CATEGORIES_OF_ENTITIES):
        taken.add(entity)
    decided = {**times.left_out, **labels.left_out}
    context = Context(sample, labels.is_normal, times.time, entity, is_series)
    others = {name: f"in the primary key: {why}" for name, why in _unused_key(sample, key).items()}
    columns = propose_features(context, {*taken, *others}, decided)
    if entity is None or entity in taken:
        return replace(columns, left_out={**columns.left_out, **others})
    return replace(_with_category(columns, entity), left_out={**columns.left_out, **others})


def _unused_key(sample: Sample, key: Key) -> dict[str, str]:
    """Return the columns of the primary key that the monitor's key leaves out."""
    return {name: "it identifies a record" for name in sample.table.key if name not in key.columns}


def _with_category(columns: Columns, entity: str) -> Columns:
    """Return the columns with the entity as a category, whatever its type."""
    features = {role: [name for name in names if name != entity] for role, names in columns.features.items()}
    features["categorical"].append(entity)
    return Columns(features, {name: why for name, why in columns.left_out.items() if name != entity})


def _is_series(sample: Sample, readings: Readings, labels: Labels, taken: set[str | None]) -> bool:
    """Return whether readings are enough for a series, with a number or a boolean that it can learn."""
    if sample.count * float(labels.is_normal.mean()) < MIN_RECORDS:
        return False
    rest = sample.columns(*taken, readings.entity)
    numbers = NUMBERS | {"boolean", "unknown"}
    return any(column.family in numbers and sample.is_read(column.name) for column in rest)


def _rate(sample: Sample, time: str | None, readings: Readings | None, labels: Labels, *, has_cut_off: bool) -> Rate:
    share = (TRAINING_SHARE if has_cut_off else 1.0) * float(labels.is_normal.mean())
    records = sample.count if readings is None or readings.cells is None else readings.cells
    normal = int(records * share)
    if readings is not None and normal / readings.entities >= SeriesConfig().fewest:
        normal //= readings.entities
    per_day = None
    if time is not None:
        per_day = records_per_day(sample.times(time), sample.count, is_counted=sample.is_counted)
    if readings is not None:
        per_day = readings.per_day if readings.cells is not None else max(per_day or 0.0, readings.per_day)
    anomalies = None if labels.label is None else labels.share
    return propose_rate(normal, per_day, anomalies, is_online=readings is not None)


def _usual_gap(sample: Sample, time: str | None) -> timedelta | None:
    """Return the longest usual pause between two records, by the newest half of the sample."""
    if time is None:
        return None
    known = sample.times(time).dropna().sort_values()
    steps = known.iloc[len(known) // 2 :].diff().dropna()
    return None if steps.empty else timedelta(seconds=float(steps.dt.total_seconds().quantile(0.999)))
