"""Results of SQLite as frames, from the rows of its driver: SQLAlchemy's own rows take longer to make than to read."""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import CursorResult, Select
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    import pandas as pd

_FLOATS = {float, type(None)}


def frame_of(result: "CursorResult[Any]") -> "pd.DataFrame | None":
    """Return the rows of a result: columns of floats as such, others as objects; None if SQLAlchemy converts values."""
    import pandas as pd

    statement = result.context.invoked_statement
    if result.cursor is None or not isinstance(statement, Select):
        return None
    if any(_is_converted(column.type, result) for column in statement.selected_columns):
        return None
    names = list(result.keys())
    with closing(result):  # an unfinished statement would go on reading in the connection's next transaction
        rows = result.cursor.fetchall()
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pd.DataFrame({name: _series(values) for name, values in zip(names, columns, strict=True)}, copy=False)


def _is_converted(kind: TypeEngine[Any], result: "CursorResult[Any]") -> bool:
    dialect = result.context.dialect
    return kind.dialect_impl(dialect).result_processor(dialect, None) is not None


def _series(values: Sequence[Any]) -> "pd.Series[Any]":
    """Return the values of a column; SQLite keeps the type of each value."""
    import pandas as pd

    types = set(map(type, values))
    return pd.Series(values, dtype="float64" if float in types and types <= _FLOATS else "object")
