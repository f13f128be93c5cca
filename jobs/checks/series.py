"""Checks of records as series: counters and repeated times."""

from collections.abc import Iterator

import pandas as pd

from detector.series.counters import Counters
from detector.series.segments import entities_of, positions_of, series_of
from detector.series.series import Series
from detector.series.settings import MIN_RECORDS
from jobs.checks.finding import Finding
from jobs.wording import counted_noun
from schemas.config import MonitorConfig


def check_series(records: pd.DataFrame, monitor: MonitorConfig) -> Iterator[Finding]:
    """Report the features that are watched by their increase, and records that share their time with another.

    Args:
        records: the newest normal records.
        monitor: of the records.
    """
    if monitor.series is None or records.empty:
        return
    if len(records) < MIN_RECORDS:
        yield Finding(
            "error",
            f"Found {counted_noun(len(records), 'normal record')}; a series needs at least {MIN_RECORDS}. Collect "
            "more, widen `normal`, or remove the section `series` to score each record by itself.",
        )
    for name in counters_of(records, monitor):
        yield Finding("ok", f"Feature {name!r} only grows: it is watched by its increase, across resets and wraps.")
    place = [str(monitor.time)] if monitor.entity is None else [monitor.entity, str(monitor.time)]
    repeated = int(records[records[place].notna().all(axis=1)].duplicated(place).sum())
    if repeated:
        yield Finding(
            "warning",
            f"{counted_noun(repeated, 'record')} of the newest {len(records):,} normal records repeat the time of "
            "another record of their entity. Training keeps the last record of each time, and scoring judges all of "
            "them. If one machine sends each reading once, correct the table; if several machines share the table, set "
            "`entity`.",
        )


def counters_of(records: pd.DataFrame, monitor: MonitorConfig) -> list[str]:
    """Return the features that only grow in records of series; none for a monitor without series."""
    if monitor.series is None or records.empty:
        return []
    positions = positions_of(entities_of(records, monitor.entity)).values()
    runs: list[Series] = [
        series_of(records.iloc[rows], str(monitor.time), monitor.features).ordered()[0] for rows in positions
    ]
    counters = Counters.fit(runs)
    names = monitor.features.names
    return [] if counters is None else [name for name, is_own in zip(names, counters.is_counter, strict=True) if is_own]
