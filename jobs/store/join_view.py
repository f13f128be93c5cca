"""The view of a monitor's anomalies beside the columns of their records."""

from functools import reduce
from typing import Any

from sqlalchemy import ColumnElement, Select, literal

from jobs.reading.table import WatchedTable
from schemas.tables import anomalies
from schemas.views import joined_anomalies


def join_view(monitor: str, watched: WatchedTable) -> Select[Any]:
    """The select behind the view; source columns that are also ours have the prefix ``source_``."""
    return joined_anomalies(monitor, watched.records, _belongs(watched), list(watched.columns))


def _belongs(watched: WatchedTable) -> ColumnElement[bool]:
    if len(watched.key) > 1:
        return anomalies.c.record_key == _json_label(watched)
    name = watched.key[0]
    if watched.columns[name].family == "integer":
        return anomalies.c.record_key_int == watched.records.c[name]
    return anomalies.c.record_key == watched.dialect.key_text(watched.records.c[name], watched.columns[name].family)


def _json_label(watched: WatchedTable) -> ColumnElement[str]:
    """`schemas.keys.key_label` of several parts, in SQL."""
    parts = [watched.dialect.key_json(watched.records.c[name], watched.columns[name].family) for name in watched.key]
    listed = reduce(lambda left, right: left + ", " + right, parts)
    return literal("[") + listed + "]"
