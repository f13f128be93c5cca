"""Proposes a monitor for a table: the role of each column, by its type, name and first records."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import pandas as pd
from pandas.api.types import infer_dtype
from sqlalchemy import ColumnElement, Connection, Engine, func, inspect, select

from jobs.addresses import display_name
from jobs.databases import reading
from jobs.dialects import Family
from jobs.reading.source import CoreReader
from jobs.reading.table import WatchedColumn, WatchedTable, describe_table, describe_tables, raw_sql
from jobs.reading.tolerant import are_few
from jobs.reading.typed_columns import typed
from schemas.config import MonitorConfig
from schemas.errors import RecordsError, SourceError, UsageError
from schemas.unreadable import UnreadableRecord

FIRST_RECORDS = 10_000
MAX_CATEGORIES = 1_000
RATES = ((5_000, 0.001), (500, 0.01), (0, 0.05))  # the normal records that each proposed false-positive rate needs

Role: TypeAlias = Literal["numeric", "boolean", "categorical"]

_FEATURES: dict[Family, Role] = {
    "integer": "numeric",
    "float": "numeric",
    "decimal": "numeric",
    "boolean": "boolean",
    "text": "categorical",
    "enum": "categorical",
}
_TIMES: set[Family] = {"instant", "timestamp"}
_TIME_NAME = re.compile(r"_at$|^(date)?_?time|(time|timestamp|date|_ts)$|^(created|recorded|ts$)", re.IGNORECASE)
_ID_NAME = re.compile(r"(^|_|[a-z])(Id|ID)$|(^|_|\s)(id|key|uuid|guid)$")
_LABEL_NAME = re.compile(
    r"(^|is|has|_|\s)_?(label|anomal(y|ous)|outlier|fraud(ulent)?|fault(y)?|failure|failed|defect(ive)?|"
    r"malignant|attack|intrusion|incident|abnormal)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proposal:
    """A monitor that fits a table, judging by its first records."""

    name: str
    table: str
    key: tuple[str, ...]
    time: str | None
    features: dict[Role, list[str]]
    label: str | None
    normal: str | None
    false_positive_rate: float
    normal_records: int
    """Their number, counted up to what the smallest rate needs."""
    left_out: dict[str, str]
    """Columns that are not watched, each with the reason."""


class _LeftOut(Exception):
    """A column that is not proposed as a feature, with the reason."""


@dataclass(frozen=True)
class _Sample:
    """The first records of a table, as the driver returns them."""

    table: WatchedTable
    records: pd.DataFrame

    def holds(self, role: Role | Literal["timestamp"], name: str) -> bool:
        """Return whether the records of a column can be read in a role."""
        settings: dict[str, Any] = {"key": self.table.key, role: (name,)}
        columns = dict.fromkeys((*self.table.key, name))
        left_out: list[UnreadableRecord] = []
        try:
            records = typed(self.records[[*columns]], name, MonitorConfig.model_construct(**settings), left_out)
        except SourceError:
            return False
        return not left_out or are_few(left_out, len(records))


def propose_monitor(engine: Engine, table: str, key: str | None) -> Proposal:
    """Return a monitor for a table.

    Args:
        engine: The engine of the database that holds it.
        table: Its name; `schema.table` if it is not in the default schema.
        key: Its key column; None for the primary key.

    Raises:
        UsageError: If there is no such table or column, or no primary key.
        RecordsError: If no column is a feature.
        SourceError: If the table cannot be read, or its key is null or not unique.
    """
    with reading(engine, SourceError) as connection:
        described = _describe(connection, table, key)
        sample = _Sample(described, _first_records(engine, described))
        label, time = _label(sample), _time(sample)
        normal = None if label is None else _is_zero(connection, described, label)
        features, left_out = _features(sample, label, time)
        count = _count(connection, described, normal)
    return Proposal(
        name=monitor_name(table),
        table=table,
        key=described.key,
        time=time,
        features=features,
        label=label,
        normal=normal,
        false_positive_rate=next(rate for needed, rate in RATES if count >= needed),
        normal_records=count,
        left_out=left_out,
    )


def monitor_name(table: str) -> str:
    """Return a name for the monitor of a table.

    >>> monitor_name("Pump Readings"), monitor_name("2024.Über"), monitor_name("表")
    ('pump_readings', 'table_2024_ber', 'table')
    """
    slug = re.sub(r"[^a-z0-9]+", "_", table.lower()).strip("_")
    return (slug if slug[:1].isalpha() else f"table_{slug}")[:41].strip("_")


def _describe(connection: Connection, table: str, key: str | None) -> WatchedTable:
    inspector = inspect(connection)
    schema, _, rest = table.partition(".")
    if not (inspector.has_table(table) or (rest and inspector.has_table(rest, schema))):
        place, hint = display_name(connection.engine.url), describe_tables(inspector, table)
        raise UsageError(f"There is no table {table!r} in {place}. {hint}. Name one of its tables with --table.")
    described = describe_table(connection, table, MonitorConfig.model_construct(table=table, key=()))
    if key is not None:
        return replace(described, key=_existing_key(described, table, key))
    return replace(described, key=_ordered_primary_key(connection, described, table))


def _existing_key(described: WatchedTable, table: str, key: str) -> tuple[str, ...]:
    if key not in described.columns:
        raise UsageError(
            f"The table {table!r} has no column {key!r} for a key. It has: {', '.join(described.columns)}. "
            "Name one of them with --key."
        )
    return (key,)


def _ordered_primary_key(connection: Connection, described: WatchedTable, table: str) -> tuple[str, ...]:
    records: Any = described.records
    primary = described.dialect.primary_key(connection, records)
    if not primary:
        raise UsageError(
            f"The table {table!r} has no primary key. Name a column that is unique, never null, and grows with each "
            f"new record: --key COLUMN. It has: {', '.join(described.columns)}."
        )
    no_keys = {*described.dialect.unordered_families, "uuid"}
    unordered = next((name for name in primary if described.columns[name].family in no_keys), None)
    if unordered is not None:
        kind = described.columns[unordered].type.lower()
        raise UsageError(
            f"Column {unordered!r} in the primary key of {table!r} is of type {kind}, whose values do not grow with "
            "each new record. Name a unique column whose values do: --key COLUMN."
        )
    return primary


def _first_records(engine: Engine, described: WatchedTable) -> pd.DataFrame:
    kept = [name for name, column in described.columns.items() if column.family != "other" or name in described.key]
    statement = select(*(_in_full(described, name) for name in kept)).order_by(*described.order()).limit(FIRST_RECORDS)
    reader = described.dialect.open_reader(engine) or CoreReader(engine)
    try:
        first = reader.fetch(statement)
    finally:
        reader.close()
    keys = MonitorConfig.model_construct(key=described.key)
    typed(first[[*described.key]], "of this table", keys)
    return first


def _in_full(described: WatchedTable, name: str) -> ColumnElement[Any]:
    """Return a column as the reader returns it without loss."""
    column = described.records.c[name]
    exact = described.dialect.exact_number(column, described.columns[name].family)
    return column if exact is None else exact


def _label(sample: _Sample) -> str | None:
    """Return the first column that is a label by its name and holds only 0 and 1, or None."""
    for column in _others(sample.table, None):
        if _LABEL_NAME.search(column.name) and column.family in {"integer", "boolean", "unknown"}:
            values = sample.records[column.name].dropna()
            if len(values) and values.isin([0, 1]).all():
                return column.name
    return None


def _time(sample: _Sample) -> str | None:
    """Return the first time column named as the time of a record, or else the only time column, or None."""
    times = [column.name for column in sample.table.columns.values() if column.family in _TIMES]
    named = [name for name in times if _TIME_NAME.search(name)]
    if sample.table.dialect.has_dynamic_types:  # times are texts, in columns of either type
        texts = [column.name for column in sample.table.columns.values() if column.family in {"text", "unknown"}]
        named += [name for name in texts if _TIME_NAME.search(name) and sample.records[name].notna().any()]
    candidates = [*named, *(times if len(times) == 1 else [])]
    return next((name for name in candidates if sample.holds("timestamp", name)), None)


def _is_zero(connection: Connection, table: WatchedTable, name: str) -> str:
    # SQLAlchemy's quoting doubles each %, for statements with parameters.
    quoted = connection.dialect.identifier_preparer.quote(name).replace("%%", "%")
    is_boolean = table.columns[name].family == "boolean" and table.dialect.has_boolean_type
    return f"{quoted} = false" if is_boolean else f"{quoted} = 0"


def _features(sample: _Sample, label: str | None, time: str | None) -> tuple[dict[Role, list[str]], dict[str, str]]:
    features: dict[Role, list[str]] = {"numeric": [], "boolean": [], "categorical": []}
    left_out: dict[str, str] = {}
    normal = sample.records if label is None else sample.records[sample.records[label] == 0]
    for column in _others(sample.table, label, time):
        try:
            features[_role(sample, column, normal)].append(column.name)
        except _LeftOut as reason:
            left_out[column.name] = str(reason)
    if not any(features.values()):
        reasons = "; ".join(f"{name!r} is {why}" for name, why in left_out.items()) or "it has no column but its key"
        raise RecordsError(f"The table holds nothing to learn from: {reasons}. Name another table with --table.")
    return features, left_out


def _others(described: WatchedTable, *taken: str | None) -> Iterator[WatchedColumn]:
    return (column for column in described.columns.values() if column.name not in {*described.key, *taken})


def _role(sample: _Sample, column: WatchedColumn, normal: pd.DataFrame) -> Role:
    if column.family in {*_TIMES, "date"}:
        raise _LeftOut("a time: list it under timestamp to learn its time of day and day of week")
    role = _by_values(normal[column.name]) if column.family == "unknown" else _FEATURES.get(column.family)
    if role is None:
        raise _LeftOut(f"of type {column.type.lower() or 'unknown'}")
    values = normal[column.name].dropna()
    if values.empty:
        raise _LeftOut(f"null in the first {len(normal):,} normal records")
    if role == "categorical":
        _refuse_many(values)
    elif column.family == "integer" and _ID_NAME.search(column.name):
        raise _LeftOut("an id by its name: list it as entity, or under categorical, if records share it")
    if not sample.holds(role, column.name):
        raise _LeftOut(f"declared {column.type.lower() or 'without a type'}, but holds other values")
    return role


def _by_values(values: "pd.Series[Any]") -> Role | None:
    kinds: dict[str, Role] = {"string": "categorical", "integer": "numeric", "floating": "numeric"}
    return kinds.get(infer_dtype(values, skipna=True))


def _refuse_many(values: "pd.Series[Any]") -> None:
    distinct = values.astype("str").nunique()
    if distinct > max(len(values) / 2, 20):
        raise _LeftOut(f"an id or a free text: {distinct:,} distinct values in {len(values):,} records")
    if distinct > MAX_CATEGORIES:
        raise _LeftOut(f"a text of more than {MAX_CATEGORIES:,} distinct values")


def _count(connection: Connection, described: WatchedTable, normal: str | None) -> int:
    """Count the normal records, up to what the smallest rate needs."""
    records = select(*described.key_columns()).limit(RATES[0][0])
    if normal is not None:
        records = records.where(raw_sql(f"({normal})"))
    return int(connection.scalar(select(func.count()).select_from(records.subquery("normal_records"))) or 0)
