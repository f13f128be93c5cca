"""Aspects of transactions: isolation, and the end of statements that take too long."""

import math
from itertools import pairwise

from sqlalchemy import FromClause, func, select
from sqlalchemy.exc import DBAPIError

from jobs.conformance.outcome import Seen
from jobs.conformance.sample import Sample
from jobs.databases import reading, timeouts_of
from jobs.dialects import Dialect
from schemas.errors import SourceError, SourceTimeout

_ENDLESS = 1e13  # rows of a join, which no database produces within the limit
_MAX_ROWS, _MAX_TABLES = 1_000, 30


def isolation(sample: Sample) -> Seen:
    """Report the isolation of a transaction; a change between two statements is found by the recount."""
    with reading(sample.source.engine, SourceError) as connection:
        try:
            level = connection.get_isolation_level()
        except (NotImplementedError, DBAPIError):
            return Seen("works", "the driver reports none; a change during a batch is found by the recount")
    return Seen("works", f"{level.lower()}; a change during a batch is found by the recount")


def statement_timeout(sample: Sample) -> Seen:
    """Check that a statement that would never end is ended, and that the next one works."""
    engine = sample.impatient.engine
    if type(sample.table.dialect).cancel is Dialect.cancel:
        detail = "Plumbline cannot end a statement of this driver; limit the statements of its user in the database"
        return Seen("limited", detail)
    seconds = f"{timeouts_of(engine).statement.total_seconds():g} s"
    try:
        with reading(engine, SourceError) as connection:
            connection.execute(select(func.count()).select_from(_endless_join(sample))).scalar()
    except SourceTimeout:
        with reading(engine, SourceError) as connection:
            connection.scalar(select(1))
        return Seen("works", f"ended after {seconds}, and the next statement works")
    return Seen("limited", f"not tried: the longest statement that was made up ended within {seconds}")


def _endless_join(sample: Sample) -> FromClause:
    """Return the product of the first rows of the table with themselves, and again."""
    rows = min(_MAX_ROWS, len(sample.keys))
    tables = min(_MAX_TABLES, math.ceil(math.log(_ENDLESS) / math.log(rows)))
    first = select(*sample.table.key_columns()).where(sample.table.after(None)).limit(rows)
    name = sample.monitor.key[0]
    parts = [first.subquery(f"part{number}") for number in range(tables)]
    product: FromClause = parts[0]
    for part, following in pairwise(parts):
        product = product.join(following, part.c[name] != following.c[name])
    return product
