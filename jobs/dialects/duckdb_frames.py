"""Results of DuckDB as frames, through Arrow: ten times as fast as row by row."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}
_EXACT_TYPES = {*_INTEGERS, "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}


def frame_of(cursor: Any) -> "pd.DataFrame | None":
    """Return the rows of a cursor; None if Arrow would change values of a type, such as a very large integer."""
    import pandas as pd

    types = [str(entry[1]) for entry in cursor.description]
    if not _EXACT_TYPES.issuperset(types):
        return None
    table = cursor.to_arrow_table()
    names = enumerate(table.column_names)
    return pd.DataFrame({name: _series(table.column(index), types[index]) for index, name in names})


def _series(column: "pa.ChunkedArray", declared_type: str) -> "pd.Series[Any]":
    import pandas as pd

    if declared_type.startswith("TIMESTAMP"):
        column = _within_calendar(column)
    nullable: Any = None
    if column.null_count and declared_type in _INTEGERS:  # they stay exact: they do not pass through float
        nullable = {column.type: pd.Int64Dtype()}.get
    if column.null_count and declared_type == "BOOLEAN":
        nullable = {column.type: pd.BooleanDtype()}.get
    series: pd.Series[Any] = column.to_pandas(types_mapper=nullable)
    return series


def _within_calendar(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return times, null if they are infinite or of a year that Python lacks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last = (pa.scalar(bound, column.type) for bound in (datetime.min, datetime.max))  # noqa: DTZ901
    is_within = pc.and_(pc.greater_equal(column, first), pc.less_equal(column, last))
    return pc.if_else(is_within, column, pa.scalar(None, column.type))
