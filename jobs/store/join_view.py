"""The view of a monitor's anomalies next to the columns of their records."""

from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, literal

from schemas.tables import anomalies
from schemas.views import joined_anomalies

if TYPE_CHECKING:
    from jobs.reading.table import WatchedTable


def join_view(monitor: str, watched: "WatchedTable") -> Select[Any]:
    """Return the select behind the view; a source column with the name of one of ours has the prefix ``source_``."""
    return joined_anomalies(monitor, watched.records, _is_same_record(watched), list(watched.columns))


def _is_same_record(watched: "WatchedTable") -> ColumnElement[bool]:
    if len(watched.key) > 1:
        return anomalies.c.record_key == _json_label(watched)
    name = watched.key[0]
    if watched.columns[name].family == "integer":
        return anomalies.c.record_key_int == watched.records.c[name]
    return anomalies.c.record_key == watched.dialect.key_text(watched.records.c[name], watched.columns[name].family)


def _json_label(watched: "WatchedTable") -> ColumnElement[str]:
    """Return `schemas.keys.key_label` of a key of several parts, in SQL."""
    parts = [watched.dialect.key_json(watched.records.c[name], watched.columns[name].family) for name in watched.key]
    listed = reduce(lambda left, right: left + ", " + right, parts)
    return literal("[") + listed + "]"
