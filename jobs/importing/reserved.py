"""Reserved names: Plumbline's own tables and views, under which nothing may be imported."""

import sqlalchemy as sa

from schemas.errors import UsageError
from schemas.tables import VERSION_TABLE, metadata
from schemas.views import VIEWS, joined_name

_NAMES = frozenset({*metadata.tables, VERSION_TABLE, *(view.__name__ for view in VIEWS)})


def refuse_own_name(table: str) -> None:
    """Raise if a table of the store has this name, or a view that a training creates may have it.

    Case is ignored, since SQLite ignores it.

    Raises:
        UsageError: If the name is reserved.
    """
    name = table.lower()
    if name in _NAMES or name.startswith(joined_name("")):
        msg = (
            f"{table} is a name of Plumbline's own tables and views, and the store is in this database. "
            "Import under another name, or into another database with --into."
        )
        raise UsageError(msg)


def is_home_of_store(connection: sa.Connection, schema: str | None) -> bool:
    """Return whether a schema, or the default one if it is None, holds the store's tables."""
    inspector = sa.inspect(connection)
    home = inspector.default_schema_name or ""
    return inspector.has_table(VERSION_TABLE) and (schema or home).lower() == home.lower()
