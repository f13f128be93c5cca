"""Proposes the key: columns that are unique, never null, and grow with each new record."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from jobs.dialects import Family
from jobs.reading.table import WatchedTable
from jobs.reading.typed_columns import typed
from jobs.starter.entities import Readings
from jobs.starter.features import ID_NAME
from jobs.starter.sample import Sample
from jobs.starter.times import MIN_RANK_CORRELATION, order_correlation
from schemas.config import MonitorConfig
from schemas.errors import UsageError
from schemas.nearest import nearest_name

_UNORDERED: frozenset[Family] = frozenset({"uuid", "text", "enum"})
_MIN_RECORDS = 20  # whose times show whether a key grows


@dataclass(frozen=True)
class Key:
    """The key of a monitor.

    Attributes:
        columns: of the key, the one that grows first.
        reason: of their choice and order; empty for a plain primary key.
    """

    columns: tuple[str, ...]
    reason: str = ""


def propose_key(sample: Sample, table: str, named: tuple[str, ...], time: str | None, readings: Readings | None) -> Key:
    """Return the key of a table, with the column first that grows.

    Args:
        sample: of the table.
        table: the name of the table, for errors.
        named: the key that the user names; empty to find it.
        time: of a record; None if there is none.
        readings: of entities at regular times; None if there are none.

    Raises:
        UsageError: If no key is found, or its values do not grow.
        SourceError: If a key is null or not unique.
    """
    key = Key(named, "as named with --key") if named else _found(sample, table, time, readings)
    typed(sample.records[list(key.columns)], table, MonitorConfig.model_construct(key=key.columns))
    return key


def _found(sample: Sample, table: str, time: str | None, readings: Readings | None) -> Key:
    primary = sample.table.key
    full_time = time if time is not None and sample.null_share(time) == 0 else None
    if not primary:
        return _unique_columns(sample, table, full_time, readings)
    if full_time in primary:
        rest = tuple(name for name in primary if name != full_time)
        return Key((str(full_time), *rest), "the time first, so that new records sort after old ones" if rest else "")
    unfit = sample.table.dialect.unordered_families
    inexact = next((name for name in primary if sample.table.columns[name].family in unfit), None)
    if inexact is None and _grows(sample, primary, full_time):
        return Key(primary)
    if inexact is None and full_time is None and len(primary) > 1:
        return _growing_first(sample, primary)
    if full_time is not None and inexact is None:
        reason = f"{full_time} first, since new values of ({', '.join(primary)}) do not sort after old ones"
        return Key((full_time, *primary), reason)
    if inexact is None and sample.table.columns[primary[0]].family == "text":
        return Key(primary)
    raise UsageError(_no_growing_key(sample.table, table, inexact or primary[0]))


def _grows(sample: Sample, primary: tuple[str, ...], time: str | None) -> bool:
    """Return whether new records sort after old ones, by the times of records or by the type of the key."""
    first = sample.table.columns[primary[0]].family
    if time is not None and len(sample.records) >= _MIN_RECORDS and sample.present(time).nunique() >= _MIN_RECORDS:
        is_moving = order_correlation(sample, time) >= MIN_RANK_CORRELATION
        # A single whole number is a counter unless its values are as sparse as random ones.
        return is_moving or (len(primary) == 1 and first == "integer" and not _is_sparse(sample, primary[0]))
    return first not in _UNORDERED and len(primary) == 1


def _is_sparse(sample: Sample, name: str) -> bool:
    values = [int(value) for value in sample.present(name)]
    return len(values) > 1 and max(values) - min(values) > 100 * max(sample.count, len(values))


def _growing_first(sample: Sample, primary: tuple[str, ...]) -> Key:
    """Return a key of several columns with the one first that has the most values, such as `id` in (tenant, id)."""
    if len(sample.records) < _MIN_RECORDS:
        return Key(primary)
    distinct = {name: sample.texts(name).nunique() for name in primary}
    ordered = sorted(primary, key=lambda name: -distinct[name])
    if distinct[ordered[0]] == distinct[primary[0]]:
        return Key(primary)
    return Key(tuple(ordered), f"{ordered[0]} first, which grows with new records")


def _unique_columns(sample: Sample, table: str, time: str | None, readings: Readings | None) -> Key:
    """Return a number that counts records, or the time, alone or with the entity, if there is no primary key."""
    entity = None if readings is None else readings.entity
    candidates = [*((name,) for name in _counting_ids(sample, time)), (time,), (time, entity)]
    for columns in candidates:
        names = [name for name in columns if name is not None]
        if columns[0] is not None and len(names) == len(columns) and _is_unique(sample, names):
            return Key(tuple(names), "unique in the records looked at; the table has no primary key")
    raise UsageError(
        f"The table {table!r} has no primary key, and none of its columns is known to be one: "
        f"{', '.join(sample.table.columns)}. Name one that is unique, never null, and grows with each new record: "
        "--key COLUMN. If there is none, add a column that numbers the records."
    )


def _counting_ids(sample: Sample, time: str | None) -> Iterator[str]:
    """Yield the whole numbers with the name of an id that grow with the time, or from record to record."""
    for column in sample.columns():
        if column.family == "integer" and ID_NAME.search(column.name) and sample.null_share(column.name) == 0:
            numbers = sample.records[column.name].reset_index(drop=True)
            others = pd.Series(range(len(numbers))) if time is None else sample.times(time).reset_index(drop=True)
            if numbers.rank().corr(others.rank()) >= MIN_RANK_CORRELATION:
                yield column.name


def _is_unique(sample: Sample, names: list[str]) -> bool:
    keys: pd.DataFrame = sample.records[names]
    return len(keys) >= _MIN_RECORDS and not keys.isna().any(axis=None) and not keys.duplicated().any()


def _no_growing_key(described: WatchedTable, table: str, name: str) -> str:
    kind = described.columns[name].type.lower()
    return (
        f"Column {name!r} in the primary key of {table!r} is of type {kind}, whose values do not grow with "
        "each new record. Name a unique column whose values do: --key COLUMN."
    )


def existing_columns(described: WatchedTable, table: str, option: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that an option names; a name may list several, separated by commas.

    Raises:
        UsageError: If the table lacks one of them.
    """
    parts = [
        part for name in names for part in ([name] if name in described.columns else map(str.strip, name.split(",")))
    ]
    for part in parts:
        if part not in described.columns:
            nearest = nearest_name(part, described.columns)
            hint = f" The nearest is {nearest!r}." if nearest else ""
            raise UsageError(
                f"The table {table!r} has no column {part!r} for a {option}. It has: {', '.join(described.columns)}."
                f"{hint} Name one of them with --{option}."
            )
    return tuple(dict.fromkeys(parts))
