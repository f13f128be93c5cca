"""Levels of tanks in a table, under plain and under hostile names."""

from sqlalchemy import BigInteger, Column, Double, MetaData, String, Table

from schemas.column_types import UtcDateTime
from schemas.keys import KeyRange

PLAIN = {"table": "levels", "key": "id", "time": "at", "entity": "tank", "numeric": "level"}
HOSTILE = {"table": 'le"vels; --', "key": "select", "time": "a:t", "entity": "%(x)s", "numeric": "level"}


def tank_table(names, *more):
    """The table under some names, with more columns."""
    columns = [
        Column(names["key"], BigInteger, primary_key=True, autoincrement=False),
        Column(names["time"], UtcDateTime()),
        Column(names["entity"], String(50)),
        Column("level", Double),
    ]
    return Table(names["table"], MetaData(), *columns, *more)


def pages(source, cuts, last):
    """The records of a table cut after some keys."""
    edges = [*sorted({cut for cut in cuts if cut < last}), last]
    ranges = zip([0, *edges], edges, strict=False)
    return [source.read(KeyRange((after,) if after else None, (upto,))) for after, upto in ranges]
