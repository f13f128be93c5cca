"""Checks of the key: its type, that it is unique and never null, and that it grows."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from jobs.checks.finding import Finding
from jobs.checks.samples import newest_records
from jobs.key_growth import late_keys
from jobs.reading.table import WatchedTable
from schemas.config import MonitorConfig
from schemas.keys import key_label


def check_key_types(monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report columns of the key whose type has no order, or may not grow with new records."""
    for column in (watched.columns[name] for name in monitor.key):
        reason = watched.dialect.unordered_families.get(column.family)
        if reason is not None:
            yield Finding(
                "error",
                f"Column {column.name!r} in the key is of type {column.type.lower()}, which {reason}. "
                "Choose a key that grows with each new record, such as an identity column or a time.",
            )
        elif column.name != monitor.key[0]:  # a later column orders only records that are equal in the first
            continue
        elif column.family in {"text", "enum"}:
            yield Finding(
                "warning",
                f"Column {column.name!r} in the key is {column.family}. Make sure that new records sort after old "
                "ones; a record that sorts before the watermark is never scored.",
            )
        elif column.family == "uuid":
            yield Finding(
                "warning",
                f"Column {column.name!r} in the key is a UUID. UUIDs of version 7 grow; random ones do not, so that "
                "most new records would sort before the watermark and come late. Make sure that yours grow, or choose "
                "another key, such as an identity column or a time.",
            )


def check_keys(connection: Connection, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a key that is null in a record, or is not unique among the newest records."""
    named = ", ".join(monitor.key)
    for column in watched.key_columns():
        if connection.execute(select(column).where(column.is_(None)).limit(1)).first() is not None:
            yield Finding("error", f"Column {column.key!r} in the key is null in a record. Choose a key without nulls.")
    if any(index.is_unique and set(index.columns) <= set(monitor.key) for index in watched.indexes or ()):
        return
    keys = newest_records(watched)
    repeated = select(*keys.c).group_by(*keys.c).having(func.count() > 1).limit(1)
    duplicate = connection.execute(repeated).first()
    if duplicate is not None:
        label = key_label(tuple(duplicate))
        yield Finding("error", f"The key ({named}) is not unique: {label} occurs twice. Choose a unique key.")


def check_growth(connection: Connection, name: str, monitor: MonitorConfig, watched: WatchedTable) -> Iterator[Finding]:
    """Report a key by which the newest records sort below older ones."""
    late = late_keys(connection, monitor, watched)
    if late is not None:
        listed = ", ".join(f'"{part}"' for part in late.proposal)
        key = f"[{listed}]" if len(late.proposal) > 1 else listed
        yield Finding(
            "warning",
            f"The key ({', '.join(monitor.key)}) does not grow: {late.late:,} of the newest {late.newest:,} records by "
            f"{late.column!r} sort below older records, so they come late and are not scored after `late_after`. "
            f"Set key = {key} under [monitors.{name}].",
        )
