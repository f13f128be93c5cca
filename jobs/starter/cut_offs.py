"""Proposes up to when records are normal, so that newer ones show how the monitor would do."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, func, select

from jobs.reading.table import WatchedTable
from jobs.reading.typed_columns import timestamp
from jobs.starter.labels import quoted
from jobs.starter.sample import Sample

TRAINING_SHARE = 0.8  # of the records, the oldest; the others are left for forecast and evaluate
MIN_RECORDS = 100  # below which every record is needed for training
_MIN_UNITS_LEFT = 5  # days or hours after the cut-off, for one that is a full day or hour
_DATE_LENGTH = len("2026-01-31")
_DASHED_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]|$)")


@dataclass(frozen=True)
class CutOff:
    """The condition for the older records.

    Attributes:
        condition: as SQL.
        column: that it compares.
        value: that it compares with.
    """

    condition: str
    column: str
    value: str


def propose_cut_off(connection: Connection, sample: Sample, time: str | None, key: tuple[str, ...]) -> CutOff | None:
    """Return the condition for the oldest four fifths of the records, by time or by a whole number as the key.

    None if there are too few records to leave some out, or if neither orders them.
    """
    if sample.count < MIN_RECORDS:
        return None
    if time is not None:
        return _by_time(connection, sample, time)
    if len(key) == 1 and sample.table.columns[key[0]].family == "integer":
        value = _quantile(connection, sample, key[0])
        return _cut_off(connection, key[0], str(int(value)))
    return None


def _by_time(connection: Connection, sample: Sample, time: str) -> CutOff | None:
    raw = _quantile(connection, sample, time)
    cut = timestamp(pd.Series([raw], dtype="object")).iloc[0]
    newest = sample.times(time).max()
    if pd.isna(cut) or pd.isna(newest) or cut >= newest:
        return None
    if isinstance(raw, str):
        return _cut_off(connection, time, f"'{_shortened(raw, newest - cut)}'")
    rounded = _rounded(cut.to_pydatetime(), newest - cut)
    family = sample.table.columns[time].family
    text = rounded.date().isoformat() if family == "date" else rounded.replace(tzinfo=None).isoformat(sep=" ")
    return _cut_off(connection, time, f"'{text}+00:00'" if family == "instant" else f"'{text}'")


def _cut_off(connection: Connection, column: str, value: str) -> CutOff:
    return CutOff(f"{quoted(connection, column)} < {value}", column, value.strip("'"))


def _quantile(connection: Connection, sample: Sample, name: str) -> Any:
    """Return the value below which the older records lie: exactly for a table that was counted, else by the sample."""
    if sample.is_counted:
        return _exact_quantile(connection, sample.table, name)
    values = sample.present(name)
    if name in sample.table.key and sample.table.columns[name].family == "integer":
        return int(values.min()) + math.ceil(TRAINING_SHARE * (int(values.max()) - int(values.min())))
    times = sample.times(name)
    wanted = times.min() + TRAINING_SHARE * (times.max() - times.min())
    if isinstance(values.iloc[0], str):  # in the form in which the table has its times
        return f"{wanted:%Y-%m-%d}" if _is_dashed(values.iloc[0]) else values[(times - wanted).abs().idxmin()]
    return wanted.to_pydatetime()


def _exact_quantile(connection: Connection, table: WatchedTable, name: str) -> Any:
    column: ColumnElement[Any] = table.records.c[name]
    values = select(column).where(column.is_not(None)).order_by(column)
    count = connection.scalar(select(func.count(column)).select_from(table.records)) or 0
    return connection.scalar(values.offset(int(TRAINING_SHARE * count)).limit(1))


def _shortened(text: str, left: timedelta) -> str:
    """Return a time as text, without its time of day if many days are left after it; texts before it stay before."""
    if not _is_dashed(text):
        return text
    return text[:_DATE_LENGTH] if left >= timedelta(days=_MIN_UNITS_LEFT) else re.sub(r"\.0+$", "", text)


def _is_dashed(text: str) -> bool:
    return _DASHED_DATE.match(text) is not None


def _rounded(cut: datetime, left: timedelta) -> datetime:
    """Return a time in UTC, rounded down to the day, the hour or the second, by how much is left after it."""
    moment = cut.astimezone(UTC).replace(microsecond=0)
    if left >= timedelta(days=_MIN_UNITS_LEFT):
        return moment.replace(hour=0, minute=0, second=0)
    return moment.replace(minute=0, second=0) if left >= timedelta(hours=_MIN_UNITS_LEFT) else moment
