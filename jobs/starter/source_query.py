"""A query that is watched in place of a table, since it has the records in a form that a model can learn."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, TableClause

from jobs.reading.table import WatchedTable, describe_table
from jobs.starter.keys import Key
from jobs.starter.labels import quoted
from schemas.config import MonitorConfig


@dataclass(frozen=True)
class SourceQuery:
    """A query of a table.

    Attributes:
        sql: of the query.
        table: the query as a watched table.
        note: what it does, as a sentence.
        numbers: by column of times, the column of numbers that it was made from.
        left_out: columns that are no features, each with the reason.
        time: of a record, if the query makes it; None if a column of the table may be it.
        marks: by column, the numbers that it has null in place of.
        truths: columns that it has booleans in place of texts in.
        key_reason: why its key is unique; empty if that is the table's.
    """

    sql: str
    table: WatchedTable
    note: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    marks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    truths: tuple[str, ...] = ()
    key_reason: str = ""

    def with_numbers(self, key: Key) -> Key:
        """Return a key with numbers in place of their times, which sort alike and may have an index."""
        columns, reason = key.columns, self.key_reason or key.reason
        for time, number in self.numbers.items():
            columns = tuple(number if name == time else name for name in columns)
            reason = reason.replace(time, number)
        return Key(tuple(dict.fromkeys(columns)), reason)


def described_query(connection: Connection, sql: str, table: WatchedTable) -> WatchedTable:
    """Return a query of a table, whose columns have the types of the table."""
    query = describe_table(connection, "init", MonitorConfig.model_construct(query=sql, key=()))
    types = {name: column for name, column in table.columns.items() if name in query.columns}
    return replace(query, columns={**query.columns, **types})


def place_of(connection: Connection, records: TableClause) -> str:
    """Return the name of a table as SQL has it."""
    return ".".join(quoted(connection, str(part)) for part in (records.schema, records.name) if part)
