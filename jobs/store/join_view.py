"""The view of a monitor's anomalies next to the columns of their records."""

from functools import reduce
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, String, cast, func, literal

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
    return anomalies.c.record_key == _plain(watched, name)


def _json_label(watched: "WatchedTable") -> ColumnElement[str]:
    """Return `schemas.keys.key_label` of a key of several parts, in SQL."""
    parts = [_json_part(watched, name) for name in watched.key]
    listed = reduce(lambda left, right: left + ", " + right, parts)
    return literal("[") + listed + "]"


def _json_part(watched: "WatchedTable", name: str) -> ColumnElement[str]:
    column = watched.records.c[name]
    if watched.dialect == "sqlite":
        return func.json_quote(column, type_=String())
    if watched.columns[name].family in {"integer", "text"}:
        return cast(func.to_json(column), String())
    return literal('"') + _plain(watched, name) + '"'


def _plain(watched: "WatchedTable", name: str) -> ColumnElement[str]:
    """Return one part of a key as `schemas.keys` writes it; PostgreSQL's own text of a time has another form."""
    column, family = watched.records.c[name], watched.columns[name].family
    if watched.dialect != "postgresql" or family not in {"instant", "timestamp"}:
        return cast(column, String())
    zone = "+00:00" if family == "instant" else ""
    moment = func.timezone("UTC", column) if family == "instant" else column
    text = func.to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS.US')
    return func.replace(text, ".000000", "", type_=String()) + zone
