"""Checks of the records: that there are enough, that they can be read, and that new ones are like old ones."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Select, func, literal, select

from jobs.checks.finding import Finding
from jobs.databases import reading
from jobs.kinds import kind_of
from jobs.reading.source import Source
from jobs.reading.table import WatchedTable, raw_sql
from jobs.reading.tolerant import are_few
from jobs.wording import counted_noun, number
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.unreadable import UnreadableRecord, listed

_ANGLE_NAME = re.compile(
    r"(^|_|\s)(deg|degrees?|grad|angle|winkel|direction|richtung|heading|bearing|azimuth?|yaw)($|_|\s)", re.IGNORECASE
)
_FULL_CIRCLE = 360
_MIN_CIRCLE_SPAN = 300  # of the values of an angle that turns
_MIN_NORMAL_RECORDS = 20  # ten to train on, ten to calibrate with


def check_records(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a table without records, and features without values."""
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


def check_normal_records(source: Source, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a condition `normal` that fails, and normal records too few for the rate."""
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


def _normal_count(monitor: MonitorConfig, watched: WatchedTable) -> Select[Any]:
    normal = select(*watched.key_columns()).limit(monitor.max_training_records)
    if monitor.normal is not None:
        normal = normal.where(raw_sql(f"({monitor.normal}\n)"))
    return select(func.count()).select_from(normal.subquery("normal_records"))


def needed_normal_records(rate: float) -> int:
    """Return how many normal records training needs if at most half of them calibrate the false-positive rate.

    >>> needed_normal_records(0.01)
    198
    """
    return max(2 * (math.ceil(1 / rate) - 1), _MIN_NORMAL_RECORDS)


def check_unreadable(name: str, left_out: list[UnreadableRecord], readable: int) -> Iterator[Finding]:
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


def check_features(records: pd.DataFrame, monitor: MonitorConfig) -> Iterator[Finding]:
    """Report the features by which new records are unlike the training records."""
    from jobs.checks.series import counters_of
    from jobs.stand_ins import sql_of, stand_ins
    from jobs.unsteady_features import unsteady_features

    counters = counters_of(records, monitor)
    for name in monitor.features.numeric:
        for mark in stand_ins(records[name]):
            yield Finding(
                "warning",
                f"Feature {name!r} is {sql_of(mark)} in {counted_noun(sum(records[name] == mark), 'record')}, far from "
                "all other values, so that slight deviations are not found. If it marks a missing value, watch a "
                f"query with NULLIF({name}, {sql_of(mark)}).",
            )
    yield from _angles(records, monitor)
    for name, warning in unsteady_features(records, monitor).items():
        if name not in counters:
            yield Finding("warning", warning)


def _angles(records: pd.DataFrame, monitor: MonitorConfig) -> Iterator[Finding]:
    for name in filter(_ANGLE_NAME.search, monitor.features.numeric):
        values = records[name].dropna()
        if len(values) and values.min() >= 0 and _MIN_CIRCLE_SPAN < values.max() <= _FULL_CIRCLE:
            yield Finding(
                "warning",
                f"Feature {name!r} looks like an angle, so that 359 and 1 count as far apart. Watch a query with its "
                f"COS(RADIANS({name})) and SIN(RADIANS({name})) as two features in its place.",
            )
