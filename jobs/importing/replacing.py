"""A table in place of another, beneath the views that show anomalies beside its records.

PostgreSQL drops no table that a view reads; SQLite looks a view's tables up anew in each query.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from jobs.reading.table import raw_sql
from schemas.errors import UsageError
from schemas.views import drop_view, joined_name


def replace_table(connection: sa.Connection, table: sa.Table) -> None:
    """Create a table, empty, in place of one of its name; views of its anomalies stay.

    Raises:
        UsageError: where a view that is not Plumbline's reads the old table, or one that is does not fit the new.
    """
    with _views_set_aside(connection, table):
        table.drop(connection, checkfirst=True)
        table.create(connection)


@contextmanager
def _views_set_aside(connection: sa.Connection, table: sa.Table) -> Iterator[None]:
    names = _views_of(connection, table) if connection.dialect.name == "postgresql" else []
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
                f"Drop it and import again (DROP VIEW {quote(name)}); the next training makes it anew."
            ) from exc


def _views_of(connection: sa.Connection, table: sa.Table) -> list[str]:
    """Plumbline's views that read a table of PostgreSQL."""
    names = ("view_schema", "view_name", "table_schema", "table_name")
    usage = sa.table("view_table_usage", *(sa.column(name) for name in names), schema="information_schema")
    home = connection.dialect.default_schema_name
    reads_it = sa.and_(usage.c.table_schema == (table.schema or home), usage.c.table_name == table.name)
    found = connection.execute(sa.select(usage.c.view_schema, usage.c.view_name).where(reads_it)).all()
    foreign = [f"{schema}.{name}" for schema, name in found if schema != home or not name.startswith(joined_name(""))]
    if foreign:
        raise UsageError(
            f"The table {table.fullname} cannot be replaced, since views read it: {', '.join(foreign)}. "
            "Drop them and create them again afterwards, or import under another name."
        )
    return [name for _, name in found]
