"""Values of a table that a model cannot learn as they are; a query has others in their place.

Numbers such as -999 stand for a missing value. Texts such as yes and no are booleans, which a series learns and a
category it does not.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection, TableClause

from jobs.dialects import Dialect, Family
from jobs.dialects.families import NUMBERS
from jobs.reading.table import WatchedColumn, WatchedTable
from jobs.stand_ins import sql_of, stand_ins
from jobs.starter.entities import is_thing
from jobs.starter.features import ID_NAME
from jobs.starter.labels import quoted
from jobs.starter.sample import Sample
from jobs.starter.source_query import SourceQuery, described_query, place_of

_TRUTHS = (("yes", "no"), ("y", "n"), ("ja", "nein"), ("j", "n"), ("oui", "non"), ("on", "off"), ("true", "false"))
_BOOLEAN: Family = "boolean"


def query_of_clean_values(
    connection: Connection, sample: Sample, query: SourceQuery | None, taken: Collection[str | None], *, is_series: bool
) -> SourceQuery | None:
    """Return a query that has null in place of numbers such as -999, and booleans in place of texts such as yes.

    Args:
        connection: to quote names.
        sample: of the table.
        query: of the table, which the sample is of; None for the table itself. It is returned if there are no such
            values.
        taken: columns that are no features, and stay as they are.
        is_series: whether the records are series, which learn no texts.
    """
    table, marks = sample.table, dict(_marks(sample, taken))
    truths = dict(_truths(sample)) if is_series else {}
    if not (marks or truths) or (query is None and not isinstance(table.records, TableClause)):
        return query
    values = _values(connection, table.dialect, marks, truths)
    columns = ",\n".join(
        f"    {values[name]} AS {quoted(connection, name)}" if name in values else f"    {quoted(connection, name)}"
        for name in table.columns
    )
    place = place_of(connection, table.records) if isinstance(table.records, TableClause) else ""
    sql = f"SELECT\n{columns}\nFROM {place if query is None else f'({query.sql}) AS times'}"
    described = _described(connection, sql, table, truths)
    if query is None:
        return SourceQuery(sql, described, _note(marks, truths), marks=marks, truths=tuple(truths))
    note = f"{query.note} {_note(marks, truths)}"
    return replace(query, sql=sql, table=described, note=note, marks=marks, truths=tuple(truths))


def _marks(sample: Sample, taken: Collection[str | None]) -> Iterator[tuple[str, tuple[float, ...]]]:
    for column in sample.columns(*sample.table.key, *taken):
        is_id = ID_NAME.search(column.name) or is_thing(column.name, needs_id=True)
        if column.family in NUMBERS and sample.is_read(column.name) and not is_id:
            marks = stand_ins(sample.present(column.name))
            if marks:
                yield column.name, marks


def _truths(sample: Sample) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the columns of texts that hold one word for true and one for false, with these words."""
    for column in sample.columns(*sample.table.key):
        if sample.is_read(column.name) and sample.is_text(column.name):
            words = set(sample.present(column.name).str.lower().unique())
            yield from ((column.name, pair) for pair in _TRUTHS if words == set(pair))


def _values(
    connection: Connection,
    dialect: Dialect,
    marks: Mapping[str, tuple[float, ...]],
    truths: Mapping[str, tuple[str, str]],
) -> dict[str, str]:
    """Return SQL for the value of each column that is replaced."""
    values: dict[str, str] = {}
    for name, numbers in marks.items():
        values[name] = quoted(connection, name)
        for mark in numbers:
            values[name] = f"NULLIF({values[name]}, {sql_of(mark)})"
    true, false = ("true", "false") if dialect.has_boolean_type else ("1", "0")
    for name, (yes, no) in truths.items():
        text = f"LOWER({quoted(connection, name)})"
        values[name] = f"CASE WHEN {text} = '{yes}' THEN {true} WHEN {text} = '{no}' THEN {false} END"
    return values


def _described(
    connection: Connection, sql: str, table: WatchedTable, truths: Mapping[str, tuple[str, str]]
) -> WatchedTable:
    described = described_query(connection, sql, table)
    booleans = {name: WatchedColumn(name, _BOOLEAN, _BOOLEAN) for name in truths}
    return replace(described, columns={**described.columns, **booleans}, key=table.key, indexes=table.indexes)


def _note(marks: Mapping[str, tuple[float, ...]], truths: Mapping[str, tuple[str, str]]) -> str:
    named = ", ".join(sorted({sql_of(mark) for numbers in marks.values() for mark in numbers}))
    parts = [f"null in place of {named}, which stands far from all other values"] if marks else []
    parts += [f"booleans in place of texts in {', '.join(truths)}"] if truths else []
    return f"The query has {', and '.join(parts)}."
