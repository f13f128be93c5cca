"""Creates the view of a monitor's flagged rows next to their records."""

import logging
from functools import reduce
from typing import Any

from sqlalchemy import ColumnElement, Select, literal

from jobs.reading.source import Source
from jobs.reading.table import WatchedTable
from jobs.store import Store
from schemas.errors import SourceError, StoreError
from schemas.tables import anomalies
from schemas.views import joined_anomalies

_log = logging.getLogger("plumbline")


def join_anomalies(store: Store, source: Source) -> str | None:
    """Create the view for a new champion and return its name, or None in separate databases.

    A failure is only logged: the champion stands.
    """
    try:
        return create_join_view(store, source)
    except (SourceError, StoreError) as exc:
        _log.warning("no view of the flagged rows of monitor %s next to their records: %s", source.name, exc)
        return None


def create_join_view(store: Store, source: Source) -> str | None:
    """Create the view of a monitor's anomalies next to their records and return its name.

    Returns:
        The name of the view; None if the watched table is in another database.

    Raises:
        StoreError: If the database refuses, or a table or view that is not ours has the name.
        SourceError: If the watched table or a column does not exist.
    """
    if source.engine.url != store.engine.url:
        return None
    return store.replace_join_view(source.name, _statement(source.name, source.table()))


def _statement(monitor: str, watched: WatchedTable) -> Select[Any]:
    """Return the select behind the view; a source column with the name of one of ours has the prefix ``source_``."""
    return joined_anomalies(monitor, watched.records, _is_same_record(watched), list(watched.columns))


def _is_same_record(watched: WatchedTable) -> ColumnElement[bool]:
    if len(watched.key) > 1:
        return anomalies.c.record_key == _json_label(watched)
    name = watched.key[0]
    if watched.columns[name].family == "integer":
        return anomalies.c.record_key_int == watched.records.c[name]
    return anomalies.c.record_key == watched.dialect.key_text(watched.records.c[name], watched.columns[name].family)


def _json_label(watched: WatchedTable) -> ColumnElement[str]:
    """Return `schemas.keys.key_label` of a key of several parts, in SQL."""
    parts = [watched.dialect.key_json(watched.records.c[name], watched.columns[name].family) for name in watched.key]
    listed = reduce(lambda left, right: left + ", " + right, parts)
    return literal("[") + listed + "]"
