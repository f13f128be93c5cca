"""Windows of records to look at: a span of time, an entity, or the newest records."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, cast, not_, or_

from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig

_MARGIN = timedelta(seconds=1)  # databases compare times to the millisecond or coarser


@dataclass(frozen=True)
class Window:
    """A selection of records, cut to a number of them.

    Attributes:
        since: the earliest time; None for no bound.
        until: the latest time, inclusive; None for no bound.
        entity: the only entity; None for all.
        from_start: whether a cut keeps the earliest records, not the latest.
    """

    since: datetime | None = None
    until: datetime | None = None
    entity: str | None = None
    from_start: bool = False

    @property
    def is_by_time(self) -> bool:
        """Whether records without a time are left out, and the order is by time."""
        return self.since is not None or self.until is not None or self.entity is not None

    def conditions(self, table: WatchedTable, monitor: MonitorConfig) -> list[ColumnElement[bool]]:
        """Return the conditions for rows of the window, with a margin in time; `cut` removes the margin."""
        conditions: list[ColumnElement[bool]] = []
        if monitor.time is not None and self.is_by_time:
            time, margin = table.records.c[monitor.time], _MARGIN + (monitor.resample or timedelta(0))
            conditions.append(table.dialect.is_valid_time(time))
            if self.since is not None:
                conditions.append(table.is_later(time, self.since - margin))
            if self.until is not None:
                conditions.append(not_(table.is_later(time, self.until + margin)))
        if monitor.entity is not None and self.entity is not None:
            conditions.append(_is_of(table, monitor.entity, self.entity))
        return conditions

    def cut(self, records: pd.DataFrame, monitor: MonitorConfig) -> pd.DataFrame:
        """Return the records of the window among records that were read with its conditions."""
        is_in = np.ones(len(records), dtype=bool)
        if monitor.time is not None:
            times = records[monitor.time]
            is_in &= True if self.since is None else (times >= self.since).to_numpy()
            is_in &= True if self.until is None else (times <= self.until).to_numpy()
        if monitor.entity is not None and self.entity is not None:
            is_in &= (records[monitor.entity].astype("str") == self.entity).to_numpy(dtype=bool)
        return records[is_in]


def _is_of(table: WatchedTable, name: str, entity: str) -> ColumnElement[bool]:
    """Return the condition for rows of an entity, in a form that an index on texts and integers serves."""
    column, family = table.records.c[name], table.columns[name].family
    if family == "text":
        return or_(column == _text(entity), column == _text(entity.rstrip()))  # of a padded text the padding is ignored
    if family == "integer" and entity.lstrip("-").isdecimal():
        return column == bindparam(None, int(entity), type_=BigInteger())
    return cast(column, Text()) == _text(entity)


def _text(value: str) -> ColumnElement[str]:
    return bindparam(None, value, type_=Text())
