"""The oldest records of a watched table, on which its database is tried."""

from functools import cached_property

import pandas as pd
from sqlalchemy import ColumnElement, and_, not_, select

from jobs.reading.source import CoreReader, Source, keys_of
from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig
from schemas.errors import SourceError
from schemas.keys import Key, KeyRange
from schemas.unreadable import UnreadableRecord

MAX_RECORDS = 300
MIN_RECORDS = 10


class Sample:
    """The oldest records of a source in key order, each read once.

    Args:
        source: The watched table, whose records are rows.
        impatient: The same table through connections with a short limit for statements.
    """

    def __init__(self, source: Source, impatient: Source) -> None:
        self.source, self.impatient = source, impatient

    @property
    def monitor(self) -> MonitorConfig:
        """The settings of the monitor."""
        return self.source.monitor

    @cached_property
    def table(self) -> WatchedTable:
        """The table as the database describes it."""
        return self.source.table()

    @cached_property
    def whole(self) -> KeyRange:
        """The range of the sample.

        Raises:
            SourceError: If there are too few records.
        """
        found = self.source.next_range(None, MAX_RECORDS, None)
        if found is None:
            raise SourceError(f"The table is empty. Name one with at least {MIN_RECORDS} records.")
        return found

    @cached_property
    def records(self) -> pd.DataFrame:
        """The records; those that cannot be read are left out.

        Raises:
            SourceError: If there are too few.
        """
        records, _ = self._read
        if len(records) < MIN_RECORDS:
            raise SourceError(f"The table has {len(records)} readable records. Name one with at least {MIN_RECORDS}.")
        return records

    @cached_property
    def keys(self) -> list[Key]:
        """The keys of the records."""
        return keys_of(self.records, self.monitor.key)

    def is_among_records(self) -> ColumnElement[bool]:
        """Return the condition for the rows of the table that are the records of the sample."""
        _, unreadable = self._read
        return and_(self.table.within(self.whole), not_(self.table.among([record.key for record in unreadable])))

    @cached_property
    def all_keys(self) -> list[Key]:
        """The keys of the range, in the order of the database; those of records that cannot be read too.

        Raises:
            SourceError: If there are too few.
        """
        rows = select(*self.table.key_columns()).where(self.table.within(self.whole)).order_by(*self.table.order())
        keys = keys_of(CoreReader(self.source.engine).fetch(rows), self.monitor.key)
        if len(keys) < MIN_RECORDS:
            raise SourceError(f"The table has {len(keys)} records. Name one with at least {MIN_RECORDS}.")
        return keys

    @cached_property
    def _read(self) -> tuple[pd.DataFrame, list[UnreadableRecord]]:
        """The records, and those that cannot be read."""
        unreadable: list[UnreadableRecord] = []
        return self.source.read(self.whole, left_out=unreadable), unreadable
