"""Which revision the store's schema has, without loading Alembic."""

from sqlalchemy import Connection, column, inspect, select, table

from jobs.addresses import display_name
from schemas.errors import StoreError
from schemas.tables import REVISION, VERSION_TABLE


def read_revision(connection: Connection) -> str | None:
    """The revision of the schema in the database; None before the first migration."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return None if revision is None else str(revision)


def refuse_other_revision(connection: Connection) -> None:
    """Raise where the schema is not the one that this code was written for.

    Raises:
        StoreError: with the way out.
    """
    found, place = read_revision(connection), display_name(connection.engine.url)
    if found is None:
        raise StoreError(f"{place} holds no tables of Plumbline yet. Create them: plumbline migrate")
    if found < REVISION:
        msg = f"The tables in {place} are of revision {found}, expected {REVISION}. Bring them up: plumbline migrate"
        raise StoreError(msg)
    if found > REVISION:
        msg = (
            f"The tables in {place} are of revision {found}, newer than this version of Plumbline knows ({REVISION}). "
            "Install the version that ran `plumbline migrate` last."
        )
        raise StoreError(msg)
