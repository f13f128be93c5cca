"""Replaces a table and keeps the views that show anomalies next to its records."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from jobs.dialects import dialect_of
from jobs.reading.table import raw_sql
from schemas.errors import UsageError
from schemas.views import drop_view, joined_name


def replace_table(connection: sa.Connection, table: sa.Table) -> None:
    """Create an empty table in place of any table of its name; views of its anomalies stay.

    Raises:
        UsageError: If another view than Plumbline's reads the old table, or a view of Plumbline's does not fit the new.
    """
    with _views_set_aside(connection, table):
        table.drop(connection, checkfirst=True)
        table.create(connection)


@contextmanager
def _views_set_aside(connection: sa.Connection, table: sa.Table) -> Iterator[None]:
    names = _blocking_views(connection, table)
    inspector = sa.inspect(connection)
    definitions = {name: inspector.get_view_definition(name) for name in names}
    for name in definitions:
        drop_view(connection, name)
    yield
    quote = connection.dialect.identifier_preparer.quote_identifier
    for name, definition in definitions.items():
        try:
            connection.execute(raw_sql(f"CREATE VIEW {quote(name)} AS {definition}"))
        except sa.exc.ProgrammingError as exc:
            raise UsageError(
                f"The view {name} does not fit the new {table.fullname}: {str(exc.orig).splitlines()[0]}. "
                f"Drop it and import again (DROP VIEW {quote(name)}); the next training creates it."
            ) from exc


def _blocking_views(connection: sa.Connection, table: sa.Table) -> list[str]:
    """Return the names of Plumbline's views because of which a table cannot be dropped."""
    home = connection.dialect.default_schema_name
    views = dialect_of(connection).blocking_views(connection, table)
    foreign = [f"{schema}.{name}" for schema, name in views if schema != home or not name.startswith(joined_name(""))]
    if foreign:
        raise UsageError(
            f"The table {table.fullname} cannot be replaced, since views read it: {', '.join(foreign)}. "
            "Drop them and create them again afterwards, or import under another name."
        )
    return [name for _, name in views]
