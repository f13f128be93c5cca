"""Runs the migrations on the connection that `jobs.store.migrations` passes.

To generate a new migration in the repository:
``PYTHONPATH=. alembic -x url=sqlite:///plumbline.db revision --autogenerate -m "..."``.
"""

from typing import Any

from alembic import context
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection

from jobs.databases import open_engine, writing
from jobs.dialects import dialect_of
from schemas.column_types import exists_in
from schemas.tables import VERSION_TABLE, metadata
from schemas.views import create_views, drop_views


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether a table of the database belongs to the store."""
    return kind != "table" or name in metadata.tables


def exists_here(item: Any, _name: str | None, kind: str, _is_reflected: bool, _other: object) -> bool:  # noqa: FBT001
    """Return whether the database can have an item of `schemas.tables`: not all have indexes of some rows."""
    return kind != "index" or exists_in(item, context.get_bind().dialect)


def migrate(connection: Connection) -> None:
    """Run the migrations in the connection's transaction; views are dropped before, and created at the head."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        include_object=exists_here,
        render_as_batch=True,
        transactional_ddl=True,
    )
    script_head = context.script.get_current_head()
    drop_views(connection)
    context.run_migrations()
    dialect_of(connection).prepare_tables(connection, [*metadata.tables])
    if context.get_context().get_current_revision() == script_head:
        create_views(connection)


if "connection" in context.config.attributes:
    migrate(context.config.attributes["connection"])
else:
    address = context.get_x_argument(as_dictionary=True).get("url")
    if address is None:
        raise CommandError("No database was given. Add, for example: -x url=sqlite:///plumbline.db")
    with writing(open_engine(SecretStr(address))) as own_connection:
        migrate(own_connection)
