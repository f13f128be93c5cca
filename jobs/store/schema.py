"""The revision of the store's schema, read without Alembic."""

from sqlalchemy import Connection, column, inspect, select, table

from jobs.addresses import display_name
from schemas.errors import StoreError
from schemas.tables import REVISION, VERSION_TABLE


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the schema in the database, or None before the first migration."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return None if revision is None else str(revision)


def refuse_other_revision(connection: Connection) -> None:
    """Raise an error unless the schema has the revision of this version.

    Raises:
        StoreError: If the schema is older, newer or missing.
    """
    present, place = read_revision(connection), display_name(connection.engine.url)
    if present is None:
        raise StoreError(f"{place} holds no tables of Plumbline yet. Create them: plumbline migrate")
    if present < REVISION:
        msg = f"The tables in {place} are of revision {present}, expected {REVISION}. Upgrade them: plumbline migrate"
        raise StoreError(msg)
    if present > REVISION:
        msg = (
            f"The tables in {place} are of revision {present}, newer than this version of Plumbline has ({REVISION}). "
            "Install the version that ran `plumbline migrate` last."
        )
        raise StoreError(msg)
