"""Aspects of times: zones, comparisons, and the grid of `resample`."""

import numpy as np
from sqlalchemy import func, select

from jobs.conformance.outcome import Seen, as_expected
from jobs.conformance.sample import Sample
from jobs.databases import reading
from schemas.errors import SourceError

_STEP_SECONDS = 600
_NO_TIME = "not needed without `time`"


def zones(sample: Sample) -> Seen:
    """Report whether the column of times has a zone."""
    if sample.monitor.time is None:
        return Seen("works", _NO_TIME)
    column = sample.table.columns[sample.monitor.time]
    example = sample.records[column.name].dropna().head(1)
    shown = f", such as {example.iloc[0].isoformat()}" if len(example) else ""
    zone = "with a zone" if column.family == "instant" else "without a zone, taken as UTC"
    return Seen("works", f"{column.type.lower() or 'type not reported'}: {zone}{shown}")


def comparisons(sample: Sample) -> Seen:
    """Check that the database compares times as they are read, to the microsecond."""
    name = sample.monitor.time
    if name is None:
        return Seen("works", _NO_TIME)
    times = sample.records[name].dropna()
    if times.empty:
        return Seen("limited", "no record of the sample has a time")
    middle = times.sort_values().iloc[len(times) // 2].to_pydatetime()
    expected = int((times > middle).sum())
    later = sample.table.is_later(sample.table.records.c[name], middle)
    statement = select(func.count()).select_from(sample.table.records).where(sample.is_among_records(), later)
    with reading(sample.source.engine, SourceError) as connection:
        received = connection.scalar(statement)
    wrong = f"{received} records are past {middle.isoformat()} in the database, {expected} as they are read"
    return as_expected(f"{expected} records past {middle.isoformat()}", if_not=wrong, is_met=received == expected)


def grid(sample: Sample) -> Seen:
    """Check that the database finds the cells of a grid over time, for `resample`."""
    name = sample.monitor.time
    if name is None:
        return Seen("works", _NO_TIME)
    table = sample.table
    with reading(sample.source.engine, SourceError) as connection:
        times = table.dialect.epoch_times(connection, table.records, name, table.columns[name].family)
        if times is None:
            return Seen("limited", "`resample` needs another database or type; series work without it")
        column = table.records.c[name]
        statement = select(times.cell_start(column, _STEP_SECONDS)).where(
            sample.is_among_records(), table.dialect.is_valid_time(column)
        )
        received = sorted(int(start) for start in connection.scalars(statement) if start is not None)
    seconds = sample.records[name].dropna().astype("datetime64[us, UTC]").astype("int64") // 1_000_000
    expected = sorted((seconds // _STEP_SECONDS * _STEP_SECONDS).tolist())
    wrong = "the cells of the database differ from those of the times that are read"
    return as_expected(f"{len(np.unique(expected))} cells of 10 min", if_not=wrong, is_met=received == expected)
