"""Numbers of a table that stand for a missing value; a query has null in their place."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection, TableClause

from jobs.stand_ins import sql_of, stand_ins
from jobs.starter.labels import quoted
from jobs.starter.sample import Sample
from jobs.starter.source_query import SourceQuery, described_query, place_of

_NUMBERS = frozenset({"integer", "float", "decimal"})


def query_without_marks(connection: Connection, sample: Sample, query: SourceQuery | None) -> SourceQuery | None:
    """Return a query that has null in place of numbers such as -999; the query as it is if there are none.

    Args:
        connection: to quote names.
        sample: of the table.
        query: of the table, which the sample is of; None for the table itself.
    """
    table, marks = sample.table, _marks(sample)
    if not marks or (query is None and not isinstance(table.records, TableClause)):
        return query
    place = place_of(connection, table.records) if isinstance(table.records, TableClause) else ""
    columns = ",\n".join(f"    {_without(connection, name, marks.get(name, ()))}" for name in table.columns)
    sql = f"SELECT\n{columns}\nFROM {place if query is None else f'({query.sql}) AS times'}"
    named = ", ".join(sorted({sql_of(mark) for found in marks.values() for mark in found}))
    note = f"The query has null in place of {named}, which stands far from all other values."
    described = replace(described_query(connection, sql, table), key=table.key, indexes=table.indexes)
    if query is None:
        return SourceQuery(sql, described, note, marks=marks)
    return replace(query, sql=sql, table=described, note=f"{query.note} {note}", marks=marks)


def _marks(sample: Sample) -> Mapping[str, tuple[float, ...]]:
    return dict(_found(sample))


def _found(sample: Sample) -> Iterator[tuple[str, tuple[float, ...]]]:
    for column in sample.columns(*sample.table.key):
        if column.family in _NUMBERS and sample.is_read(column.name):
            found = stand_ins(sample.present(column.name))
            if found:
                yield column.name, found


def _without(connection: Connection, name: str, marks: tuple[float, ...]) -> str:
    column = value = quoted(connection, name)
    for mark in marks:
        value = f"NULLIF({value}, {sql_of(mark)})"
    return f"{value} AS {column}" if marks else column
