"""Tables with a record for each channel of a moment; a query has one record with all channels."""

import unicodedata
from collections.abc import Collection, Iterator

from sqlalchemy import Connection, TableClause

from jobs.dialects.families import NUMBERS
from jobs.reading.table import WatchedTable
from jobs.starter.entities import MIN_STEPS, find_entity
from jobs.starter.features import ID_NAME
from jobs.starter.labels import quoted
from jobs.starter.sample import Sample
from jobs.starter.source_query import SourceQuery, described_query, place_of

_MAX_CHANNELS = 50
_MAX_NAME_BYTES = 63  # of a column in PostgreSQL, which cuts longer ones
_MIN_COMPLETE_SHARE = 0.8  # of the moments of an entity, with more than one channel
_NUMBERS = NUMBERS | {"boolean", "unknown"}


def query_of_moments(
    connection: Connection, sample: Sample, query: SourceQuery | None, time: str, entity: str | None
) -> SourceQuery | None:
    """Return a query with a record for each moment of an entity, and a column for each channel.

    None if the records of an entity have times of their own, no column distinguishes those of a moment, or the table is
    so large that its moments cannot be looked at without an index.

    Args:
        connection: to quote names.
        sample: of the table.
        query: of the table, which the sample is of; None for the table itself.
        time: of a record.
        entity: what a record is about, as the user names it; None to find it.
    """
    table, about = sample.table, entity or find_entity(sample, time)
    values = list(_values(sample, time, about, *(() if query is None else query.left_out)))
    place = _place(connection, sample, query)
    if about is None or len(values) != 1 or place is None or not sample.is_counted or sample.null_share(time) > 0:
        return None
    channels = [name for name in _texts(sample, about) if _distinguishes(sample, [about, time], name)]
    if len(channels) != 1:
        return None
    names = sorted(sample.texts(channels[0]).unique())
    if not _are_names(names, table.columns):
        return None
    lines = list(_lines(connection, table, (channels[0], values[0]), names))
    group = ", ".join(quoted(connection, name) for name in (time, about))
    sql = f"SELECT {group},\n" + ",\n".join(lines) + f"\nFROM {place}\nGROUP BY {group}"
    return SourceQuery(
        sql,
        described_query(connection, sql, table),
        f"The query has one record for each {about} and moment, with a column for each {channels[0]}. "
        f"An index on ({time}, {about}) keeps it fast.",
        key_reason=f"the query has one record for each; a {channels[0]} that is new needs a line in it",
    )


def _are_names(names: Collection[str], others: Collection[str]) -> bool:
    """Return whether texts can be names of columns next to others, in databases that take similar texts as equal."""
    distinct = {_folded(name) for name in (*names, *others)}
    lengths = [len(name.encode()) for name in names]
    return len(distinct) == len(names) + len(others) and min(lengths) > 0 and max(lengths) <= _MAX_NAME_BYTES


def _folded(name: str) -> str:
    """Return a text without case, accents and spaces at its end, which collations of MariaDB and MySQL ignore."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(mark for mark in decomposed if not unicodedata.combining(mark)).rstrip()


def _place(connection: Connection, sample: Sample, query: SourceQuery | None) -> str | None:
    """Return the table, or the query of it, as SQL has it in FROM; None for a folder of files."""
    if query is not None:
        return f"({query.sql}) AS times"
    records = sample.table.records
    return place_of(connection, records) if isinstance(records, TableClause) else None


def _values(sample: Sample, *taken: str | None) -> Iterator[str]:
    """Yield the columns that may hold the numbers of the channels."""
    for column in sample.columns(*taken, *sample.table.key):
        present = sample.present(column.name) if sample.is_read(column.name) else ()
        is_number = column.family in _NUMBERS and not sample.is_text(column.name)
        if is_number and len(present) and not ID_NAME.search(column.name):
            yield column.name


def _texts(sample: Sample, *taken: str | None) -> Iterator[str]:
    for column in sample.columns(*taken):
        is_text = sample.is_read(column.name) and (column.family == "enum" or sample.is_text(column.name))
        if is_text and sample.null_share(column.name) == 0:
            yield column.name


def _distinguishes(sample: Sample, moment: list[str], name: str) -> bool:
    """Return whether a column has another value in each record of a moment, and most moments have several."""
    records = sample.records
    if not 2 <= records[name].nunique() <= _MAX_CHANNELS or records.duplicated([*moment, name]).any():
        return False
    sizes = records.groupby(moment, sort=False).size()
    return len(sizes) >= MIN_STEPS and float((sizes > 1).mean()) >= _MIN_COMPLETE_SHARE


def _lines(
    connection: Connection, table: WatchedTable, columns: tuple[str, str], names: Collection[str]
) -> Iterator[str]:
    """Yield SQL for each channel.

    Args:
        connection: to quote names.
        table: with the channels.
        columns: with the name and the value of a channel.
        names: of the channels.
    """
    channel, value = (quoted(connection, name) for name in columns)
    for name in names:
        of_channel = f"CASE WHEN {channel} = {table.dialect.text_literal(name)} THEN {value} END"
        line = table.dialect.any_of_group(of_channel, table.columns[columns[1]].family)
        yield f"    {line} AS {quoted(connection, name)}"
