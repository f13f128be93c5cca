"""Which times count.

PostgreSQL has infinite times and years that Python has not, and next to the ends of Python's calendar sums of times
leave it. What lies out there counts as no time, in SQL as in the records read by it.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Text, and_, literal_column

if TYPE_CHECKING:
    import pandas as pd

FIRST = datetime(2, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)


def counts(time: ColumnElement[object], dialect: str) -> ColumnElement[bool]:
    """The condition that a time counts; whatever type the column has, since the bounds are written out."""
    midnight = " 00:00:00+00:00" if dialect == "postgresql" else ""  # elsewhere a text, which begins with the date
    first, end = (f"'{bound.date().isoformat()}{midnight}'" for bound in (FIRST, END))
    return and_(time >= literal_column(first, Text()), time < literal_column(end, Text()))


def those_that_count(times: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    """Times in UTC, missing where they do not count."""
    return times.where((times >= FIRST) & (times < END))
